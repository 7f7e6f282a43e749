"""Segmentation heads without a backbone, end to end: judged, compared on the same masks, drawn, asked, evaluated."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from carclf import app, mask_judging, mask_sheet
from carclf.app import read_dataset, run_config
from carclf.config import Config, read_config
from carclf.config_data import AnnotationConfig
from carclf.dataset import Dataset
from carclf.errors import CarclfError, RunDirError
from carclf.labels import IGNORED_PIXEL
from carclf.mask_fold import FoldData, FoldWork, fit_fold, load_truth, read_fold_mask, read_scores, score_fold
from carclf.mask_previews import Previews
from carclf.masks.scoring import confusion_counts
from carclf.predict import Predictor
from carclf.records import read_history, read_inner, read_mask_counts
from carclf.rundir import RunDir
from carclf.saying import Answer
from carclf.selective import choose_min_probability
from carclf.using import evaluate_config, open_predictor
from tests.drawn_set import draw_set, write_config

NETWORK = {"name": "flexunet", "base_filters": 4, "base_kernels": [3, 3], "num_layers": 3}
TRAINING = {"epochs": 2, "patience": 1, "batch_size": 8, "learning_rate": 0.01}
HEADS = ("damage_mask", "in_tiles")
Copied = tuple[RunDir, dict[str, Any]]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_set(tmp_path_factory.mktemp("drawn") / "set", count=20, seed=5)


@pytest.fixture(scope="module")
def config(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Two networks for the same masks: one looks at whole photos, one at tiles and is judged on one fold alone."""
    folder = tmp_path_factory.mktemp("standalone")
    heads = {
        "damage_mask": {
            "kind": "segmentation",
            "labels": str(photos / "labels" / "damage_mask.txt"),
            "empty_where": {"column": "damage", "value": "whole"},
            "architecture": {**NETWORK, "image_size": 32},
            "mask_training": {"epoch_previews": 2},
            "regions": {"min_probability": 0.2},
        },
        "in_tiles": {
            "kind": "segmentation",
            "masks_of": "damage_mask",
            "architecture": {**NETWORK, "image_size": 16},
            "tile": 64,
            "overlap": 16,
            "folds": 1,
        },
    }
    changes = {"backbones": {}, "models": [], "heads": heads, "mask_training": TRAINING, "workers": 1}
    made = read_config(write_config(folder, photos, **changes))
    run_config(made)
    return made


@pytest.fixture(scope="module")
def run(config: Config) -> RunDir:
    return RunDir(config.results / "standalone")


@pytest.fixture(scope="module")
def dataset(config: Config) -> Dataset:
    return read_dataset(config)


