import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from carclf.config import SECTIONS, Config, check_paths, list_keys, read_config
from carclf.config_checks import cross_problems
from carclf.config_data import DatasetConfig, DemoConfig
from carclf.config_errors import known_keys
from carclf.errors import ConfigError

REPO = Path(__file__).resolve().parents[1]
SHIPPED = [REPO / "application_config.json", *sorted((REPO / "benchmarks").glob("car_damage*.json"))]


def smallest() -> dict[str, Any]:
    return {
        "dataset": {"photos": "photos", "labels": "labels.csv"},
        "backbones": {"mobilenet": {"local": "model"}},
        "models": ["mobilenet"],
        "heads": {"severity": {"kind": "categorical", "labels": "severity.txt"}},
    }


def write(folder: Path, data: Any) -> Path:
    path = folder / "c.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
    return path


def problems_of(folder: Path, data: Any) -> list[str]:
    """The problems without those of the disk, which tests make no files for."""
    with pytest.raises(ConfigError) as caught:
        read_config(write(folder, data))
    return [line for line in str(caught.value).splitlines() if "no such" not in line]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_configs_load_and_survive_a_round_trip(path: Path) -> None:
    config = read_config(path)
    assert Config.model_validate(config.model_dump(mode="json")) == config


def test_shipped_label_files_are_there() -> None:
    check_paths(read_config(REPO / "application_config.json"))


def test_shipped_default_is_the_demo_with_the_embedded_backbone() -> None:
    config = read_config(REPO / "application_config.json")
    assert isinstance(config.dataset, DemoConfig)
    assert config.embedded_fallback
    assert config.models == ("mobilenet",)
    assert list(config.heads) == ["severity", "location", "damage_type", "damage_mask"]


def test_fallback_is_off_by_default(tmp_path: Path) -> None:
    assert not read_config(write(tmp_path, smallest())).embedded_fallback


def test_paths_start_at_the_config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "deep"
    folder.mkdir()
    write(folder, smallest())
    monkeypatch.chdir(tmp_path)
    config = read_config(Path("deep/c.json"))
    assert isinstance(config.dataset, DatasetConfig)
    assert config.dataset.photos == folder / "photos"
    assert config.results == folder / "results"
    assert config.heads["severity"].labels == folder / "severity.txt"
    assert config.backbones["mobilenet"].local == folder / "model"


def test_names_follow_from_the_head(tmp_path: Path) -> None:
    data = smallest()
    data["heads"]["mask"] = {"kind": "segmentation", "labels": "m.txt"}
    data["dataset"]["annotations"] = [{"format": "via", "path": "via.json"}]
    config = read_config(write(tmp_path, data))
    assert config.heads["severity"].column == "severity"
    assert isinstance(config.dataset, DatasetConfig)
    assert config.dataset.annotations[0].head == "mask"


@pytest.mark.parametrize(("given", "count"), [("demo", 240), ({"demo": {"count": 30}}, 30), ({"demo": {}}, 240)])
def test_demo_dataset(tmp_path: Path, given: Any, count: int) -> None:
    dataset = read_config(write(tmp_path, smallest() | {"dataset": given})).dataset
    assert isinstance(dataset, DemoConfig)
    assert dataset.count == count


@pytest.mark.parametrize(("given", "expected"), [(0.1, (0.1,)), ([0.1, 1], (0.1, 1.0))])
def test_l2_is_a_number_or_several(tmp_path: Path, given: Any, expected: tuple[float, ...]) -> None:
    assert read_config(write(tmp_path, smallest() | {"training": {"l2": given}})).training.l2 == expected


def change(**changes: Any) -> dict[str, Any]:
    """The smallest config with values put at dotted keys; ".../" reads badly, so "__" stands for the dot."""
    data = smallest()
    for key, value in changes.items():
        *parents, last = key.split("__")
        place = data
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return data


