from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from carclf.app import read_dataset
from carclf.checking.findings import Finding
from carclf.checking.survey import Survey, survey_data
from carclf.config import read_config
from carclf.folds import make_folds
from carclf.splits import stratified
from tests.small_set import SIZE, SmallSet, found, the, write_mask

INSIDE: tuple[tuple[float, float], ...] = ((20, 10), (60, 10), (60, 30))


@pytest.fixture
def small(tmp_path: Path) -> SmallSet:
    return SmallSet(tmp_path / "set")


def unsound(survey: Survey) -> list[Finding]:
    return [finding for finding in survey.findings if finding.severity == "unsound"]


def classes(survey: Survey, head: str) -> dict[str, int]:
    return {each.name: each.photos for each in survey.classes if each.head == head}


def test_a_typo_costs_its_cell_and_nothing_else(small: SmallSet) -> None:
    small.row("p03.png")["damage"] = small.row("p06.png")["damage"] = "minro"
    survey = small.survey()
    finding = the(survey, "unknown label")
    assert finding.text.startswith('labels.csv, lines 5, 8: damage "minro" is not one of minor, severe, whole.')
    assert 'Did you mean "minor"?' in finding.text
    assert (finding.severity, finding.head, finding.photos) == ("unsound", "severity", ("p03.png", "p06.png"))
    assert classes(survey, "severity") == {"minor": 6, "severe": 8, "whole": 8}
    assert len(survey.folds) == 2


def test_lines_without_photos_and_photos_without_lines(small: SmallSet) -> None:
    (small.photos / "p00.png").rename(small.photos / "P00.PNG")
    small.rows.append({**small.row("p01.png"), "name": "gone.png"})
    survey = small.survey()
    missing = the(survey, "label without photo")
    assert (missing.severity, missing.photos) == ("unsound", ("p00.png", "gone.png"))
    assert missing.notes == {"p00.png": "is P00.PNG meant?"}
    assert the(survey, "photo without label").photos == ("P00.PNG",)
    assert survey.kin is not None
    assert survey.kin.photos == 23


def test_a_broken_label_table_lets_photos_and_label_files_be_looked_at(small: SmallSet) -> None:
    (small.photos / "p00.png").write_text("no photo")
    (small.photos / "p02.png").write_bytes((small.photos / "p01.png").read_bytes())
    small.label_files["severity"] = "minor\nminor"
    path = small.write()
    (small.folder / "labels.csv").write_text("photo;damage\np00.png;minor\n")
    survey = survey_data(read_config(path))
    assert 'no column "name"' in the(survey, "label table").text
    assert "stands in line 1 already" in the(survey, "label file").text
    assert the(survey, "unreadable photo").photos == ("p00.png",)
    assert the(survey, "exact duplicates").photos == ("p01.png", "p02.png")
    assert survey.folds == ()
    assert not survey.is_sound


def test_contradicting_lines_of_one_photo_and_lines_of_too_many_cells(small: SmallSet) -> None:
    path = small.write()
    with (small.folder / "labels.csv").open("a") as table:
        table.write("p00.png,severe,left\np01.png,severe,left,more\n../p02.png,whole,NULL\n")
    survey = survey_data(read_config(path))
    texts = [finding.text for finding in found(survey, "label table")]
    assert [text.split(":")[0] for text in texts] == [f"labels.csv, line {line}" for line in (26, 27, 28)]
    assert survey.labels.table is not None
    assert len(survey.labels.table.photos) == 24


def test_what_the_config_names_and_is_not_there_is_told_and_the_rest_is_looked_at(small: SmallSet) -> None:
    small.heads["severity"]["labels"] = "severety.txt"
    small.heads["location"]["column"] = "locaton"
    survey = small.survey()
    assert 'Did you mean "severity.txt"?' in the(survey, "missing path").text
    assert 'no column "locaton". Did you mean "location"?' in the(survey, "label table").text
    assert classes(survey, "damage_mask") == {"dent": 8, "scratch": 8}


def test_classes_that_never_or_rarely_occur_or_lack_groups(small: SmallSet) -> None:
    small.label_files["severity"] += "\nwrecked"
    small.sections |= {"cross_validation": {"folds": 4}, "check": {"rare_photos": 8}}
    for number in (3, 6, 9, 12, 15):
        small.row(f"p{number:02}.png")["damage"] = "severe"
    survey = small.survey()
    assert 'no photo is labelled "wrecked"' in the(survey, "class that never occurs").text
    few = [finding for finding in found(survey, "folds") if finding.severity == "unsound"]
    assert [finding.head for finding in few] == ["severity"]
    assert 'Cannot make 4 folds: "minor" has photos of only 3 cars.' in few[0].text
    assert {finding.head for finding in found(survey, "rare class")} == {"location"}


