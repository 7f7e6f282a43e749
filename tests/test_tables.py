from pathlib import Path
from typing import Any

import pandas
import pytest

from carclf.annotations.records import Problem, ReadOptions, Record
from carclf.annotations.tables import find_tables, read_tables
from carclf.errors import AnnotationError

OLD = "name,damage,location,damagetype\na.jpg,minor,[front;side],dent;scratch\nsub\\b.jpg,whole,NULL,\n"


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def read(path: Path, **columns: str) -> list[Record | Problem]:
    return list(read_tables(path, ReadOptions(columns=columns)))


def labels(path: Path, **columns: str) -> dict[str, Any]:
    found = read(path, **columns)
    assert all(isinstance(each, Record) for each in found), found
    return {each.photo: dict(each.labels) for each in found if isinstance(each, Record)}


def test_the_table_of_the_predecessor(tmp_path: Path) -> None:
    assert labels(write(tmp_path / "a.csv", OLD)) == {
        "a.jpg": {"damage": ("minor",), "location": ("front", "side"), "damagetype": ("dent", "scratch")},
        "sub/b.jpg": {"damage": ("whole",), "location": ("NULL",)},
    }


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_separators_and_byte_order_marks(tmp_path: Path, separator: str, encoding: str) -> None:
    text = separator.join(("Filename", "größe")) + "\r\n" + separator.join(("a.jpg", '"dent;glass"')) + "\r\n\r\n"
    assert labels(write(tmp_path / "a.csv", text, encoding)) == {"a.jpg": {"größe": ("dent", "glass")}}


def test_lists_in_cells_do_not_make_semicolons_the_separator(tmp_path: Path) -> None:
    assert labels(write(tmp_path / "a.csv", "name,kind\na.jpg,x;y;z;w\n")) == {"a.jpg": {"kind": ("x", "y", "z", "w")}}


