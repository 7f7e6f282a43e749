from pathlib import Path

import numpy as np
import pytest

from carclf.errors import LabelError
from carclf.labels import (
    NOT_LABELLED,
    LabelSet,
    make_targets,
    mirror_targets,
    read_label_file,
    read_label_table,
    split_cell,
)

REPO = Path(__file__).resolve().parents[1]


def label_file(folder: Path, text: str) -> LabelSet:
    path = folder / "classes.txt"
    path.write_text(text, encoding="utf-8")
    return read_label_file(path)


def table_path(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_bytes(text.encode("utf-8"))
    return path


def column(folder: Path, *cells: str) -> Path:
    lines = [f'p{index}.jpg,"{cell}"' for index, cell in enumerate(cells)]
    return table_path(folder, "name,damage\n" + "\n".join(lines) + "\n")


def test_label_file(tmp_path: Path) -> None:
    text = "\ufeff# sides\nleft door ; mirror=right door\n\n"
    text += "right door; mirror = left door ; color=1, 2,255\r\nroof\n"
    found = label_file(tmp_path, text)
    assert found.names == ("left door", "right door", "roof")
    assert found.mirror == (1, 0, 2)
    assert found.colors == (None, (1, 2, 255), None)


@pytest.mark.parametrize("path", sorted(REPO.glob("**/labels/*.txt")), ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_shipped_label_files_load(path: Path) -> None:
    assert read_label_file(path).names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nb\na\n", 'classes.txt, line 3: "a" stands in line 1 already'),
        ("# none\n\n", "classes.txt: names no class"),
        ("", "names no class"),
        ("a; mirror=c\nb\n", 'line 1: mirror "c" is no class of this file'),
        ("left\nright; mirror=lefd\n", 'line 2: mirror "lefd" .* Did you mean "left"'),
        (
            "a; mirror=b\nb\n",
            r'line 1: "a" becomes "b", but "b" \(line 2\) becomes "b". Write mirror=a there',
        ),
        ("a; mirror=b\nb; mirror=c\nc; mirror=b\n", 'line 1: "a" becomes "b", but'),
        ("a; color=1,2\n", 'line 1: color "1,2" is not red,green,blue'),
        ("a; color=1,2,256\n", "line 1: color"),
        ("a; color=1,2,-3\n", "line 1: color"),
        ("a; color=0,0,0\n", "line 1: color 0,0,0 is the background's"),
        ("a; color=1,2,3\nb; color=1,2,3\n", "line 2: line 1 has the same color"),
        ("a; colour=1,2,3\n", 'line 1: "colour=1,2,3" is not mirror=other .* Did you mean "color"'),
        ("a; mirror\n", 'line 1: "mirror" is not mirror=other'),
        ("a;\n", 'line 1: "" is not mirror=other'),
        ("a; mirror=a; mirror=a\n", "line 1: mirror is given twice"),
        ("; mirror=a\n", "line 1: a class without a name"),
        ("\n".join(f"c{index}" for index in range(255)), "255 classes; a head takes 254"),
    ],
)
def test_label_file_errors(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        label_file(tmp_path, text)


def test_label_file_errors_come_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    with pytest.raises(LabelError) as caught:
        label_file(tmp_path, "a\na\nb; color=9\n; x\n")
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        f"classes.txt, line {number}" for number in (2, 3, 4)
    ]


def test_label_file_missing_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="no such file"):
        read_label_file(tmp_path / "none.txt")
    (tmp_path / "l.txt").write_bytes("a\nb\ncö\n".encode("latin-1"))
    with pytest.raises(LabelError, match=r"l.txt, line 3: not UTF-8"):
        read_label_file(tmp_path / "l.txt")