@pytest.fixture
def copied(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Copied:
    """A copy of the run that may be changed, and a config for it that is to be written; nothing is drawn."""
    monkeypatch.setattr(app, "_draw", lambda *_: None)
    shutil.copytree(config.results, tmp_path / "results")
    given = {"results": str(tmp_path / "results"), "images": str(tmp_path / "images")}
    return RunDir(tmp_path / "results" / "standalone"), config.model_dump(mode="json") | given


def test_every_head_has_its_files_and_they_are_fitted_once(run: RunDir, config: Config) -> None:
    assert config.runs == ("standalone",)
    assert [path.name for path in config.results.iterdir() if (path / "config.json").exists()] == ["standalone"]
    for head, folds in zip(HEADS, (2, 1), strict=True):
        names = {path.name for path in (run.path / head).iterdir() if path.is_file()}
        assert names >= {"predictions.csv", "regions.csv", "history.csv", "choices.json", "inner.csv"}
        files = {f"fold{fold}{end}.npz" for fold in range(folds) for end in ("", "_scores")}
        assert {name for name in names if name.startswith("fold")} == files
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*.npz")}
    results = (run.path / "results.json").read_bytes()
    run_config(config)
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*.npz")} == before
    assert (run.path / "results.json").read_bytes() == results


def test_what_is_deleted_or_decided_otherwise_is_made_again_without_a_fit(
    copied: Copied, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run, given = copied
    known = (run.path / "in_tiles" / "fold0_scores.npz").read_bytes()
    (run.path / "in_tiles" / "fold0_scores.npz").unlink()
    (run.path / "damage_mask" / "regions.csv").unlink()
    given["heads"]["damage_mask"]["regions"]["min_probability"] = 0.0
    (tmp_path / "config.json").write_text(json.dumps(given))
    monkeypatch.setattr(mask_judging, "fit_fold", lambda *_: pytest.fail("fitted again"))
    tree = run_config(read_config(tmp_path / "config.json"))["standalone"]
    assert (run.path / "in_tiles" / "fold0_scores.npz").read_bytes() == known
    before = json.loads((config.results / "standalone" / "results.json").read_text())
    for name in HEADS:
        assert tree["heads"][name]["metrics"]["ap50"] == before["heads"][name]["metrics"]["ap50"]
    assert tree["heads"]["in_tiles"] == before["heads"]["in_tiles"]
    assert (tree["heads"]["damage_mask"]["min_probability"], before["heads"]["damage_mask"]["min_probability"]) == (
        0,
        0.2,
    )
    assert "damage_mask: min_probability changed since the last run" in caplog.text
    assert caplog.text.count("computed again") == 1  # and of nothing else


def test_what_was_judged_of_a_lost_network_is_judged_again(
    copied: Copied, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, given = copied
    (tmp_path / "config.json").write_text(json.dumps(given))
    names = ("in_tiles/fold0.npz", "in_tiles/fold0_scores.npz")
    before = [(run.path / name).read_bytes() for name in names]
    (run.path / names[0]).unlink()
    judged: list[tuple[str, int]] = []

    def note(run: RunDir, work: Any, data: Any, fold: int) -> None:
        judged.append((work.name, fold))
        score_fold(run, work, data, fold)

    monkeypatch.setattr(mask_judging, "score_fold", note)
    run_config(read_config(tmp_path / "config.json"))
    assert judged == [("in_tiles", 0)]
    assert [(run.path / name).read_bytes() for name in names] == before  # the same network, here


def test_a_run_of_an_earlier_version_is_fitted_again_only_where_a_precision_is_wanted(
    copied: Copied, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Earlier versions kept neither inner answers nor how sure masks are."""
    run, given = copied
    for path in run.path.glob("*/fold*.npz"):
        arrays = run.read_arrays(str(path.relative_to(run.path)))
        old = {key: each for key, each in arrays.items() if key != "confidence" and not key.startswith("inner:")}
        run.write_arrays(str(path.relative_to(run.path)), old)
    stages = run.read_json("stages.json")
    for facts in stages.values():
        facts["inputs"].pop("what is counted", None)
    run.write_json("stages.json", stages)
    inner = (run.path / "in_tiles" / "inner.csv").read_bytes()
    for name in HEADS:
        (run.path / name / "inner.csv").unlink()
    given["heads"]["in_tiles"]["target_precision"] = 0.5
    (tmp_path / "config.json").write_text(json.dumps(given))
    changed = read_config(tmp_path / "config.json")
    with pytest.raises(RunDirError, match=r"in_tiles: was trained by a version that kept nothing .* Train again"):
        open_predictor(changed)
    assert isinstance(open_predictor(config), Predictor)
    fitted: list[tuple[str, int]] = []

    def note(run: RunDir, work: FoldWork, data: FoldData, fold: int, seed: int) -> None:
        fitted.append((work.name, fold))
        fit_fold(run, work, data, fold, seed)

    monkeypatch.setattr(mask_judging, "fit_fold", note)
    run_config(changed)
    assert fitted == [("in_tiles", 0)]
    assert "in_tiles/fold0.npz: fitted by a version that kept nothing to choose a min_probability from" in caplog.text
    assert "damage_mask/fold0_scores: what is counted changed since the last run; computed again" in caplog.text
    assert (run.path / "in_tiles" / "inner.csv").read_bytes() == inner
    assert not run.has("damage_mask/inner.csv")
    assert not np.isnan(read_mask_counts(run, "damage_mask").confidence).any()


def test_another_precision_or_min_probability_is_answered_by_without_a_fit(
    config: Config, dataset: Dataset, tmp_path: Path
) -> None:
    run, given = RunDir(config.results / "standalone"), config.model_dump(mode="json")
    given["heads"]["damage_mask"]["target_precision"] = 0.01
    given["heads"]["in_tiles"]["min_probability"] = 1
    (tmp_path / "config.json").write_text(json.dumps(given))
    predictor = open_predictor(read_config(tmp_path / "config.json"))
    chosen = [
        choose_min_probability(inner.confidence, inner.right, groups, 0.01)
        for inner, groups in read_inner(run, "damage_mask")
    ]
    assert predictor.mask_heads["damage_mask"].least_confidence == pytest.approx(np.mean(chosen))
    assert predictor.model_sha256 != open_predictor(config).model_sha256
    (answer,) = predictor.predict([dataset.photos[0].path])
    assert isinstance(answer, Answer)
    said = answer.fields["heads"]["in_tiles"]
    assert (said["damaged_percent"], said["reason"]) == (None, "min_probability 1 leaves every photo to people")


@pytest.mark.parametrize("head", HEADS)
def test_what_is_counted_is_what_the_kept_masks_show(run: RunDir, dataset: Dataset, head: str) -> None:
    record = read_mask_counts(run, head)
    labelled = np.flatnonzero(dataset.heads[head].labelled).tolist()
    rows = {photo.name: row for row, photo in enumerate(dataset.photos)}
    assert len(record.photos) == (len(labelled) if head == "damage_mask" else (record.folds == 0).sum())
    assert set(np.unique(record.folds)) == ({0, 1} if head == "damage_mask" else {0})
    for place, name in enumerate(record.photos):
        mask = read_fold_mask(run, head, int(record.folds[place]), labelled.index(rows[name]))
        truth = load_truth(dataset.heads[head], dataset.photos[rows[name]], rows[name])
        np.testing.assert_array_equal(confusion_counts(mask, truth.mask, 1), record.counts[place], err_msg=name)
        np.testing.assert_array_equal(record.scores.regions.true_counts[place], [len(truth.instances.class_ids)])


def test_results_compare_architectures_on_the_same_masks(run: RunDir) -> None:
    tree = run.read_json("results.json")
    (title,) = tree["compare"]
    assert title == "damage_mask or standalone in_tiles"
    (pair,) = tree["compare"][title]["pairs"]
    assert (pair["first"], pair["second"]) == ("standalone damage_mask", "standalone in_tiles")
    assert tree["compare"][title]["photos"] == len(read_mask_counts(run, "in_tiles").photos)
    text = run.read_text("results.txt")
    assert "damage_mask or standalone in_tiles: standalone damage_mask - standalone in_tiles" in text
    assert "backbone   none" in text
    assert "masks      in_tiles: flexunet, image_size 16" in text


def test_every_epoch_has_its_preview_and_a_picture_shows_them_all(run: RunDir) -> None:
    history = read_history(run, "damage_mask")
    expected = set()
    for fold in (0, 1):
        epochs = {row["epoch"] for row in history if row["fold"] == fold and row["split"] == "inner_validation"}
        expected |= {f"fold{fold}_epoch{epoch:03d}.png" for epoch in epochs} | {f"fold{fold}.png"}
    folder = run.path / "damage_mask" / "previews"
    assert {path.name for path in folder.iterdir()} == expected
    assert not (run.path / "in_tiles" / "previews").exists()
    for path in folder.iterdir():
        with Image.open(path) as picture:
            assert min(picture.size) > 100


def test_previews_of_an_earlier_fit_do_not_stay(run: RunDir, tmp_path: Path) -> None:
    shutil.copytree(run.path / "damage_mask" / "previews", tmp_path / "damage_mask" / "previews")
    Previews(RunDir(tmp_path), "damage_mask", 0, (), lambda places: []).finish()  # of a fit that shows none
    left = {path.name for path in (tmp_path / "damage_mask" / "previews").iterdir()}
    assert left == {path.name for path in (run.path / "damage_mask" / "previews").glob("fold1*")}


def test_the_sheet_shows_the_masks_that_were_counted(
    run: RunDir, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(mask_sheet, "plot_mask_sheet", lambda *arguments: shown.append(arguments))
    for head in HEADS:
        mask_sheet.draw_mask_sheet(run, head, dataset, tmp_path / "sheet.png")
        photos, truths, masks, captions = shown.pop()[:4]
        for photo, truth, mask, caption in zip(photos, truths, masks, captions, strict=True):
            assert photo.shape[:2] == truth.shape == mask.shape
            if (given := re.search(r"Dice (\d\.\d\d)", caption)) is not None:
                hits, extra, missed = confusion_counts(mask, truth, 1)[0]
                assert 2 * hits / (2 * hits + extra + missed) == pytest.approx(float(given[1]), abs=0.006)


def test_a_photo_is_answered_by_both_heads(config: Config, dataset: Dataset) -> None:
    predictor = open_predictor(config)
    assert predictor.model == "standalone"
    assert predictor.backbone is None
    assert list(predictor.mask_heads) == list(HEADS)
    (answer,) = predictor.predict([dataset.photos[0].path])
    assert isinstance(answer, Answer)
    with Image.open(dataset.photos[0].path) as photo:
        size = photo.size
    for head in HEADS:
        said = answer.fields["heads"][head]
        mask = answer.masks[head]
        assert mask.shape == size[::-1]
        assert said["damaged_percent"] == pytest.approx(100 * (mask > 0).mean(), abs=0.01)
        assert len(answer.regions[head]) == len(said["regions"])
        covered = sum(region.area for region in answer.regions[head])
        assert covered <= (mask > 0).sum()
        assert all(region.probability >= predictor.mask_heads[head].min_probability for region in answer.regions[head])
    assert answer.probabilities["damage_mask"].shape == (32, 32, 1)
    assert answer.probabilities["in_tiles"].shape[0] > 16  # of several tiles


def test_a_fold_network_answers_as_it_was_judged(config: Config, run: RunDir, dataset: Dataset) -> None:
    """One fold alone: the trained head is its network, so its masks of the held-out photos are those of the fold."""
    predictor = open_predictor(config)
    labelled = np.flatnonzero(dataset.heads["in_tiles"].labelled)
    places = read_scores(run, "in_tiles", 0)[0][:4]
    given = list(predictor.predict([dataset.photos[labelled[place]].path for place in places]))
    for place, answer in zip(places, given, strict=True):
        assert isinstance(answer, Answer)
        kept = read_fold_mask(run, "in_tiles", 0, int(place))
        assert (answer.masks["in_tiles"] != kept).mean() < 0.002


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("tile", 48, r"heads\.in_tiles\.tile 64, the config now gives 48"),
        ("architecture", {**NETWORK, "image_size": 32}, r"heads\.in_tiles\.architecture .*'image_size': 16"),
        ("mask_training", {"views": 2}, r"heads\.in_tiles\.mask_training\.views 1, the config now gives 2"),
        ("regions", {"split": False}, r"heads\.in_tiles\.regions\.split True, the config now gives False"),
    ],
)
def test_a_photo_is_looked_at_as_in_training_or_not_at_all(
    config: Config, tmp_path: Path, key: str, value: Any, said: str
) -> None:
    given = config.model_dump(mode="json")
    given["heads"]["in_tiles"][key] = value
    (tmp_path / "config.json").write_text(json.dumps(given))
    with pytest.raises(RunDirError, match=f"was trained with {said}.*Set it back, or train again"):
        open_predictor(read_config(tmp_path / "config.json"))


def test_a_run_of_an_earlier_version_is_refused(copied: Copied, tmp_path: Path) -> None:
    run, given = copied
    (tmp_path / "config.json").write_text(json.dumps(given))
    for head in given["heads"].values():
        del head["architecture"], head["mask_training"], head["regions"]
    run.write_json("config.json", given)
    with pytest.raises(RunDirError, match=r"was trained with heads\.damage_mask\.architecture None.*train again"):
        open_predictor(read_config(tmp_path / "config.json"))


def test_a_separate_set_is_scored(config: Config, run: RunDir, tmp_path: Path) -> None:
    folder = draw_set(tmp_path / "set", count=8, seed=99)
    masks = AnnotationConfig(format="masks", path=folder / "masks", head="damage_mask")
    tree = evaluate_config(config, None, folder / "photos", folder / "labels.csv", [masks])
    assert list(tree["heads"]) == list(HEADS)
    assert tree["separate_set"] is True
    for head in tree["heads"].values():
        assert head["photos"] == 8
        assert 0 <= head["metrics"]["recall"]["mean"] <= 1
        assert head["metrics"]["dice_coef_multiclass"]["mean"] is not None
    assert json.loads((run.path / "evaluation.json").read_text())["heads"] == tree["heads"]


def test_a_separate_set_in_which_nothing_is_judged_is_refused(config: Config, tmp_path: Path) -> None:
    folder = draw_set(tmp_path / "set", count=8, seed=99)
    masks = AnnotationConfig(format="masks", path=folder / "masks", head="damage_mask")
    lines = (folder / "labels.csv").read_text().splitlines()
    (folder / "labels.csv").write_text("\n".join(line for line in lines if ",whole," not in line))
    for path in (folder / "masks").iterdir():
        with Image.open(path) as mask:
            Image.new("L", mask.size, IGNORED_PIXEL).save(path)
    with pytest.raises(CarclfError, match="evaluate: all pixels of the masks of damage_mask and in_tiles are ignored"):
        evaluate_config(config, None, folder / "photos", folder / "labels.csv", [masks])