SEGMENTATION = {"kind": "segmentation", "labels": "m.txt"}
ERRORS = [
    (change(heads={"results.json": SEGMENTATION}), "heads.results.json: the run itself has something of that name."),
    (
        change(heads__severity__labels="~nosuchuser/x"),
        "must be a path; nobody of the name after ~ is known",
    ),
    (change(dataset__photos="x" * 300, workers=0), "dataset.photos: xxx"),
    (change(heads__pictures=SEGMENTATION), "heads.pictures: the run itself has something of that name."),
    (
        change(training__bacth_size=3),
        'training.bacth_size: unknown key. Did you mean "batch_size"? Known keys: batch',
    ),
    (change(embeded_fallback=True), 'embeded_fallback: unknown key. Did you mean "embedded_fallback"?'),
    (
        change(dataset__photo="x"),
        'dataset.photo: unknown key. Did you mean "photos"? Known keys: annotations,',
    ),
    (change(dataset={"demo": {"cuont": 30}}), 'dataset.demo.cuont: unknown key. Did you mean "count"?'),
    (
        change(heads__severity__empty_where={"colum": "a", "value": "b"}),
        "empty_where.colum: unknown key. Did you mean",
    ),
    (
        change(heads__severity__kind="multilabel"),
        'kind: must be "categorical", "multi_label" or "segmentation", not',
    ),
    (change(heads__severity__kind="multilabel"), 'Did you mean "multi_label"?'),
    (change(backbones__mobilenet__engine="openvivo"), 'not "openvivo". Did you mean "openvino"?'),
    (change(dataset={"photos": "p"}), "dataset.labels: this key is missing. Expected: label table"),
    (change(dataset="demmo"), 'dataset: must be an object {…}, not "demmo". Expected: "demo" (drawn cars)'),
    (change(dataset={"demo": {}, "photos": "p"}), 'dataset: "demo" stands beside photos. Keep'),
    (change(cross_validation__seed=-1), "cross_validation.seed: must be greater than or equal to 0, not -1."),
    (change(dataset__photos=3), "dataset.photos: must be a path, written as text, not 3."),
    (change(dataset__photos=""), 'dataset.photos: must be a path, written as text, not "".'),
    (change(cross_validation__folds=1), "cross_validation.folds: must be greater than or equal to 2, not 1."),
    (change(cross_validation__folds="5"), 'cross_validation.folds: must be a whole number, not "5".'),
    (change(cross_validation__folds=True), "cross_validation.folds: must be a whole number, not true."),
    (change(training__learning_rate="0.1"), 'training.learning_rate: must be a number, not "0.1".'),
    (change(training__learning_rate=True), "training.learning_rate: must be a number, not true."),
    (change(mask_training__views=3), "mask_training.views: must be 1 or 2, not 3."),
    (change(training__l2=[]), "training.l2: must have at least 1 entry, not []."),
    (change(training__l2=[0.1, -1]), "training.l2[1]: must be greater than or equal to 0, not -1."),
    (change(embedded_fallback=1), "embedded_fallback: must be true or false, not 1."),
    (change(workers=0), "workers: must be greater than or equal to 1, not 0."),
    (
        change(backbones__mobilenet__input_range=[1, 0]),
        "input_range: must be [low, high] with low < high, not [1, 0].",
    ),
    (
        change(backbones__mobilenet__input_range=[0]),
        "backbones.mobilenet.input_range[1]: this key is missing.",
    ),
    (change(backbones__mobilenet__sha256="abc"), "backbones.mobilenet.sha256: must match pattern"),
    (change(backbones__mobilenet__local=None), "backbones.mobilenet: neither local nor handle is given."),
    (
        change(models=["mobilnet"]),
        '"mobilnet" is not among backbones. Did you mean "mobilenet"? Known: mobilenet.',
    ),
    (change(models=["mobilenet", "mobilenet"]), 'models[1]: "mobilenet" stands twice.'),
    (
        change(heads__severity__min_probability=0.5, heads__severity__target_precision=0.9),
        "heads.severity: min_probability and target_precision both say which answers are told. Keep one of the two.",
    ),
    (
        change(heads__severity__min_probability=1.5),
        "heads.severity.min_probability: must be less than or equal to 1, not 1.5.",
    ),
    (change(heads__severity__target_precision=1), "heads.severity.target_precision: must be less than 1, not 1."),
    (change(models=[]), "models: names no backbone, but severity needs one. Add a name of backbones."),
    (change(heads={}), "heads: must have at least 1 entry, not {}."),
    (
        change(heads={"../up": {"kind": "categorical", "labels": "x"}}),
        "heads.../up: must be a name of letters",
    ),
    (
        change(heads__severity__empty_where={"column": "a", "value": "b"}),
        "is for segmentation heads, not for kind",
    ),
    (
        change(heads__mask=SEGMENTATION | {"none_label": "x"}),
        "heads.mask.none_label: a segmentation head has none",
    ),
    (
        change(dataset__annotations=[{"format": "voa", "path": "x", "head": "a"}], heads__mask=SEGMENTATION),
        'dataset.annotations[0].format: must be "via", "coco", "masks", "supervisely", "yolo", "labelme", "cvat" '
        'or "mvtec", not "voa". Did you mean "via"?',
    ),
    (
        change(dataset__annotations=[{"format": "via", "path": "x"}]),
        "dataset.annotations[0]: no head of kind segmentation is in heads.",
    ),
    (
        change(
            dataset__annotations=[{"format": "via", "path": "x"}],
            heads__a=SEGMENTATION,
            heads__b=SEGMENTATION,
        ),
        "dataset.annotations[0].head: is missing, and there are 2 segmentation heads: a, b.",
    ),
    (
        change(dataset__annotations=[{"format": "via", "path": "x", "head": "mosk"}], heads__mask=SEGMENTATION),
        '"mosk" is not among heads. Did you mean "mask"? Segmentation heads: mask.',
    ),
    (
        change(
            dataset__annotations=[{"format": "via", "path": "x", "head": "severity"}],
            heads__mask=SEGMENTATION,
        ),
        '"severity" is of kind "categorical".',
    ),
]


@pytest.mark.parametrize(("data", "message"), ERRORS, ids=lambda value: value[:60] if isinstance(value, str) else "")
def test_errors_say_where_what_and_how(tmp_path: Path, data: Any, message: str) -> None:
    found = problems_of(tmp_path, data)
    assert any(message in line for line in found), found
    assert all(line.startswith("c.json: ") for line in found)


