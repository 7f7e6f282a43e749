"""results.txt and results.json come from the files of the run directory, however often a run was killed."""

import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import carclf.judging
from carclf.app import run_config
from carclf.compare import HOW_TO_READ
from carclf.errors import RunDirError
from carclf.files import PARTIAL
from carclf.intervals import mean_values
from carclf.metrics import Predictions
from carclf.records import read_mask_counts, write_history, write_mask_counts
from carclf.results import make_results, read_record, summary_rows, write_results
from carclf.rundir import RunDir
from tests.fake_records import make_mask_counts
from tests.small_runs import FACTS, NUM_PHOTOS, load_config, without_backbones, write_config

RESULTS = ("results.json", "results.txt")


@pytest.fixture
def config_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    without_backbones(monkeypatch)
    return write_config(tmp_path)


def make_header(**changes: Any) -> dict[str, Any]:
    """What the head of results.txt says of a run of masks."""
    known = {"carclf_version": "0", "backbone": FACTS, "photos": 120, "groups": 120, "folds": 3, "seed": 0}
    return known | {"skipped": [], "versions": {}} | changes


def read_results(folder: Path, model: str) -> dict[str, bytes]:
    return {name: (folder / "results" / model / name).read_bytes() for name in RESULTS}


def without_durations(folder: Path, model: str) -> Any:
    tree = json.loads((folder / "results" / model / "results.json").read_bytes())
    del tree["duration_s"]
    return tree


def fail_at(monkeypatch: pytest.MonkeyPatch, place: str, call: int, failure: BaseException) -> Callable[[], int]:
    """Makes the n-th call of a function fail, counted from 0; returns what counts the calls."""
    owner, name = place.rsplit(".", 1)
    original = getattr({"os": os, "Path": Path}[owner], name)
    calls: list[None] = []

    def fail(*arguments: Any) -> Any:
        calls.append(None)
        if len(calls) == call + 1:
            raise failure
        return original(*arguments)

    monkeypatch.setattr({"os": os, "Path": Path}[owner], name, fail)
    return lambda: len(calls)