def test_a_head_that_nobody_labelled_is_unsound(small: SmallSet) -> None:
    for row in small.rows:
        row["location"] = ""
    survey = small.survey()
    assert 'column "location" is empty' in the(survey, "label table").text
    assert not survey.is_sound


def test_masks_of_another_size_with_unknown_values_or_empty(small: SmallSet) -> None:
    write_mask(small.masks / "p00.png", size=(80, 60))
    write_mask(small.masks / "p01.png", value=9)
    write_mask(small.masks / "p03.png", value=0)
    write_mask(small.masks / "p04.png", value=255)
    (small.masks / "p06.png").write_bytes(b"no mask")
    Image.new("RGB", SIZE, (10, 200, 10)).save(small.masks / "p07.png")
    (small.masks / "p09.png").unlink()
    write_mask(small.masks / "nobody.png")
    survey = small.survey()
    size = the(survey, "mask of another size")
    assert (size.severity, size.photos, size.head) == ("unsound", ("p00.png",), "damage_mask")
    assert "80 × 60 pixels, but its photo has 160 × 120" in size.text
    assert "class ids 9 are not in" in the(survey, "mask with unknown values").notes["p01.png"]
    empty = {finding.severity: finding.photos for finding in found(survey, "empty mask")}
    assert empty == {"note": ("p03.png",), "warning": ("p04.png",)}
    unreadable = {name for finding in unsound(survey) for name in finding.photos}
    assert {"p00.png", "p01.png", "p06.png", "p07.png"} == unreadable
    assert the(survey, "photo without mask").photos == ("p09.png",)
    assert "1 annotated photo not in labels.csv: nobody" in the(survey, "annotation without photo").text
    assert the(survey, "heads contradict each other").photos == ("p03.png", "p04.png")  # damaged, and known empty
    assert classes(survey, "damage_mask") == {"dent": 5, "scratch": 4}


def test_regions_outside_their_photos(small: SmallSet) -> None:
    regions = {row["name"]: INSIDE for row in small.rows if row["damage"] != "whole"}
    regions["p00.png"] = ((150, 10), (170, 10), (150, 30))  # 10 of 160 pixels outside
    regions["p01.png"] = ((200, 10), (260, 10), (200, 30))
    regions["p03.png"] = ((-2, 10), (60, 10), (60, 30))  # a slip of the hand
    small.annotate(regions)
    findings = found(small.survey(), "region outside the photo")
    assert [(finding.severity, finding.photos) for finding in findings] == [
        ("unsound", ("p01.png",)),
        ("warning", ("p00.png",)),
    ]
    assert findings[1].notes == {"p00.png": "6% of a side"}


def test_bad_records_of_annotations_cost_only_themselves(small: SmallSet) -> None:
    regions = {row["name"]: INSIDE for row in small.rows if row["damage"] != "whole"}
    regions["p00.png"] = ((1.0, 1.0), (2.0, 2.0))
    small.annotate(regions)
    survey = small.survey()
    assert "p00.png" in the(survey, "annotation").text
    assert "3 corners" in the(survey, "annotation").text
    assert classes(survey, "damage_mask")["dent"] == 15


def test_a_whole_car_with_a_damage_mask_is_a_contradiction(small: SmallSet) -> None:
    write_mask(small.masks / "p02.png")
    survey = small.survey()
    finding = the(survey, "heads contradict each other")
    assert (finding.severity, finding.photos, finding.head) == ("unsound", ("p02.png",), "damage_mask")
    assert 'severity says "whole", but damage_mask shows something' in finding.text


def test_the_labels_tie_heads_where_the_config_does_not(small: SmallSet) -> None:
    del small.heads["damage_mask"]["empty_where"]
    write_mask(small.masks / "p02.png")
    small.row("p05.png")["location"] = "left"
    small.row("p00.png")["location"] = "NULL"
    told = {(each.head, each.severity): each.photos for each in found(small.survey(), "heads contradict each other")}
    assert told == {
        ("damage_mask", "unsound"): ("p02.png",),
        ("location", "unsound"): ("p05.png",),
        ("location", "warning"): ("p00.png",),
    }


def test_parts_of_whole_cars_contradict_nothing(small: SmallSet) -> None:
    del small.heads["damage_mask"]["empty_where"]
    for row in small.rows:
        write_mask(small.masks / row["name"])
        row["location"] = "front"
    assert found(small.survey(), "heads contradict each other") == []