def test_one_mistake_is_one_line(tmp_path: Path) -> None:
    assert len(problems_of(tmp_path, change(training__bacth_size=3))) == 1
    assert len(problems_of(tmp_path, change(training__l2=["x"]))) == 1


def test_all_errors_come_at_once_those_of_the_disk_among_them(tmp_path: Path) -> None:
    data = change(training__bacth_size=3, cross_validation__folds=1, models=["other"], heads__severity__kind="x")
    with pytest.raises(ConfigError) as caught:
        read_config(write(tmp_path, data))
    for part in (
        "bacth_size",
        "folds",
        "other",
        "kind",
        "photos: no such folder",
        "severity.txt: no such file",
    ):
        assert part in str(caught.value)


def test_missing_paths_come_at_once_with_a_guess(tmp_path: Path) -> None:
    (tmp_path / "severty.txt").touch()
    (tmp_path / "photos").touch()
    data = change(dataset__annotations=[{"format": "masks", "path": "far/masks"}], heads__mask=SEGMENTATION)
    config = read_config(write(tmp_path, data))
    with pytest.raises(ConfigError) as caught:
        check_paths(config)
    lines = str(caught.value).splitlines()
    assert len(lines) == 5
    assert "dataset.photos" in lines[0]
    assert "is not a folder" in lines[0]
    assert "labels.csv: no such file." in lines[1]
    assert f"The folder {tmp_path / 'far'} is not there either." in lines[2]
    assert 'no such file. Did you mean "severty.txt"?' in lines[3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1,\n "b": }', "c.json, line 2, column 7: not valid JSON"),
        ('{"a": [1, 2,]}', "Delete the comma"),
        ("{'a': 1}", "c.json, line 1, column 2: .* double quotes"),
        ('{"a": 1, // no\n"b": 2}', "JSON has no comments"),
        ("", "The file is empty"),
        ('{"heads": {"x": {"kind": 1, "kind": 2}}}', "c.json: heads.x.kind: the key stands more than once"),
        ('{"a": [{"b": 1, "b": 1}]}', re.escape("c.json: a[0].b: the key stands more than once")),
        ("[1]", "must be one object"),
        pytest.param("[" * 100_000, "not usable JSON", id="deep"),
        ('{"training": {"learning_rate": NaN}}', "training.learning_rate: must be a finite number, not NaN"),
        ('{"training": {"learning_rate": 1e999}}', "training.learning_rate: must be a finite number"),
        ('{"training": {"max_steps": Infinity}}', "training.max_steps: must be a whole number, not Infinity"),
    ],
)
def test_json_is_read_strictly(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_config(write(tmp_path, text))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json: no such file"):
        read_config(tmp_path / "none.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path)
    (tmp_path / "c.json").write_bytes(b'{\n"a": "\xff"}')
    with pytest.raises(ConfigError, match=r"c\.json, line 2: not UTF-8 text"):
        read_config(tmp_path / "c.json")


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(smallest()), encoding="utf-8-sig")
    read_config(path)


def test_every_section_names_its_own_keys_and_every_key_is_described() -> None:
    for place, model in SECTIONS.items():
        assert known_keys([part.replace("*", "any") for part in place], SECTIONS) == tuple(sorted(model.model_fields))
    rows = list(list_keys())
    assert len(rows) == len({key for key, _, _ in rows})
    assert all(description for _, _, description in rows)
    assert ("cross_validation.seed", "42") in [row[:2] for row in rows]


def test_reading_a_config_imports_nothing_heavy() -> None:
    program = (
        "import sys, carclf.config, carclf.labels\n"
        "print(sorted({'tensorflow', 'keras', 'sklearn', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_derived_labels_demand() -> None:
    mask = {"kind": "segmentation", "labels": "x.txt"}

    def told(kind: str, **derived: object) -> list[str]:
        data = change(heads__mask=mask, heads__kind={"kind": kind, "labels": "x.txt", "derived": derived})
        return [line for line in cross_problems(data) if line.startswith("heads.kind")]

    assert told("multi_label", of="mask", rule="classes") == []
    assert told("categorical", of="mask", rule="share", bounds=[0, 5]) == []
    assert told("multi_label", of="mask", rule="touched", by="mask") == []
    assert told("categorical", of="mask", rule="classes") == [
        'heads.kind.derived.rule: "classes" is for kind "multi_label", not for "categorical".'
    ]
    assert told("multi_label", of="mosk", rule="classes") == [
        'heads.kind.derived.of: "mosk" is no segmentation head. Did you mean "mask"? Segmentation heads: mask.'
    ]
    assert "bounds: is missing" in told("categorical", of="mask", rule="share")[0]
    assert "rising numbers" in told("categorical", of="mask", rule="share", bounds=[5, 1])[0]
    assert "rising numbers" in told("multi_label", of="mask", rule="classes", bounds=[5])[0]
    assert 'belongs to the rule "touched"' in told("multi_label", of="mask", rule="touched")[0]
