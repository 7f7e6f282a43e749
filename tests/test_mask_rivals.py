"""Networks from pixels beside a model's heads: fitted once, on the same folds, compared on the same masks."""

import csv
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from carclf import app
from carclf.app import run_config
from carclf.checking.survey import survey_data
from carclf.cli import main
from carclf.config import Config, read_config
from carclf.config_data import AnnotationConfig
from carclf.mask_fold import read_fold_mask
from carclf.mask_previews import Previews
from carclf.predict import Predictor
from carclf.rundir import RunDir
from carclf.saying import Answer
from carclf.using import evaluate_config, open_predictor
from tests.drawn_set import MODEL, draw_set, without_durations, write_config

FLEX: dict[str, Any] = {
    "kind": "segmentation",
    "architecture": {
        "name": "flexunet",
        "image_size": 36,
        "num_classes": 2,
        "base_filters": 4,
        "base_kernels": [5, 5],
        "num_layers": 3,
    },
    "mask_training": {"epochs": 2, "epoch_previews": 2},
}
XCEPTION: dict[str, Any] = {
    "kind": "segmentation",
    "masks_of": "damage_mask",
    "architecture": {"name": "unet_xception", "image_size": 32, "momentum": 0.5},
    "mask_training": {"epochs": 1},
    "tile": 64,
    "overlap": 16,
    "folds": 1,
}
HEADS = ["severity", "damage_type", "damage_mask"]  # of the drawn run
RIVALS = ["flex", "xception"]


def write_rivals(folder: Path, drawn_set: Path, drawn_run: Path) -> Path:
    """The config of the drawn run with two rivals of its mask head, and what that run has made already."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(drawn_run / "results", folder / "results")
    data = json.loads((drawn_run / "config.json").read_text())
    # the drawn set's small mask_training, but for what architectures from pixels say themselves
    general = data["mask_training"] | {"views": 1}
    del general["epochs"]
    mask = data["heads"]["damage_mask"] | {"mask_training": {"epochs": data["mask_training"]["epochs"]}}
    heads = data["heads"] | {"damage_mask": mask, "flex": FLEX | {"masks_of": "damage_mask"}, "xception": XCEPTION}
    return write_config(folder, drawn_set, heads=heads, mask_training=general, workers=1)


@pytest.fixture(scope="module")
def rivals(drawn_set: Path, drawn_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run. Nobody may change it."""
    folder = tmp_path_factory.mktemp("rivals")
    draw = app._draw
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "_draw", lambda images, name, *rest: name == MODEL or draw(images, name, *rest))
        run_config(read_config(write_rivals(folder, drawn_set, drawn_run)))
    return folder


@pytest.fixture(scope="module")
def run(rivals: Path) -> RunDir:
    return RunDir(rivals / "results" / "standalone")


@pytest.fixture(scope="module")
def tree(run: RunDir) -> dict[str, Any]:
    read: dict[str, Any] = run.read_json("results.json")
    return read


@pytest.fixture(scope="module")
def predictor(rivals: Path) -> Predictor:
    return open_predictor(read_config(rivals / "config.json"))