def test_a_damaged_car_without_the_parts_of_the_others_contradicts_nothing(small: SmallSet) -> None:
    del small.heads["damage_mask"]
    small.annotations = []
    for row in small.rows:
        row["location"] = "NULL" if row["name"] == "p00.png" else "front"
    assert found(small.survey(), "heads contradict each other") == []


def test_labels_that_follow_from_masks_are_counted_without_the_bad_masks(small: SmallSet) -> None:
    small.heads["damage_type"] = {
        "kind": "multi_label",
        "labels": "damage_mask.txt",
        "derived": {"of": "damage_mask", "rule": "classes"},
    }
    write_mask(small.masks / "p00.png", size=(80, 60))
    survey = small.survey()
    assert classes(survey, "damage_type") == classes(survey, "damage_mask") == {"dent": 7, "scratch": 8}
    assert [finding.kind for finding in unsound(survey)] == ["mask of another size"]


def test_given_folds_that_tear_a_group_apart_are_unsound(small: SmallSet) -> None:
    (small.photos / "p03.png").write_bytes((small.photos / "p00.png").read_bytes())
    small.row("p03.png")["location"] = small.row("p00.png")["location"]
    write_mask(small.masks / "p03.png")
    rows = "\n".join(f"{row['name']},{number // 3 % 2}" for number, row in enumerate(small.rows))
    (small.folder / "folds.csv").write_text(f"photo,fold\n{rows}\n")
    small.sections["cross_validation"] = {"folds_file": "folds.csv"}
    assert "belong together (same bytes" in the(small.survey(), "folds").text


def test_the_folds_are_those_of_a_run(small: SmallSet) -> None:
    survey = small.survey()
    config = read_config(small.folder / "config.json")
    dataset = read_dataset(config)
    assert survey.groups is not None
    fold = make_folds(survey.groups.group, stratified(dataset, np.arange(24)), 2, config.cross_validation.seed)
    assert [share.photos for share in survey.folds] == np.bincount(fold).tolist()
    severe = dataset.heads["severity"].targets == 1
    assert [share.labels["severity"]["severe"] for share in survey.folds] == np.bincount(fold[severe]).tolist()
    for head, data in survey.labels.heads.items():
        assert np.array_equal(data.targets, dataset.heads[head].targets)


def test_a_photo_annotated_twice_is_told(small: SmallSet) -> None:
    (small.folder / "more").mkdir()
    write_mask(small.folder / "more" / "p00.png")
    small.annotations.append({"format": "masks", "path": "more", "head": "damage_mask"})
    finding = the(small.survey(), "annotation")
    assert finding.text.startswith("more: 1 photo annotated twice.")
    assert (finding.severity, finding.photos) == ("unsound", ("p00.png",))


def test_where_no_photo_can_be_read_that_is_the_finding(small: SmallSet) -> None:
    for path in small.photos.iterdir():
        path.write_text("no photo")
    survey = small.survey()
    assert [finding.kind for finding in unsound(survey)] == ["unreadable photo"]
    assert found(survey, "heads contradict each other") == []


def test_a_head_with_labels_of_too_few_cars_to_train_on_is_unsound(small: SmallSet) -> None:
    for row in small.rows[1:]:
        row["location"] = ""
    (finding,) = unsound(small.survey())
    assert finding.text.startswith("location: the training part of a fold, or of a fold inside it, has no photo")
    assert (finding.kind, finding.head) == ("folds", "location")


@pytest.mark.parametrize(("cars", "which"), [(1, "no car"), (2, "only 1 car")])
def test_masks_of_too_few_cars_to_train_on_are_unsound(small: SmallSet, cars: int, which: str) -> None:
    del small.heads["severity"], small.heads["damage_mask"]["empty_where"]
    for number in range(24):
        write_mask(small.masks / f"p{number:02}.png", value=number < cars)
    finding = next(each for each in found(small.survey(), "folds") if each.severity == "unsound")
    assert finding.head == "damage_mask"
    assert f"shows regions of {which};" in finding.text


def test_a_class_that_hardly_any_mask_shows_is_rare_even_in_fewer_groups_than_folds(small: SmallSet) -> None:
    small.sections |= {"cross_validation": {"folds": 3}, "check": {"rare_photos": 3}}
    for number in range(24):
        if number % 3 != 2:
            write_mask(small.masks / f"p{number:02}.png", value=2 if number in (0, 1) else 1)
    (rare,) = found(small.survey(), "rare class")
    assert rare.text.startswith('damage_mask: only 2 photos of 2 groups labelled "scratch"')