def test_deleted_results_are_written_again_to_the_byte(config_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, config = config_path.parent, load_config(config_path)
    run_config(config)
    before = {model: read_results(folder, model) for model in config.models}
    for model in config.models:
        for name in RESULTS:
            (folder / "results" / model / name).unlink()

    def never(*_: Any) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr(carclf.judging, "cross_validate", never)
    run_config(config)
    assert {model: read_results(folder, model) for model in config.models} == before


def test_what_is_left_to_people_follows_the_config_without_a_fit(
    config_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = json.loads(config_path.read_text())["heads"]

    def told(**changes: dict[str, float]) -> dict[str, Any]:
        changed = {name: head | changes.get(name, {}) for name, head in heads.items()}
        trees = run_config(load_config(config_path, heads=changed, models=["first"]))
        return {name: head["risk_coverage"]["told"] for name, head in trees["first"]["heads"].items()}

    def never(*_: Any) -> None:
        raise AssertionError("fitted again")

    assert told() == {"severity": None, "type": None}
    monkeypatch.setattr(carclf.judging, "cross_validate", never)
    first = told(severity={"min_probability": 0.5}, type={"target_precision": 0.2})
    assert first["severity"]["min_probability"] == [0.5] * 3
    record = read_record(RunDir(config_path.parent / "results/first"), "severity", "categorical")
    assert isinstance(record, Predictions)
    below = record.probabilities.max(axis=1) < 0.5
    right = record.decisions.argmax(axis=1)[~below] == record.targets[~below]
    assert first["severity"]["left"]["value"] == pytest.approx(below.mean(), abs=1e-5)
    assert first["severity"]["precision"]["value"] == pytest.approx(right.mean(), abs=1e-5)
    other = told(severity={"target_precision": 0.9}, type={"target_precision": 0.99})
    assert other["severity"]["target_precision"] == 0.9
    assert other["type"] == first["type"] | other["type"]
    assert other["type"]["unmet"] == [0, 1, 2]  # of labels that no feature knows
    assert (other["type"]["left"]["value"], other["type"]["precision"]["value"]) == (1, None)


def test_two_models_are_compared_over_the_same_folds(config_path: Path) -> None:
    folder = config_path.parent
    trees = run_config(load_config(config_path))
    first, second = (json.loads((folder / "results" / model / "results.json").read_text()) for model in trees)
    assert first["compare"] == second["compare"]
    assert set(first["compare"]) == {"severity", "type"}
    (pair,) = first["compare"]["severity"]["pairs"]
    assert (pair["first"], pair["second"]) == ("first", "second")
    means = {model: tree["heads"]["severity"]["metrics"]["accuracy"]["mean"] for model, tree in trees.items()}
    assert pair["metrics"]["accuracy"]["difference"] == pytest.approx(means["first"] - means["second"], abs=1e-5)
    assert means["first"] > means["second"] > 0.4
    for model in trees:
        assert HOW_TO_READ in read_results(folder, model)["results.txt"].decode()
    for name in ("groups.csv", "folds.csv"):
        assert (folder / "results/first" / name).read_bytes() == (folder / "results/second" / name).read_bytes()


def test_architectures_are_compared_on_the_same_masks(tmp_path: Path) -> None:
    """One head on two backbones, and two more that answer its masks: one on them, one without."""
    answered = {
        "first": {"damage_mask": 0, "unet_mask": 1},
        "second": {"damage_mask": 2, "unet_mask": 3},
        "standalone": {"flexunet_mask": 4},
    }
    runs = {name: RunDir(tmp_path / name) for name in answered}
    trees = {}
    for name, heads in answered.items():
        for head, seed in heads.items():
            record = replace(make_mask_counts(seed=seed), groups=np.arange(120), folds=np.arange(120) % 3)
            write_mask_counts(runs[name], head, record if head != "flexunet_mask" else record.rows(record.folds == 0))
            write_history(runs[name], head, [])
            runs[name].write_json(f"{head}/choices.json", [])
        runs[name].write_json("config.json", {"heads": {head: {} for head in heads}})
        kinds = {head: ("segmentation", None) for head in heads}
        trees[name] = make_results(runs[name], make_header(model=name), kinds)
    write_results(runs, trees, {"damage_mask": ["damage_mask", "unet_mask", "flexunet_mask"]}, 0)
    tree = runs["standalone"].read_json("results.json")
    assert all(runs[name].read_json("results.json")["compare"] == tree["compare"] for name in runs)
    others = ["first unet_mask", "second unet_mask", "standalone flexunet_mask"]
    titles = [f"damage_mask or {other}" for other in others]  # each against the first, not each against each
    assert list(tree["compare"]) == ["damage_mask", "unet_mask", *titles]
    (of_backbones,) = tree["compare"]["damage_mask"]["pairs"]
    assert (of_backbones["first"], of_backbones["second"]) == ("first", "second")
    for title, other in zip(titles, others, strict=True):
        compared = tree["compare"][title]
        (pair,) = compared["pairs"]
        assert (pair["first"], pair["second"]) == ("first damage_mask", other)
        assert compared["photos"] == (40 if other == "standalone flexunet_mask" else 120)  # those that both answered
        records = {key: read_mask_counts(runs[key.split()[0]], key.split()[1]) for key in compared["means"]}
        for key, record in records.items():
            shared = record.rows(record.folds == 0) if compared["photos"] == 40 else record
            assert compared["means"][key]["ap50"] == pytest.approx(mean_values(shared)["ap50"], rel=1e-5)
    text = runs["first"].read_text("results.txt")
    assert "damage_mask or standalone flexunet_mask: first damage_mask - standalone flexunet_mask, 40 photos" in text


def test_a_model_alone_has_nothing_to_compare_and_keeps_its_scores(config_path: Path) -> None:
    folder = config_path.parent
    run_config(load_config(config_path))
    both = without_durations(folder, "first")
    run_config(load_config(config_path, models=["first"]))
    alone = without_durations(folder, "first")
    assert both.pop("compare")
    assert alone == both
    assert HOW_TO_READ not in read_results(folder, "first")["results.txt"].decode()


def test_scores_are_those_of_the_record(config_path: Path) -> None:
    trees = run_config(load_config(config_path, models=["first"]))
    run = RunDir(config_path.parent / "results" / "first")
    for name, kind, none_label in (("severity", "categorical", "whole"), ("type", "multi_label", None)):
        record = read_record(run, name, kind)
        head = trees["first"]["heads"][name]
        assert head["photos"] == len(record.photos) == (NUM_PHOTOS if name == "severity" else NUM_PHOTOS - 9)
        for metric, value in mean_values(record, none_label).items():
            assert head["metrics"][metric]["mean"] == pytest.approx(value, abs=1e-5)
    rows = summary_rows(trees)
    assert {(model, head) for model, head, *_ in rows} == {("first", "severity"), ("first", "type")}
    assert trees["first"]["heads"]["severity"]["metrics"]["accuracy"]["mean"] > 0.7


@pytest.mark.parametrize(
    "name", ["predictions.csv", "inner.csv"]
)  # the latter is not there in runs of earlier versions
def test_a_head_whose_files_are_gone_is_fitted_again_and_that_is_said(
    config_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder, config = config_path.parent, load_config(config_path, models=["first"])
    run_config(config)
    before, file = without_durations(folder, "first"), folder / "results/first/type" / name
    kept = file.read_bytes()
    file.unlink()
    run_config(config)
    assert f"first, type: {name} not there; computed again." in caplog.text
    assert without_durations(folder, "first") == before
    assert file.read_bytes() == kept


def test_a_run_that_is_killed_at_any_write_ends_with_the_same_results(
    config_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, config = config_path.parent, load_config(config_path, models=["first"])
    with monkeypatch.context() as patch:
        writes = fail_at(patch, "Path.replace", -2, KeyboardInterrupt())
        run_config(config)
        num_writes = writes()
    expected = without_durations(folder, "first")
    for number, call in enumerate(np.random.default_rng(0).permutation(num_writes)[:6]):
        again = load_config(config_path, results=f"killed {number}")
        with monkeypatch.context() as patch:
            fail_at(patch, "Path.replace", int(call), KeyboardInterrupt())
            with pytest.raises(KeyboardInterrupt):
                run_config(again)
        run_config(again)
        tree = json.loads((folder / f"killed {number}/first/results.json").read_text())
        del tree["duration_s"]
        assert tree == expected


def test_killed_after_a_change_and_changed_back_mixes_nothing(
    config_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = config_path.parent
    training = {"l2": [1e-2, 1e-1], "inner_folds": 2, "max_steps": 50}
    old = load_config(config_path, models=["first"], training=training)
    run_config(old)
    before, stray = without_durations(folder, "first"), folder / "results/first/severity" / f"{PARTIAL}heads-x.npz"
    heads = (folder / "results/first/severity/heads.npz").read_bytes()
    with monkeypatch.context() as patch:
        fail_at(patch, "Path.replace", 6, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            run_config(load_config(config_path, training=training | {"l2": [1.0]}))
    assert (folder / "results/first/severity/heads.npz").read_bytes() != heads
    with pytest.raises(RunDirError, match="severity not trained, or not to the end"):
        RunDir(folder / "results/first").check_finished(["severity", "type"])
    stray.touch()
    run_config(load_config(config_path, training=training))
    assert without_durations(folder, "first") == before
    assert (folder / "results/first/severity/heads.npz").read_bytes() == heads
    assert not stray.exists()


def test_a_full_disk_leaves_earlier_results_and_the_next_run_goes_on(
    config_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, config = config_path.parent, load_config(config_path, models=["first"])
    run_config(config)
    before = read_results(folder, "first")
    changed = load_config(config_path, cross_validation={"folds": 4, "group_similarity": 0.99})
    for call in (0, 4, 8):
        with monkeypatch.context() as patch:
            fail_at(patch, "os.fsync", call, OSError(errno.ENOSPC, "No space left on device"))
            with pytest.raises(RunDirError, match=r"No space left on device.*What was there before is untouched"):
                run_config(changed)
        assert read_results(folder, "first") == before
    run_config(changed)
    assert without_durations(folder, "first")["folds"] == 4


def test_heads_of_another_backbone_are_not_taken_for_its_own(
    config_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = load_config(config_path, models=["first"])
    run_config(config)
    assert "backbone changed" not in caplog.text
    without_backbones(monkeypatch, FACTS | {"sha256": "cd" * 32})
    with monkeypatch.context() as patch:
        fail_at(patch, "Path.replace", 4, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            run_config(config)
    assert "first: the backbone changed since the last run; everything is computed again." in caplog.text
    with pytest.raises(RunDirError, match="severity, type not trained"):
        RunDir(config.results / "first").check_finished(["severity", "type"])
