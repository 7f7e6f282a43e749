"""results.txt, results.json and pictures, written from nothing but the files of run directories."""

import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from carclf.compare import compare_models, comparison_text
from carclf.config_heads import Sureness
from carclf.mask_metrics import MaskCounts
from carclf.mask_tables import write_mask_tables
from carclf.metrics import Record
from carclf.plots import plot_confusion, plot_history, plot_reliability, plot_risk_coverage
from carclf.records import read_history, read_mask_counts, read_predictions
from carclf.report import OPENING_METRIC, head_results, mask_results, run_results
from carclf.report_text import results_text
from carclf.risk_coverage import Cutoffs
from carclf.rundir import RunDir
from carclf.sureness import least_confidences

PICTURES = "pictures"  # the stage that draws
SUMMARY_METRICS = ("accuracy", "accuracy_damaged", "binary_accuracy", "macro_f1", "mean_ap", "dice", "dice_damaged")
LIBRARIES = ("numpy", "scipy", "scikit-learn", "pandas", "Pillow", "tensorflow", "keras", "openvino")


def library_versions() -> dict[str, str]:
    """Versions that decide the bytes of a result."""
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


def read_record(run: RunDir, name: str, kind: str) -> Record:
    """Reads the out-of-fold predictions of one head."""
    return read_mask_counts(run, name) if kind == "segmentation" else read_predictions(run, name, kind)


def make_results(run: RunDir, header: Mapping[str, Any], heads: Mapping[str, tuple[str, str | None]]) -> dict[str, Any]:
    """Computes the tree of results.json.

    Args:
        run: a finished run.
        header: what report.run_results wants to know of the run; `seed` is that of the intervals.
        heads: name -> (kind, none_label).
    """
    trees = {}
    for name, (kind, none_label) in heads.items():
        record, history = read_record(run, name, kind), read_history(run, name)
        choices = run.read_json(f"{name}/choices.json")
        cutoffs = read_cutoffs(run, name)
        if isinstance(record, MaskCounts):
            trees[name] = mask_results(record, history, choices, header["seed"], cutoffs)
            write_mask_tables(run, name, trees[name], history)
        else:
            trees[name] = head_results(record, history, choices, none_label, header["seed"], cutoffs)
    return run_results({**header, "duration_s": _durations(run, heads)}, trees)


def read_cutoffs(run: RunDir, name: str) -> Cutoffs | None:
    """From which confidence on a head answers by the config that the run was trained with; None: it always does."""
    head = run.read_json("config.json")["heads"][name]
    sureness = Sureness(head.get("min_probability"), head.get("target_precision"))
    if sureness == Sureness():
        return None
    return Cutoffs(least_confidences(run, name, sureness), sureness.target_precision)


def _durations(run: RunDir, heads: Iterable[str]) -> dict[str, float]:
    """Seconds of the stages behind the results; not of pictures, which are drawn after results.json is written."""
    known = run.seconds()
    seconds = {stage: known[stage] for stage in ("features", "groups", "folds", *heads) if stage in known}
    return seconds | {"total": sum(seconds.values())}


def write_results(
    runs: Mapping[str, RunDir],
    trees: Mapping[str, dict[str, Any]],
    same_masks: Mapping[str, Sequence[str]],
    seed: int,
) -> None:
    """Writes results.json and results.txt of every run; where several answer the same, each says how they compare.

    Args:
        runs: name -> run.
        trees: name -> results.
        same_masks: segmentation head -> it and those that answer its masks, too, with other architectures.
        seed: of the intervals.
    """
    comparison = _compare_runs(runs, trees, seed) | _compare_architectures(runs, trees, same_masks, seed)
    for model, run in runs.items():
        tree, text = trees[model], results_text(trees[model])
        if comparison:
            tree, text = tree | {"compare": comparison}, f"{text}\n{comparison_text(comparison)}"
        run.write_json("results.json", tree)
        run.write_text("results.txt", text)


def _compare_runs(runs: Mapping[str, RunDir], trees: Mapping[str, dict[str, Any]], seed: int) -> dict[str, Any]:
    """Compares the heads that several runs have."""
    comparison = {}
    for name in dict.fromkeys(name for tree in trees.values() for name in tree["heads"]):
        answered = {model: tree["heads"][name] for model, tree in trees.items() if name in tree["heads"]}
        if len(answered) > 1:
            head = next(iter(answered.values()))
            records = {model: read_record(runs[model], name, head["kind"]) for model in answered}
            comparison[name] = compare_models(records, head.get("none_label"), seed)
    return comparison


def _compare_architectures(
    runs: Mapping[str, RunDir],
    trees: Mapping[str, dict[str, Any]],
    same_masks: Mapping[str, Sequence[str]],
    seed: int,
) -> dict[str, Any]:
    """Compares a head of the first run that has it with those that answer its masks, too, pair by pair.

    As some may have judged fewer folds than others.
    """
    comparison = {}
    for owner, (_, *rivals) in same_masks.items():
        home = next(model for model, tree in trees.items() if owner in tree["heads"])
        for name in rivals:
            for model in (model for model, tree in trees.items() if name in tree["heads"]):
                pair = {f"{run} {head}": (run, head) for run, head in ((home, owner), (model, name))}
                records = {label: read_record(runs[run], head, "segmentation") for label, (run, head) in pair.items()}
                comparison[f"{owner} or {model} {name}"] = compare_models(records, None, seed)
    return comparison


def picture_paths(tree: Mapping[str, Any], images: Path) -> dict[str, dict[str, Path]]:
    """Where the pictures of each head go: head -> what it shows -> path."""
    shown = ("accuracy", "loss", "confusion", "reliability", "risk_coverage")
    return {
        name: {
            what: images / f"{tree['model']}_{name}_{what}.png"
            for what in shown
            if what != "reliability" or head["kind"] != "segmentation"
        }
        for name, head in tree["heads"].items()
    }


def draw_results(run: RunDir, tree: Mapping[str, Any], images: Path) -> None:
    """Draws curves, confusion matrices, reliability diagrams and risk-coverage curves of one model."""
    images.mkdir(parents=True, exist_ok=True)
    for name, paths in picture_paths(tree, images).items():
        head, title = tree["heads"][name], f"{tree['model']}, {name}"
        plot_history(read_history(run, name), name, OPENING_METRIC[head["kind"]], paths["accuracy"], paths["loss"])
        plot_confusion(head, title, paths["confusion"])
        if "reliability" in paths:
            plot_reliability(head, title, paths["reliability"])
        plot_risk_coverage(head, title, paths["risk_coverage"])


def summary_rows(trees: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Rows of the closing table: model, head, metric, mean, its interval, the trivial baseline."""
    rows: list[tuple[str, ...]] = []
    for model, tree in trees.items():
        for name, head in tree["heads"].items():
            for metric in (each for each in SUMMARY_METRICS if each in head["metrics"]):
                values = head["metrics"][metric]
                interval = " to ".join(_score(end) for end in values["interval"])
                rows.append((model, name, metric, _score(values["mean"]), interval, _score(values["baseline"])))
    return rows


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
