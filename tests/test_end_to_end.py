"""The whole program on drawn photos: once, and what must be true of it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from carclf.app import run_config
from carclf.asking import list_photos
from carclf.cli import main
from carclf.config import read_config
from carclf.config_data import AnnotationConfig
from carclf.errors import CarclfError, LabelError, RunDirError
from carclf.labels import IGNORED_PIXEL
from carclf.saying import Answer
from carclf.terminal import print_evaluation, print_summary
from carclf.using import evaluate_config, open_predictor
from tests.drawn_set import MODEL, draw_set

PICTURES = {
    "severity": ("accuracy", "loss", "confusion", "reliability", "risk_coverage"),
    "damage_type": ("accuracy", "loss", "confusion", "reliability", "risk_coverage"),
    "damage_mask": ("accuracy", "loss", "confusion", "risk_coverage", "masks"),
}


@pytest.fixture(scope="module")
def tree(drawn_run: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((drawn_run / "results" / MODEL / "results.json").read_text())
    return read


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file's time and bytes, but for locks and the effective config, which name the folder."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_results_hold_all_that_design_promises(tree: dict[str, Any]) -> None:
    assert next(iter(tree)) == "schema_version"
    assert list(tree["heads"]) == list(PICTURES)
    assert tree["photos"] == 48
    assert tree["skipped"] == []
    assert tree["backbone"]["seen_drawn_cars"] is True
    metrics = {
        "severity": {"accuracy", "accuracy_damaged", "macro_f1", "log_loss", "brier", "calibration_error"},
        "damage_type": {"binary_accuracy", "macro_f1", "mean_ap", "log_loss", "calibration_error"},
        "damage_mask": {"dice", "iou", "dice_damaged", "iou_damaged", "dice_per_photo", "false_alarm", "ap50", "ap"},
    }
    for name, expected in metrics.items():
        head = tree["heads"][name]
        assert expected <= set(head["metrics"])
        for metric in head["metrics"].values():
            assert {"mean", "pooled", "interval", "folds", "baseline"} <= set(metric)
        of_masks = {"iou", "boundary_f1", "regions", "found", "ap50", "ap", "produced", "false_alarm"}
        for label in head["labels"].values():
            assert {"n", "precision", "recall", "f1", "threshold"} <= set(label)
            assert (of_masks if name == "damage_mask" else {"ap", "auc"}) <= set(label)
    assert set(tree["duration_s"]) >= {"features", "groups", *PICTURES, "total"}


def test_results_txt_opens_each_head_as_the_predecessor_did(drawn_run: Path) -> None:
    text = (drawn_run / "results" / MODEL / "results.txt").read_text()
    for line in ("Categorical accuracies", "Binary accuracies", "Foreground Dice", "on average: ", "best iteration: "):
        assert line in text
    assert "HAS seen drawn cars" in text
    assert "skipped    none" in text


def test_it_beats_the_trivial_baseline_where_the_set_is_large_enough(tree: dict[str, Any]) -> None:
    severity = tree["heads"]["severity"]["metrics"]
    assert severity["accuracy"]["mean"] > severity["accuracy"]["baseline"]
    assert severity["macro_f1"]["mean"] > severity["macro_f1"]["baseline"]
    mean_ap = tree["heads"]["damage_type"]["metrics"]["mean_ap"]
    assert mean_ap["mean"] > mean_ap["baseline"]


def test_every_picture_is_there(drawn_run: Path) -> None:
    expected = {f"{MODEL}_{head}_{what}.png" for head, shown in PICTURES.items() for what in shown}
    assert {path.name for path in (drawn_run / "images").iterdir()} == expected
    for path in (drawn_run / "images").iterdir():
        with Image.open(path) as picture:
            assert min(picture.size) > 200


def test_every_photo_is_judged_once_and_groups_stay_whole(drawn_run: Path) -> None:
    run = drawn_run / "results" / MODEL
    folds = pd.read_csv(run / "folds.csv")
    assert folds["photo"].is_unique
    assert (folds.groupby("group")["fold"].nunique() == 1).all()
    for head in PICTURES:
        judged = pd.read_csv(run / head / "predictions.csv")
        assert judged["photo"].is_unique
        merged = judged.merge(folds, on="photo", suffixes=("", "_given"))
        assert (merged["fold"] == merged["fold_given"]).all()


def test_a_second_run_does_nothing_again(drawn_run: Path) -> None:
    before = snapshot(drawn_run)
    run_config(read_config(drawn_run / "config.json"))
    after = snapshot(drawn_run)
    assert {name: data for name, (_, data) in before.items()} == {name: data for name, (_, data) in after.items()}
    written = {name for name in after if before[name][0] != after[name][0]}
    run = f"results/{MODEL}"
    tables = ("evaluation.csv", "train_losses.csv", "train_metrics.csv")  # as results.json: from other files
    names = ("config.json", "backbone.json", "results.json", "results.txt", *(f"damage_mask/{name}" for name in tables))
    assert written <= {f"{run}/{name}" for name in names}


def test_what_is_deleted_comes_back_as_it_was(drawn_run: Path) -> None:
    before = snapshot(drawn_run)
    run = drawn_run / "results" / MODEL
    for name in ("results.txt", "results.json", "severity/predictions.csv", "damage_mask/choices.json"):
        (run / name).unlink()
    trees = run_config(read_config(drawn_run / "config.json"))
    after = snapshot(drawn_run)
    lasting = [name for name in before if not name.endswith(("stages.json", "results.txt", "results.json"))]
    assert [name for name in lasting if after[name][1] != before[name][1]] == []
    old, new = (json.loads(each[f"results/{MODEL}/results.json"][1]) for each in (before, after))
    assert {**old, "duration_s": 0} == {**new, "duration_s": 0} == {**trees[MODEL], "duration_s": 0}


def test_a_changed_setting_computes_its_heads_again_and_says_so(
    drawn_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("carclf.app._draw", lambda *_: None)
    shutil.copytree(drawn_run / "results", tmp_path / "results")
    config = json.loads((drawn_run / "config.json").read_text())
    config["training"]["l2"] = [0.02]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert main(["--config", str(tmp_path / "config.json"), "--quiet"]) == 0
    err = capsys.readouterr().err.splitlines()
    said = [f"{MODEL}, {head}: training changed since the last run; computed again." for head in list(PICTURES)[:2]]
    assert err == said
    old, new = (folder / "results" / MODEL for folder in (drawn_run, tmp_path))
    assert (old / "severity" / "predictions.csv").read_bytes() != (new / "severity" / "predictions.csv").read_bytes()
    assert (old / "damage_mask" / "fold0.npz").read_bytes() == (new / "damage_mask" / "fold0.npz").read_bytes()


def test_the_closing_table_names_every_score(tree: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    print_summary({MODEL: tree}, Path("results"), Path("images"))
    out = capsys.readouterr().out
    assert "accuracy_damaged" in out
    assert "dice_damaged" in out
    assert f"results/{MODEL}/results.txt Its backbone has seen drawn cars." in out


@pytest.fixture(scope="module")
def separate(drawn_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another drawn set with three training photos put in, one of them re-encoded."""
    folder = draw_set(tmp_path_factory.mktemp("separate") / "set", count=16, seed=99)
    table = (drawn_set / "labels.csv").read_text().splitlines()
    lines = (folder / "labels.csv").read_text().splitlines()
    for row in (1, 2, 3):
        name = table[row].split(",")[0]
        lines.append(table[row].replace(name, f"seen_{name}"))
        shutil.copy(drawn_set / "photos" / name, folder / "photos" / f"seen_{name}")
        mask = Path(name).with_suffix(".png").name
        shutil.copy(drawn_set / "masks" / mask, folder / "masks" / f"seen_{mask}")
    with Image.open(drawn_set / "photos" / table[1].split(",")[0]) as photo:
        photo.save(folder / "photos" / f"seen_{table[1].split(',')[0]}", quality=80)
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_evaluate_scores_a_separate_set_and_leaves_out_what_training_has_seen(
    drawn_run: Path, separate: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("carclf.using.with_runs", lambda *_: pytest.fail("merged for nothing"))
    config = read_config(drawn_run / "config.json")
    masks = AnnotationConfig(format="masks", path=separate / "masks", head="damage_mask")
    tree = evaluate_config(config, None, separate / "photos", separate / "labels.csv", [masks])
    assert tree["left_out_as_seen_in_training"] == 3
    assert tree["photos"] == 16
    assert tree["separate_set"] is True
    assert list(tree["heads"]) == list(PICTURES)
    run = drawn_run / "results" / MODEL
    assert json.loads((run / "evaluation.json").read_text()) == tree
    text = (run / "evaluation.txt").read_text()
    assert "left out   3 that show what a photo of the training shows" in text
    print_evaluation(tree)
    assert capsys.readouterr().out == text
    for head in tree["heads"].values():
        for metric in head["metrics"].values():
            assert metric["interval"][0] is None or np.isfinite(metric["interval"]).all()


def test_evaluate_scores_the_heads_that_the_set_is_labelled_for(
    drawn_run: Path, separate: Path, tmp_path: Path
) -> None:
    table = pd.read_csv(separate / "labels.csv", keep_default_na=False)
    table[["name", "damage"]].to_csv(tmp_path / "severity.csv", index=False)
    table[["name"]].to_csv(tmp_path / "none.csv", index=False)
    config = read_config(drawn_run / "config.json")
    tree = evaluate_config(config, MODEL, separate / "photos", tmp_path / "severity.csv")
    assert list(tree["heads"]) == ["severity"]
    assert tree["heads"]["severity"]["risk_coverage"]["told"] is None
    with pytest.raises(LabelError, match=r"none\.csv: is labelled for none of severity, damage_type"):
        evaluate_config(config, MODEL, separate / "photos", tmp_path / "none.csv")


def test_evaluate_tells_what_is_left_to_people(drawn_run: Path, separate: Path) -> None:
    config = read_config(drawn_run / "config.json")
    answers = open_predictor(config, MODEL).predict(list_photos([separate / "photos"]))
    sure = [answer.fields["heads"]["severity"]["confidence"] for answer in answers if isinstance(answer, Answer)]
    middle = float(np.median(sure))  # told at it and above
    changed = {
        name: config.heads[name].model_copy(update={"min_probability": least})
        for name, least in {"severity": middle, "damage_mask": 1.0}.items()
    }
    config = config.model_copy(update={"heads": config.heads | changed})
    masks = AnnotationConfig(format="masks", path=separate / "masks", head="damage_mask")
    tree = evaluate_config(config, None, separate / "photos", separate / "labels.csv", [masks])
    severity, kind, mask = (tree["heads"][name]["risk_coverage"]["told"] for name in PICTURES)
    assert severity["min_probability"] == pytest.approx([middle], rel=1e-5)
    assert 0 < severity["left"]["value"] < 1
    assert kind is None
    assert (mask["left"]["value"], mask["precision"]["value"]) == (1, None)
    for answer in open_predictor(config, MODEL).predict(list_photos([separate / "photos"])):
        assert isinstance(answer, Answer)
        said = answer.fields["heads"]
        assert ("reason" in said["severity"]) == (said["severity"]["label"] is None)
        assert said["damage_mask"]["damaged_percent"] is None


def test_evaluate_on_the_command_line_takes_via_annotations(
    drawn_run: Path, separate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.read_csv(separate / "labels.csv", keep_default_na=False)
    region = {"shape_attributes": {"name": "rect", "x": 20, "y": 20, "width": 30, "height": 30}}
    damaged = table["name"][table["damage"] != "whole"]
    via = {name: {"filename": name, "size": -1, "regions": [region | {"region_attributes": {}}]} for name in damaged}
    (tmp_path / "via.json").write_text(json.dumps(via))
    words = ["evaluate", "--config", drawn_run / "config.json", "--photos", separate / "photos"]
    words += ["--labels", separate / "labels.csv", "--annotations"]
    assert main([*map(str, words), "via", str(tmp_path / "via.json")]) == 0
    out, err = capsys.readouterr()
    assert "damage_mask: segmentation, 16 labelled photos" in out
    assert "Traceback" not in err
    for wrong, message in (
        (["vai", "x"], '"vai" is no format. Did you mean "via"? Formats: via, coco, masks,'),
        (["via", "nowhere.json"], "nowhere.json: no such file."),
        (["masks", str(tmp_path / "via.json")], "via.json: no such folder."),
    ):
        assert main([*map(str, words), *wrong]) == 2
        assert message in capsys.readouterr().err


def test_evaluate_knows_which_of_several_heads_annotations_are_for(
    drawn_run: Path, separate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = json.loads((drawn_run / "config.json").read_text())
    given["heads"]["other_mask"] = {"kind": "segmentation", "labels": given["heads"]["damage_mask"]["labels"]}
    given["dataset"]["annotations"][0]["head"] = "damage_mask"
    path = tmp_path / "config.json"
    path.write_text(json.dumps(given))
    words = ["evaluate", "--config", path, "--photos", separate / "photos", "--labels", separate / "labels.csv"]
    masks = separate / "masks"
    assert main([*map(str, words), "--annotations", "masks", str(masks)]) == 2
    expected = f"--annotations masks: {masks}: for which head? Write HEAD=PATH. Segmentation heads of the config: "
    assert f"{expected}damage_mask, other_mask." in capsys.readouterr().err
    assert main([*map(str, words), "--annotations", "masks", f"other_mask={masks}/nothing"]) == 2
    assert "nothing: no such folder." in capsys.readouterr().err


def test_evaluate_refuses_training_photos_alone_and_other_classes(
    drawn_run: Path, drawn_set: Path, separate: Path, tmp_path: Path
) -> None:
    config = read_config(drawn_run / "config.json")
    with pytest.raises(CarclfError, match=r"evaluate: 0 of \d+ photos show nothing that a photo of the training shows"):
        evaluate_config(config, None, drawn_set / "photos", drawn_set / "labels.csv")
    given = json.loads((drawn_run / "config.json").read_text())
    (tmp_path / "severity.txt").write_text("whole\nminor\nmoderate\nsevere\n")
    given["heads"]["severity"]["labels"] = str(tmp_path / "severity.txt")
    given["results"] = str(drawn_run / "results")
    (tmp_path / "config.json").write_text(json.dumps(given))
    with pytest.raises(RunDirError, match=r"severity: was trained for minor, .* has whole, minor"):
        evaluate_config(read_config(tmp_path / "config.json"), None, separate / "photos", separate / "labels.csv")


def test_evaluate_leaves_out_masks_in_which_nothing_is_judged(
    drawn_run: Path, separate: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = pd.read_csv(separate / "labels.csv", keep_default_na=False)
    table = table[table["damage"] != "whole"]
    for path in (separate / "masks").iterdir():
        with Image.open(path) as mask:
            Image.new("L", mask.size, IGNORED_PIXEL).save(tmp_path / path.name)
    masks = [AnnotationConfig(format="masks", path=tmp_path, head="damage_mask")]
    table.to_csv(tmp_path / "labels.csv", index=False)
    config = read_config(drawn_run / "config.json")
    tree = evaluate_config(config, None, separate / "photos", tmp_path / "labels.csv", masks)
    assert list(tree["heads"]) == ["severity", "damage_type"]
    assert (
        "evaluate: all pixels of the masks of damage_mask are ignored ones (255 in a mask picture): not scored."
        in caplog.text
    )


def test_evaluate_refuses_labels_derived_by_another_rule(drawn_run: Path, separate: Path, tmp_path: Path) -> None:
    given = json.loads((drawn_run / "config.json").read_text())
    given["heads"]["severity"]["derived"] = {"of": "damage_mask", "rule": "share", "bounds": [0, 5, 20]}
    given["results"] = str(drawn_run / "results")
    (tmp_path / "config.json").write_text(json.dumps(given))
    config = read_config(tmp_path / "config.json")
    masks = AnnotationConfig(format="masks", path=separate / "masks", head="damage_mask")
    with pytest.raises(
        RunDirError, match=r"severity: was trained with another heads\.severity\.derived than the config"
    ):
        evaluate_config(config, None, separate / "photos", separate / "labels.csv", [masks])