def test_columns_are_mapped_and_the_group_passes_through(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,picture,sev,loc,group\n1,a.jpg,minor,front,car;7\n2,b.jpg,,rear,\n")
    assert labels(path, photo="picture", severity="sev") == {
        "a.jpg": {"severity": ("minor",), "group": ("car;7",)},
        "b.jpg": {},
    }


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("name,sev\na.jpg,x\n", {"severity": "seb"}, r'a.csv: no column "seb". Did you mean "sev"\? .*: name, sev'),
        ("picture,sev\na.jpg,x\n", {}, r"no column for the photos \(name, photo, image.*--column photo="),
        ("name\na.jpg\n", {}, "no column beside that of the photos"),
        ("name,sev,sev\na.jpg,x,y\n", {}, "several columns are named sev"),
        ("", {}, "the file is empty"),
        ('name,sev\na.jpg,"x\n', {}, "line 2: not csv: .* Look at the quotes"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, text: str, columns: dict[str, str], message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        read(write(tmp_path / "a.csv", text), **columns)


def test_latin_1_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "name,kind\na.jpg,gro\u00df\n", "latin-1")
    with pytest.raises(AnnotationError, match=r"a.csv, line 2: not UTF-8 text. Save the file as UTF-8"):
        read(path)


def test_missing_tables(tmp_path: Path) -> None:
    for name in ("none.csv", "none.parquet"):
        with pytest.raises(AnnotationError, match="no such file"):
            read(tmp_path / name)
    with pytest.raises(AnnotationError, match=r"a folder\. Give the table itself"):
        read(tmp_path)
    with pytest.raises(AnnotationError, match=r"a.parquet: not a parquet file that can be read"):
        read(write(tmp_path / "a.parquet", "name,kind\n"))


def test_bad_rows_are_problems_and_the_others_go_on(tmp_path: Path) -> None:
    rows = ("a.jpg,x", "b.jpg", "/etc/c.jpg,x", "../d.jpg,x", ",x", "e.jpg,x;NULL", "f.jpg,;", "g.jpg,x")
    found = read(write(tmp_path / "a.csv", "name,kind\n" + "\n".join(rows) + "\n"))
    assert [each.photo for each in found if isinstance(each, Record)] == ["a.jpg", "g.jpg"]
    problems = [f"{each.place}: {each.what}" for each in found if isinstance(each, Problem)]
    for line, what in (
        (3, "1 cells, but the header names 2 columns"),
        (4, "is an absolute path"),
        (5, 'leaves the photo folder by ".."'),
        (6, "the name is empty"),
        (7, 'kind "x;NULL" holds NULL and a label'),
        (8, 'kind ";" names no label'),
    ):
        assert any(f"a.csv, line {line}: " in each and what in each for each in problems), problems
    assert len(problems) == 6


def test_equal_rows_count_once_and_others_are_one_problem(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "name,kind\na.jpg,x\nb.jpg,x\n./a.jpg,x\nb.jpg,y\nc.jpg,x\nb.jpg,\n")
    found = read(path)
    assert [each.photo for each in found if isinstance(each, Record)] == ["a.jpg", "c.jpg"]
    (problem,) = [each for each in found if isinstance(each, Problem)]
    assert problem.place == "a.csv, line 3, line 5, line 7"
    assert '"b.jpg" stands in several rows with other values' in problem.what
    assert len(read(path, other="name")) == 3  # of the columns that are read nothing contradicts


def test_parquet_cells_become_text(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    frame = pandas.DataFrame(
        {
            "Image": ["a.jpg", "b.jpg", "c.jpg"],
            "grade": [1, 2, 3],
            "maybe": [1.0, None, 2.5],
            "kinds": [["dent", "glass"], [], None],
            "word": ["x", None, "NULL"],
            "group": [7, 7, 8],
        }
    )
    frame.to_parquet(path)
    assert labels(path) == {
        "a.jpg": {"grade": ("1",), "maybe": ("1",), "kinds": ("dent", "glass"), "word": ("x",), "group": ("7",)},
        "b.jpg": {"grade": ("2",), "group": ("7",)},
        "c.jpg": {"grade": ("3",), "maybe": ("2.5",), "word": ("NULL",), "group": ("8",)},
    }
    frame["Image"] = ["a.jpg", "../b.jpg", "c.jpg"]
    frame.to_parquet(path)
    (problem,) = [each for each in read(path) if isinstance(each, Problem)]
    assert problem.place == "a.parquet, row 2"


def test_tables_are_found_by_what_stands_in_them(tmp_path: Path) -> None:
    good = write(tmp_path / "set" / "labels.csv", OLD)
    parquet = tmp_path / "set" / "b.parquet"
    pandas.DataFrame({"file_name": ["a.png"], "kind": ["x"]}).to_parquet(parquet)
    write(tmp_path / "via.csv", "filename,file_size,region_shape_attributes\na.jpg,1,{}\n")
    write(tmp_path / "class_dict.csv", "name,r,g,b\ndent,1,2,3\n")
    write(tmp_path / "names.csv", "name,age\nBob,3\n")
    write(tmp_path / "photos.csv", "name\na.jpg\n")
    write(tmp_path / "latin.csv", "name,k\na.jpg,\u00df\n", "latin-1")
    write(tmp_path / "empty.csv", "")
    write(tmp_path / "no.parquet", "PAR1")
    write(tmp_path / "a.txt", OLD)
    assert find_tables(tmp_path) == [parquet, good]
    assert find_tables(good) == [good]
    assert find_tables(tmp_path / "a.txt") == []
    assert find_tables(tmp_path / "none") == []


def test_the_real_table_reads(shared_dir: Path) -> None:
    path = shared_dir / "data" / "car_damage" / "labels.csv"
    assert find_tables(path) == [path]
    found = labels(path)
    assert len(found) == 1829
    severity = [given["damage"][0] for given in found.values()]
    assert {name: severity.count(name) for name in set(severity)} == {
        "whole": 919,
        "severe": 353,
        "moderate": 290,
        "minor": 267,
    }
    assert sum("damagetype" not in given for given in found.values()) == 449
