"""The model card says what the run's files say, and no more."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from carclf.config import Config
from carclf.config_data import DemoConfig
from carclf.errors import RunDirError
from carclf.export.card import ExportFacts, escape_cell, make_card, write_card
from carclf.predict import Predictor
from tests.drawn_set import MODEL

FACTS = ExportFacts("onnx", "float32", 1.25e-6, None)


@pytest.fixture(scope="module")
def card(config: Config, predictor: Predictor) -> str:
    return make_card(config, predictor, FACTS)


@pytest.fixture(scope="module")
def results(drawn_run: Path) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads((drawn_run / "results" / MODEL / "results.json").read_text())
    return tree


def test_every_score_stands_there_with_its_interval_and_baseline(card: str, results: Mapping[str, Any]) -> None:
    for name, head in results["heads"].items():
        section = card.split(f"### {name}\n")[1].split("\n#")[0]
        metric = next(iter(head["metrics"]))
        values = head["metrics"][metric]
        low, high = values["interval"]
        row = f"| {metric} | {values['mean']:.3f} | {low:.3f} to {high:.3f} | {values['baseline']:.3f} |"
        assert row in section
        assert section.count("\n|") == len(head["metrics"]) + 2


def test_what_leaving_photos_to_people_is_worth_stands_there(card: str, results: Mapping[str, Any]) -> None:
    (row,) = [line for line in card.splitlines() if line.startswith("| severity: share of wrong answers |")]
    errors = [line["error"] for line in results["heads"]["severity"]["risk_coverage"]["left_to_people"]]
    assert row.split(" | ")[1:] == [*(f"{error:.3f}" for error in errors[:-1]), f"{errors[-1]:.3f} |"]


def test_data_and_backbone_are_told(card: str, results: Mapping[str, Any]) -> None:
    assert f"48 photos in {results['groups']} groups" in card
    assert f"2 folds, no group in two of them; seed {results['seed']}" in " ".join(card.split())
    dents = results["heads"]["damage_type"]["labels"]["dent"]["n"]
    assert f"\n| dent | {dents} | " in card
    assert f"sha256 `{results['backbone']['sha256']}`" in card
    assert "It **has seen drawn cars**" in card  # the embedded backbone
    assert f"Trained with python {results['versions']['python']}, numpy" in card


def test_it_names_no_folder_of_this_machine_and_no_day(card: str, drawn_run: Path, predictor: Predictor) -> None:
    assert str(drawn_run) not in card
    assert predictor.backbones[0].source.where not in card
    assert "/" not in card.split("## Backbone")[1].split("## Scores")[0]


def test_the_same_run_gives_the_same_card(card: str, config: Config, predictor: Predictor, tmp_path: Path) -> None:
    write_card(tmp_path, config, predictor, FACTS)
    assert (tmp_path / "model_card.md").read_text() == card


def test_drawn_photos_are_called_drawn(card: str, config: Config, predictor: Predictor) -> None:
    demo = config.model_copy(update={"dataset": DemoConfig()})
    assert "No real photo was used" in make_card(demo, predictor, FACTS)
    assert "No real photo was used" not in card


def test_what_it_leaves_to_people_is_told(config: Config, predictor: Predictor) -> None:
    severity, kinds = predictor.heads.values()
    heads = {
        "severity": replace(severity, least_confidence=0.6),
        "damage_type": replace(kinds, least_confidence=1.0),
    }
    card = make_card(config, replace(predictor, heads=heads), FACTS)
    assert "- severity leaves photos to people where its confidence is below 0.600" in card
    assert "- damage_type leaves every photo to people" in card
    assert "**damage_type leaves every photo to people" in card.split("## This file")[0]
    assert "- damage_mask answers every photo" in card


def test_what_a_confidence_is_worth_is_told(card: str, results: Mapping[str, Any]) -> None:
    for name, head in results["heads"].items():
        (line,) = [line for line in card.splitlines() if line.startswith(f"- {name} answers every photo")]
        area = head["risk_coverage"]["aurc"]
        assert f"curve: {area['value']:.3f}; of photos left at random: {area['random']:.3f}." in line
        assert ("no better than chance" in line) == (area["value"] >= area["random"])


def test_what_was_told_in_the_run_is_told(
    config: Config, predictor: Predictor, results: dict[str, Any], tmp_path: Path
) -> None:
    told = {"left": {"value": 0.284}, "precision": {"value": 0.915}}
    head = results["heads"]["severity"]
    head = head | {"risk_coverage": head["risk_coverage"] | {"told": told}}
    run = tmp_path / MODEL / "results.json"
    run.parent.mkdir()
    run.write_text(json.dumps(results | {"heads": results["heads"] | {"severity": head}}))
    card = make_card(config.model_copy(update={"results": tmp_path}), predictor, FACTS)
    assert "Out of fold that left 28.4 % of the photos to people; precision of the rest: 0.915." in card


def test_the_loss_of_a_short_precision_is_told(config: Config, predictor: Predictor) -> None:
    metrics: dict[str, Any] = {"log_loss": {"difference": -0.0125, "interval": [-0.02, None], "share_above_0": 0.0}}
    metrics["region_precision"] = {"difference": None, "interval": [None, None], "share_above_0": None}  # of no region
    pair = {"first": "float32", "second": "int8", "metrics": metrics}
    means: dict[str, dict[str, Any]] = {"float32": {"log_loss": 0.5}, "int8": {"log_loss": 0.5125}}
    means = {precision: {**each, "region_precision": None} for precision, each in means.items()}
    head = {"largest_change": 0.125, "answers_changed": 0.0625, "means": means, "pairs": [pair]}
    loss = {"photos": 48, "heads": {"severity": head}, "not_measured": ["damage_mask"]}
    card = make_card(config, predictor, ExportFacts("litert", "int8", 0.01, loss))
    assert "| severity | log_loss (lower is better) | 0.500 | 0.512 | -0.0125 | -0.0200 to - |" in card
    assert "| severity | region_precision | - | - | - | - to - |" in card
    assert "- severity: 6.25 % of the photos get another answer; a probability changes by\n  0.1250 at most." in card
    assert "Not measured: damage_mask (looked at in tiles, as no export does)." in card


def test_what_the_format_cannot_do_is_told(config: Config, predictor: Predictor, card: str) -> None:
    saved = make_card(config, predictor, replace(FACTS, format="savedmodel"))
    assert "A file of another kind (WebP" in saved
    assert "It takes pixels" in card
    assert all("The masks of damage_mask come as grids" in each for each in (saved, card))


def test_a_run_without_results_is_an_error(config: Config, predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(RunDirError, match=r"results\.json is not there\. Train first"):
        make_card(config.model_copy(update={"results": tmp_path}), predictor, FACTS)


def test_class_names_break_no_table() -> None:
    assert escape_cell("left|right\nor \\ both") == "left\\|right or \\\\ both"