def test_table_of_the_predecessor(tmp_path: Path) -> None:
    lines = [
        "\ufeffname,damage,location,damagetype",
        "a.jpg,minor,front;side,[dent;glass]",
        "",
        '"b, c.jpg",whole,NULL,',
    ]
    text = "".join(f"{line}\r\n" for line in lines)
    table = read_label_table(table_path(tmp_path, text))
    assert table.photos == ("a.jpg", "b, c.jpg")
    assert table.groups is None
    assert table.columns == {
        "damage": ("minor", "whole"),
        "location": ("front;side", "NULL"),
        "damagetype": ("[dent;glass]", ""),
    }
    assert table.lines == (2, 4)


def test_table_groups_and_line_numbers_behind_quoted_line_breaks(tmp_path: Path) -> None:
    table = read_label_table(table_path(tmp_path, 'note,name,group\n"x\ny",a.jpg,g\n,b.jpg,\n'))
    assert table.groups == ("g", "")
    assert table.lines == (2, 4)
    assert list(table.columns) == ["note"]


def test_same_photo_twice_with_the_same_values_counts_once(tmp_path: Path) -> None:
    table = read_label_table(table_path(tmp_path, "name,x\na.jpg,1\n./a.jpg,1\nsub\\b.jpg,2\nsub/b.jpg,2\n"))
    assert table.photos == ("a.jpg", "sub/b.jpg")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "name,x\na.jpg,1\nb.jpg,1\na.jpg,2\n",
            'labels.csv, line 4: "a.jpg" stands in line 2 with other values',
        ),
        ("name,x\n,1\n", "labels.csv, line 2: the name is empty"),
        ("name\n../a.jpg\n", "line 2: .* leaves the photo folder"),
        ("name\nsub/../../a.jpg\n", "line 2: .* leaves the photo folder"),
        ("name\n/etc/a.jpg\n", "line 2: .* is an absolute path"),
        ("name\nC:\\a.jpg\n", "line 2: .* is an absolute path"),
        ("name,x\na.jpg\n", "line 2: 1 cells, but the header names 2 columns"),
        ("name,x\na.jpg,1,2\n", "line 2: 3 cells"),
        ("", "the file is empty"),
        ("name,x\n", "names no photo"),
        ("Name,x\na.jpg,1\n", 'line 1: no column "name" for the photos. Did you mean "Name"'),
        ("file,x\na.jpg,1\n", 'no column "name" .* Its columns: file, x'),
        ("name;x\na.jpg;1\n", "not separated by commas"),
        ("name\tx\na.jpg\t1\n", "not separated by commas"),
        ("name,x,x\na.jpg,1,2\n", 'two columns are named "x"'),
        ('name,x\na.jpg,"1\nb.jpg,2\n', "line 2: not csv"),
    ],
)
def test_table_errors(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        read_label_table(table_path(tmp_path, text))


def test_table_errors_come_at_once(tmp_path: Path) -> None:
    with pytest.raises(LabelError) as caught:
        read_label_table(table_path(tmp_path, "name,x\n,1\n/a,1\na.jpg\n"))
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("cell", "values"),
    [
        ("", ()),
        ("a", ("a",)),
        (" a ; b;", ("a", "b")),
        ("[a;b]", ("a", "b")),
        ("a;a", ("a",)),
        ("NULL", ("NULL",)),
    ],
)
def test_split_cell(cell: str, values: tuple[str, ...]) -> None:
    assert split_cell(cell) == values


def test_categorical_targets(tmp_path: Path) -> None:
    classes = label_file(tmp_path, "minor\nsevere\nwhole\n")
    table = read_label_table(column(tmp_path, "severe", "", "NULL", "[minor]"))
    targets = make_targets(table, "damage", "categorical", classes, "whole")
    assert targets.dtype == np.int64
    assert targets.tolist() == [1, NOT_LABELLED, 2, 0]