@pytest.fixture
def copied(rivals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run that may be changed; nothing is drawn."""
    monkeypatch.setattr(app, "_draw", lambda *_: None)
    shutil.copytree(rivals / "results", tmp_path / "results")
    shutil.copy(rivals / "config.json", tmp_path)
    return tmp_path


def changed(folder: Path, head: str, **keys: Any) -> Config:
    """Changes keys of a head in the config of a folder."""
    data = json.loads((folder / "config.json").read_text())
    data["heads"][head] |= keys
    (folder / "config.json").write_text(json.dumps(data))
    return read_config(folder / "config.json")


def state(path: Path) -> tuple[int, bytes]:
    return path.stat().st_mtime_ns, path.read_bytes()


def answered(predictor: Predictor, photos: list[Path]) -> list[Answer]:
    given = list(predictor.predict(photos))
    assert all(isinstance(answer, Answer) for answer in given)
    return [answer for answer in given if isinstance(answer, Answer)]


# -- what a run leaves


def test_the_run_has_its_files_and_pictures(rivals: Path, run: RunDir) -> None:
    files = {str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()}
    own = {"config.json", "groups.csv", "folds.csv", "known_photos.npz", "stages.json", "results.txt", "results.json"}
    tables = ("evaluation.csv", "train_losses.csv", "train_metrics.csv", "predictions.csv", "regions.csv")
    each = {f"{head}/{name}" for head in RIVALS for name in (*tables, "history.csv", "choices.json", "inner.csv")}
    folds = {f"{head}/fold0{end}.npz" for head in RIVALS for end in ("", "_scores")}
    folds |= {"flex/fold1.npz", "flex/fold1_scores.npz"}
    previews = {f"flex/previews/fold{fold}{end}.png" for fold in (0, 1) for end in ("", "_epoch001", "_epoch002")}
    assert files - {".lock"} == own | each | folds | previews
    pictures = {path.name for path in (rivals / "images").iterdir()}
    shown = ("accuracy", "loss", "confusion", "risk_coverage", "masks")
    assert {f"standalone_{head}_{what}.png" for head in RIVALS for what in shown} <= pictures
    assert not (rivals / "results" / MODEL / "flex").exists()


def test_an_epochs_preview_shows_as_many_photos_as_were_asked_for(run: RunDir) -> None:
    with Image.open(run.path / "flex/previews/fold0_epoch001.png") as picture:
        width, height = picture.size
    assert width == 2 * height


def test_previews_of_a_longer_fit_do_not_stay(tmp_path: Path) -> None:
    folder = tmp_path / "flex" / "previews"
    folder.mkdir(parents=True)
    for name in ("fold1_epoch001.png", "fold1_epoch009.png", "fold10_epoch009.png"):
        (folder / name).touch()
    Previews(RunDir(tmp_path), "flex", 1, (), lambda places: [])
    assert [path.name for path in folder.iterdir()] == ["fold10_epoch009.png"]


def test_networks_from_pixels_have_the_folds_of_the_model(rivals: Path, drawn_run: Path, run: RunDir) -> None:
    alone, beside = (folder / "results" / MODEL / "folds.csv" for folder in (drawn_run, rivals))
    assert beside.read_bytes() == alone.read_bytes()  # masks that several heads answer count once
    assert (run.path / "folds.csv").read_bytes() == alone.read_bytes()
    assert (run.path / "groups.csv").read_bytes() == beside.with_name("groups.csv").read_bytes()


def test_what_the_model_had_done_is_not_done_again(rivals: Path, drawn_run: Path) -> None:
    for name in ("damage_mask/fold0.npz", "damage_mask/fold1_scores.npz", "severity/predictions.csv"):
        old, new = (folder / "results" / MODEL / name for folder in (drawn_run, rivals))
        assert state(new)[1] == state(old)[1]
    stages = [RunDir(folder / "results" / MODEL).seconds() for folder in (drawn_run, rivals)]
    kept = ("features", "groups", "folds", *HEADS)
    assert [stages[0][stage] for stage in kept] == [stages[1][stage] for stage in kept]


def test_fewer_folds_judge_the_photos_of_the_first_ones_alone(run: RunDir, tree: dict[str, Any]) -> None:
    fold = run.read_table("folds.csv", ("photo",)).set_index("photo")["fold"]
    judged = run.read_table("xception/predictions.csv", ("photo",))
    assert set(judged["photo"]) == set(fold.index[fold == 0])
    assert set(run.read_table("flex/predictions.csv", ("photo",))["photo"]) == set(fold.index)
    assert (tree["heads"]["xception"]["folds"], tree["heads"]["flex"]["folds"]) == ([0], [0, 1])
    assert tree["folds"] == 2
    lines = run.read_text("results.txt").splitlines()
    told = {name: next(line for line in lines if line.startswith(f"{name}: segmentation")) for name in RIVALS}
    assert told["xception"].endswith("; judged on folds 0 of 2 alone")
    assert f" {(fold == 0).sum()} labelled photos" in told["xception"]
    assert "judged on" not in told["flex"]


def test_results_txt_says_what_the_networks_are(run: RunDir) -> None:
    text = run.read_text("results.txt")
    assert "backbone   none: networks that look at the photo itself, trained from fresh weights" in text
    assert "masks      flex: flexunet, image_size 36, num_classes 2, base_filters 4" in text
    assert "masks      xception: unet_xception, image_size 32, momentum 0.5, tile 64, overlap 16" in text


def test_architectures_are_compared_on_the_masks_that_they_share(
    rivals: Path, run: RunDir, tree: dict[str, Any]
) -> None:
    first = f"{MODEL} damage_mask"
    assert list(tree["compare"]) == ["damage_mask or standalone flex", "damage_mask or standalone xception"]
    for name in ("flex", "xception"):
        comparison, head = tree["compare"][f"damage_mask or standalone {name}"], tree["heads"][name]
        assert [(pair["first"], pair["second"]) for pair in comparison["pairs"]] == [(first, f"standalone {name}")]
        assert comparison["photos"] == head["photos"]  # those that both have answered
        assert comparison["means"][f"standalone {name}"]["dice"] == head["metrics"]["dice"]["mean"]
    comparison = tree["compare"]["damage_mask or standalone flex"]
    for folder in (run.path, rivals / "results" / MODEL):
        text = (folder / "results.txt").read_text()
        assert f"damage_mask or standalone flex: {first} - standalone flex, {comparison['photos']} photos" in text
        assert json.loads((folder / "results.json").read_text())["compare"] == tree["compare"]


# -- the tables of the published projects


@pytest.mark.parametrize("head", RIVALS)
def test_evaluation_csv_is_what_results_json_says(run: RunDir, tree: dict[str, Any], head: str) -> None:
    with (run.path / head / "evaluation.csv").open(newline="") as file:
        rows = {row["metric"]: row for row in csv.DictReader(file)}
    told = tree["heads"][head]
    assert list(rows) == list(told["metrics"])
    for name, metric in told["metrics"].items():
        expected = {key: metric[key] for key in ("mean", "pooled", "baseline")}
        expected |= {"nothing": told["nothing"][name], "low": metric["interval"][0], "high": metric["interval"][1]}
        expected |= {f"fold {fold}": value for fold, value in zip(told["folds"], metric["folds"], strict=True)}
        found = {key: float(cell) if cell else None for key, cell in rows[name].items() if key != "metric"}
        assert found == {key: value if value is None else pytest.approx(value) for key, value in expected.items()}


@pytest.mark.parametrize("head", RIVALS)
@pytest.mark.parametrize(
    ("file", "of", "called"), [("train_losses", "loss", "loss"), ("train_metrics", "metric", "dice")]
)
def test_the_curves_are_those_of_history_csv(run: RunDir, head: str, file: str, of: str, called: str) -> None:
    history = pd.read_csv(run.path / head / "history.csv").set_index(["fold", "epoch", "split"])[of]
    columns = {"train": called, "inner_validation": f"inner_val_{called}", "validation": f"val_{called}"}
    expected = history.unstack("split").rename(columns=columns)[list(columns.values())]
    written = pd.read_csv(run.path / head / f"{file}.csv").set_index(["fold", "epoch"])
    pd.testing.assert_frame_equal(written, expected, check_names=False)
    assert len(written) == {"flex": 4, "xception": 1}[head]


# -- what is done again, and what is not


def test_a_second_run_does_nothing_and_says_nothing(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Though its networks look at photos of two sizes."""
    arrays = sorted((copied / "results" / "standalone").rglob("*.npz"))
    before = {path: state(path) for path in arrays if path.name != "known_photos.npz"}  # lent anew by the model
    stages = RunDir(copied / "results/standalone").seconds()
    results = without_durations(copied / "results/standalone/results.json")
    assert main(["--config", str(copied / "config.json"), "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    assert {path: state(path) for path in before} == before
    assert RunDir(copied / "results/standalone").seconds() == stages
    assert without_durations(copied / "results/standalone/results.json") == results


def test_settings_of_masks_and_regions_judge_again_but_fit_nothing(copied: Path, tree: dict[str, Any]) -> None:
    results = copied / "results"
    flex, xception, mask = results / "standalone/flex", results / "standalone/xception", results / MODEL / "damage_mask"
    fitted = {folder / "fold0.npz": state(folder / "fold0.npz") for folder in (flex, xception, mask)}
    mask_scores = state(mask / "fold1_scores.npz")
    scores = {folder: (folder / "fold0_scores.npz").read_bytes() for folder in (flex, xception)}
    old_mask = json.loads((results / MODEL / "results.json").read_text())["heads"]["damage_mask"]["metrics"]
    old, found = tree["heads"], count_found(xception)
    changed(copied, "damage_mask", regions={"min_probability": 0.0})
    changed(copied, "xception", regions={"split": False, "min_area": 0.05})
    trees = run_config(changed(copied, "flex", tile=64, overlap=8))
    assert {path: state(path) for path in fitted} == fitted
    assert state(mask / "fold1_scores.npz") == mask_scores  # how sure a region must be is asked of what was counted
    assert [folder.name for folder in scores if (folder / "fold0_scores.npz").read_bytes() == scores[folder]] == []
    now_mask, now = trees[MODEL]["heads"]["damage_mask"]["metrics"], trees["standalone"]["heads"]
    assert now_mask["produced_rate"]["mean"] > old_mask["produced_rate"]["mean"]
    assert now_mask["dice"] == old_mask["dice"]
    assert now["flex"]["metrics"]["dice"] != old["flex"]["metrics"]["dice"]
    assert now["xception"]["metrics"]["dice"] == old["xception"]["metrics"]["dice"]  # regions make no pixel
    assert count_found(xception) < found


def count_found(head: Path) -> int:
    """How many regions a head has found."""
    return int((pd.read_csv(head / "regions.csv")["answer"] == "head").sum())


def test_scores_that_are_deleted_come_back_as_they_were(copied: Path, tree: dict[str, Any]) -> None:
    scores, fitted = (copied / "results/standalone/flex" / name for name in ("fold1_scores.npz", "fold1.npz"))
    before, network = scores.read_bytes(), state(fitted)
    scores.unlink()
    trees = run_config(read_config(copied / "config.json"))
    assert scores.read_bytes() == before
    assert state(fitted) == network
    assert trees["standalone"]["heads"] == tree["heads"]


def test_a_network_that_is_lost_is_fitted_again_to_the_same_bytes(rivals: Path, copied: Path) -> None:
    (copied / "results/standalone/xception/fold0.npz").unlink()
    run_config(read_config(copied / "config.json"))
    first, second = (folder / "results" / "standalone" for folder in (rivals, copied))
    files = [path.relative_to(first) for path in first.rglob("*") if path.is_file()]
    timed = ("stages.json", "results.json", "results.txt", "config.json", ".lock")  # or they name the folder
    lasting = [path for path in files if path.name not in timed]
    assert len(lasting) > 20
    assert [path for path in lasting if (first / path).read_bytes() != (second / path).read_bytes()] == []
    assert without_durations(second / "results.json") == without_durations(first / "results.json")


# -- what it answers


def test_a_model_answers_with_the_heads_without_a_backbone_too(predictor: Predictor, drawn_set: Path) -> None:
    photos = sorted((drawn_set / "photos").iterdir())[:2]
    for answer in answered(predictor, photos):
        assert list(answer.fields["heads"]) == [*HEADS, *RIVALS]
        assert answer.fields["model"] == MODEL
        assert set(answer.masks) == {"damage_mask", *RIVALS}
        for mask in answer.masks.values():
            assert mask.shape == (96, 96)


def test_standalone_answers_with_its_heads_alone(
    rivals: Path, predictor: Predictor, drawn_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = sorted((drawn_set / "photos").iterdir())[0]
    words = ["predict", "--config", str(rivals / "config.json"), "--model"]
    assert main([*words, "standalone", str(photo)]) == 0
    fields = json.loads(capsys.readouterr().out)
    assert (fields["model"], list(fields["heads"])) == ("standalone", RIVALS)
    beside = answered(predictor, [photo])[0].fields
    assert {name: beside["heads"][name] for name in RIVALS} == fields["heads"]
    assert beside["model_sha256"] != fields["model_sha256"]
    assert main([*words, "standalon", str(photo)]) == 2
    assert '"standalon" is not one of small, standalone. Did you mean "standalone"?' in capsys.readouterr().err


def held_out(run: RunDir, fold: int) -> Iterator[tuple[str, int]]:
    """(photo, its place among those of the head) of the photos that a fold judges; all photos are labelled."""
    table = run.read_table("folds.csv", ("photo",))
    for place in np.flatnonzero(table["fold"].to_numpy() == fold):
        yield str(table["photo"][place]), int(place)


def test_a_single_networks_answer_is_the_mask_that_was_judged_tile_by_tile(
    predictor: Predictor, run: RunDir, drawn_set: Path
) -> None:
    xception = predictor.mask_heads["xception"]
    plan = xception.looking.plan((96, 96), xception.decoders[0].grid)
    assert plan is not None
    assert (len(xception.decoders), len(plan)) == (1, 4)
    kept = dict(held_out(run, 0))
    masks = {
        answer.path.name: answer.masks["xception"]
        for answer in answered(predictor, [drawn_set / "photos" / name for name in kept])
    }
    for name, place in kept.items():
        np.testing.assert_array_equal(masks[name], read_fold_mask(run, "xception", 0, place), err_msg=name)
    assert len(np.unique(np.stack(list(masks.values())))) == 2  # there is something to be right about


@pytest.mark.parametrize("fold", [0, 1])
def test_the_network_of_a_fold_answers_as_it_was_judged(
    predictor: Predictor, run: RunDir, drawn_set: Path, fold: int
) -> None:
    flex = predictor.mask_heads["flex"]
    assert len(flex.decoders) == 2
    assert flex.looking.plan((96, 96), flex.decoders[0].grid) is None
    thresholds = [np.array(choice["thresholds"]) for choice in run.read_json("flex/choices.json")]
    np.testing.assert_allclose(flex.thresholds, np.mean(thresholds, axis=0))
    decider = replace(flex.decider, thresholds=thresholds[fold])
    single = replace(flex, decoders=flex.decoders[fold : fold + 1], decider=decider)
    alone = replace(predictor, runs={}, heads={}, mask_heads={"flex": single}, backbone=None)
    kept = dict(held_out(run, fold))
    for answer in answered(alone, [drawn_set / "photos" / name for name in kept]):
        expected = read_fold_mask(run, "flex", fold, kept[answer.path.name])
        np.testing.assert_array_equal(answer.masks["flex"], expected, err_msg=answer.path.name)


def test_regions_that_are_not_sure_enough_are_counted_only(predictor: Predictor, drawn_set: Path) -> None:
    photos, flex = sorted((drawn_set / "photos").iterdir())[:6], predictor.mask_heads["flex"]

    def ask(least: float) -> list[Answer]:
        heads = {"flex": replace(flex, min_probability=least)}
        return answered(replace(predictor, runs={}, mask_heads=heads), photos)

    everything = ask(0.0)
    probabilities = sorted(region.probability for answer in everything for region in answer.regions["flex"])
    least = probabilities[len(probabilities) // 2]
    assert probabilities[0] < least
    for every, sure in zip(everything, ask(least), strict=True):
        kept = tuple(region for region in every.regions["flex"] if region.probability >= least)
        assert [region.box for region in sure.regions["flex"]] == [region.box for region in kept]
        left_out = [answer.fields["heads"]["flex"]["regions_left_out"] for answer in (every, sure)]
        assert left_out == [0, len(every.regions["flex"]) - len(kept)]


# -- on other photos, and in a check


def test_a_separate_set_scores_the_masks_that_predict_gives(copied: Path, predictor: Predictor, tmp_path: Path) -> None:
    other = draw_set(tmp_path / "set", count=12, seed=99)
    masks = [AnnotationConfig(format="masks", path=other / "masks", head="damage_mask")]
    beside, alone = (
        evaluate_config(read_config(copied / "config.json"), model, other / "photos", other / "labels.csv", masks)
        for model in (None, "standalone")
    )
    assert list(beside["heads"]) == [*HEADS, *RIVALS]
    assert list(alone["heads"]) == RIVALS  # damage_mask, whose masks they answer, is the model's alone
    assert json.loads((copied / "results/standalone/evaluation.json").read_text()) == alone
    assert (alone["photos"], alone["left_out_as_seen_in_training"]) == (12, 0)
    sizes = {name: np.zeros(2, np.int64) for name in RIVALS}
    for answer in answered(predictor, sorted((other / "photos").iterdir())):
        with Image.open(other / "masks" / f"{answer.path.stem}.png") as image:
            true = np.array(image) == 1
        for name in RIVALS:
            said = answer.masks[name] == 1
            sizes[name] += [2 * (said & true).sum(), said.sum() + true.sum()]
    for name, (both, all_pixels) in sizes.items():
        assert alone["heads"][name]["metrics"] == beside["heads"][name]["metrics"]
        assert alone["heads"][name]["metrics"]["dice"]["mean"] == pytest.approx(both / all_pixels, rel=1e-5)


def test_a_check_needs_no_model(drawn_set: Path, run: RunDir, tmp_path: Path) -> None:
    mask = json.loads(write_config(tmp_path, drawn_set).read_text())["heads"]["damage_mask"]
    heads = {"damage_mask": mask | FLEX, "other": FLEX | {"masks_of": "damage_mask"}}
    shutil.copytree(run.path / "flex", tmp_path / "results/standalone/damage_mask")
    survey = survey_data(read_config(write_config(tmp_path, drawn_set, heads=heads, models=[], backbones={})))
    assert survey.is_sound, [finding.text for finding in survey.findings]
    assert "as a run without a backbone does" in survey.by
    assert list(survey.suspects) == ["damage_mask"]
    assert {count.head for count in survey.classes} == {"damage_mask"}  # masks that two heads answer are counted once


def test_a_check_shows_what_a_run_of_networks_from_pixels_takes_for_wrong(
    drawn_set: Path, drawn_run: Path, rivals: Path, run: RunDir, tmp_path: Path
) -> None:
    """Their heads lie in another folder than the first model's."""
    data = json.loads((rivals / "config.json").read_text())
    heads = {"damage_mask": data["heads"]["damage_mask"] | FLEX, "severity": data["heads"]["severity"]}
    shutil.copytree(run.path / "flex", tmp_path / "results/standalone/damage_mask")
    shutil.copytree(rivals / "results" / MODEL / "severity", tmp_path / "results" / MODEL / "severity")
    shutil.copytree(drawn_run / "results/cache", tmp_path / "results/cache")
    survey = survey_data(read_config(write_config(tmp_path, drawn_set, heads=heads)))
    assert set(survey.suspects) == {"damage_mask", "severity"}