def test_multi_label_targets(tmp_path: Path) -> None:
    classes = label_file(tmp_path, "dent\nglass\n")
    table = read_label_table(column(tmp_path, "glass;dent", "", "NULL", "[glass]"))
    targets = make_targets(table, "damage", "multi_label", classes)
    assert targets.dtype == np.int8
    assert targets.tolist() == [[1, 1], [-1, -1], [0, 0], [0, 1]]


def test_the_class_null_is_on_when_the_cell_is_null(tmp_path: Path) -> None:
    classes = label_file(tmp_path, "NULL\nfront\n")
    table = read_label_table(column(tmp_path, "NULL", "front", ""))
    assert make_targets(table, "damage", "multi_label", classes).tolist() == [[1, 0], [0, 1], [-1, -1]]
    assert make_targets(table, "damage", "categorical", classes).tolist() == [0, 1, -1]


def test_none_label_of_a_multi_label_head_is_a_word_for_null(tmp_path: Path) -> None:
    classes = label_file(tmp_path, "dent\nglass\n")
    table = read_label_table(column(tmp_path, "no damage", "dent"))
    assert make_targets(table, "damage", "multi_label", classes, "no damage").tolist() == [[0, 0], [1, 0]]


@pytest.mark.parametrize(
    ("cell", "kind", "message"),
    [
        (
            "modrate",
            "categorical",
            'labels.csv, line 3: damage "modrate" is not one of minor, moderate, whole. Did ',
        ),
        ("modrate", "multi_label", 'labels.csv, line 3: damage "modrate" .* Did you mean "moderate"'),
        (
            "minor;whole",
            "categorical",
            'line 3: damage "minor;whole" holds 2 labels; a categorical head takes one',
        ),
        ("NULL;minor", "multi_label", "line 3: damage .* holds NULL and a label"),
        ("NULL", "categorical", 'line 3: damage "NULL" is not one of'),
        ("[]", "multi_label", r'line 3: damage "\[\]" names no label. Write NULL'),
    ],
)
def test_bad_cells(tmp_path: Path, cell: str, kind: str, message: str) -> None:
    classes = label_file(tmp_path, "minor\nmoderate\nwhole\n")
    table = read_label_table(column(tmp_path, "minor", cell))
    with pytest.raises(LabelError, match=message):
        make_targets(table, "damage", kind, classes)  # type: ignore[arg-type]


def test_bad_cells_come_at_once_equal_ones_in_one_line(tmp_path: Path) -> None:
    classes = label_file(tmp_path, "minor\n")
    table = read_label_table(column(tmp_path, "x", "minor", "y", "x"))
    with pytest.raises(LabelError) as caught:
        make_targets(table, "damage", "categorical", classes)
    assert str(caught.value).splitlines() == [
        'labels.csv, lines 2, 5: damage "x" is not one of minor.',
        'labels.csv, line 4: damage "y" is not one of minor.',
    ]


def test_missing_column(tmp_path: Path) -> None:
    table = read_label_table(column(tmp_path, "x"))
    with pytest.raises(
        LabelError, match='no column "damge". Did you mean "damage"? Its columns: damage'.replace("?", r"\?")
    ):
        make_targets(table, "damge", "categorical", label_file(tmp_path, "x\n"))


def test_mirroring_twice_changes_nothing(tmp_path: Path) -> None:
    classes = label_file(tmp_path, "left; mirror=right\nfront\nright; mirror=left\n")
    rng = np.random.default_rng(0)
    categorical = rng.integers(-1, 3, 20)
    multi = rng.integers(0, 2, (20, 3)).astype(np.int8)
    multi[3] = NOT_LABELLED
    for targets in (categorical, multi):
        once = mirror_targets(targets, classes)
        assert once.dtype == targets.dtype
        np.testing.assert_array_equal(mirror_targets(once, classes), targets)
    assert mirror_targets(np.array([0, 1, 2, -1]), classes).tolist() == [2, 1, 0, -1]
    assert mirror_targets(np.array([[1, 0, 0]], np.int8), classes).tolist() == [[0, 0, 1]]
