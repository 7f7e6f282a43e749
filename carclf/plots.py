"""Pictures of a run: curves, confusion matrices, reliability diagrams, risk and coverage. Same input, same bytes."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from carclf.mask_images import write_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[Any]
Tree = Mapping[str, Any]

DOTS_PER_INCH = 110
# training blue and validation orange as the predecessor has them; they also differ in lightness and dash
SPLIT_STYLES: dict[str, dict[str, Any]] = {
    "train": {"color": "tab:blue", "linestyle": "-"},
    "validation": {"color": "tab:orange", "linestyle": "-"},
}
OTHER_SPLIT_STYLE: dict[str, Any] = {"color": "0.35", "linestyle": "--"}
MOST_LETTERS = 22  # of a class name on one line
RISKS = {"categorical": "wrong label", "multi_label": "any label wrong", "segmentation": "1 - Dice of the photo"}
"""What is mean over the answered photos in a risk-coverage curve, by the head's kind."""


def plot_history(history: Sequence[Tree], head: str, metric_name: str, path_accuracy: Path, path_loss: Path) -> None:
    """Draws the curves of a head: one picture of its metric, one of its loss.

    A thin line per fold, a thick one for the mean over the epochs that all folds have.

    Args:
        history: rows with `fold`, `epoch`, `split` ("train", "validation", others dashed), `loss`, `metric`.
        head: for the title.
        metric_name: what `metric` is, for the axis.
        path_accuracy: where the metric's picture goes.
        path_loss: where the loss' picture goes.

    Raises:
        RunDirError: if a picture cannot be written.
    """
    for key, words, path in (("metric", metric_name, path_accuracy), ("loss", "loss", path_loss)):
        with picture(path, 7.0, 4.6) as figure:
            axes = figure.subplots()
            for split in dict.fromkeys(str(row["split"]) for row in history):
                _draw_curves(axes, [row for row in history if row["split"] == split], key, split)
            axes.set(title=f"{head}: {words}", xlabel="epoch", ylabel=words)
            axes.margins(x=0.02)
            axes.locator_params(axis="x", integer=True)
            axes.grid(color="0.9")
            if history:
                axes.legend(title="thin: folds, thick: mean", frameon=False)


def _draw_curves(axes: "Axes", rows: Sequence[Tree], key: str, split: str) -> None:
    style = SPLIT_STYLES.get(split, OTHER_SPLIT_STYLE)
    curves: dict[int, dict[int, float]] = {}
    for row in rows:
        curves.setdefault(int(row["fold"]), {})[int(row["epoch"])] = float(row[key])
    marker = "o" if max(len(curve) for curve in curves.values()) == 1 else None
    for curve in curves.values():
        epochs = sorted(curve)
        axes.plot(epochs, [curve[epoch] for epoch in epochs], linewidth=0.8, alpha=0.45, marker=marker, **style)
    common = sorted(set.intersection(*(set(curve) for curve in curves.values())))
    means = [float(np.mean([curve[epoch] for curve in curves.values()])) for epoch in common]
    axes.plot(common, means, linewidth=2.4, marker=marker, label=split.replace("_", " "), **style)


def plot_confusion(head: Tree, title: str, path: Path) -> None:
    """Draws the confusion matrix of a head from its part of results.json: photos, and percent of the true class.

    Categorical: one matrix. Multi-label and segmentation: a 2 × 2 matrix per label.

    Raises:
        RunDirError: if the picture cannot be written.
    """
    names = [fill(str(name), MOST_LETTERS) for name in head["class_names"]]
    counts = np.asarray(head["confusion"])
    if head["kind"] == "categorical":
        side = 2.6 + 0.85 * len(names)
        with picture(path, side + 0.8, side) as figure:
            axes = figure.subplots()
            _draw_matrix(axes, counts, names, names)
            axes.set(title=title, xlabel="answer", ylabel="true class")
        return
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    lines = 1 + max(name.count("\n") for name in names)
    with picture(path, max(4.2, 0.8 + 2.7 * columns), 0.9 + (2.6 + 0.2 * lines) * rows) as figure:
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, name, matrix in zip(grid, names, counts, strict=False):
            _draw_matrix(axes, matrix, ("no", "yes"), ("no", "yes"))
            axes.set_title(name, fontsize="medium")
        for axes in grid[len(names) :]:
            axes.set_axis_off()
        region = head["kind"] == "segmentation"
        figure.suptitle(title)
        figure.supxlabel("region drawn" if region else "label answered", fontsize="medium")
        figure.supylabel("region there" if region else "label true", fontsize="medium")


def _draw_matrix(axes: "Axes", counts: Array, rows: Sequence[str], columns: Sequence[str]) -> None:
    """One matrix, shaded by the share of its row."""
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        color = "white" if share > 0.55 else "black"
        text = f"{counts[row, column]:,}\n{100 * share:.0f} %"
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize="small")
    slanted: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    long = max(len(name) for name in columns) > 10
    axes.set_xticks(range(len(columns)), columns, **(slanted if long else {}))
    axes.set_yticks(range(len(rows)), rows)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def plot_reliability(head: Tree, title: str, path: Path) -> None:
    """Draws how often answers of a confidence came true, before and after temperature, from results.json.

    Bars at the points: 95 % of the luck of the draw in a bin. Below: how many answers each bin holds.

    Raises:
        RunDirError: if the picture cannot be written.
    """
    metrics, bins = head["metrics"], head["calibration"]
    series = (
        ("before temperature", "calibration_error_raw", bins["raw"], {"color": "tab:orange", "marker": "s"}),
        ("after", "calibration_error", bins["after_temperature"], {"color": "tab:blue", "marker": "o"}),
    )
    with picture(path, 5.6, 6.4) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        upper.plot([0, 1], [0, 1], color="0.5", linestyle=":", label="perfect")
        for name, metric, points, style in series:
            confidence, came_true, n = (
                np.array([point[key] for point in points]) for key in ("confidence", "came_true", "n")
            )
            luck = 1.96 * np.sqrt(confidence * (1 - confidence) / n)
            label = f"{name}: error {metrics[metric]['pooled']:.3f}"
            upper.errorbar(confidence, came_true, luck, linewidth=1.4, elinewidth=0.7, ms=5, label=label, **style)
            lower.vlines(confidence, 0, n, colors=style["color"], linewidth=2.5, alpha=0.8)
        answers = "top class" if head["kind"] == "categorical" else "every label"
        upper.set(title=title, ylabel="share that came true", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        upper.legend(frameon=False, loc="upper left")
        lower.set(xlabel=f"probability ({answers})", ylabel="answers\nper bin")
        lower.set_ylim(bottom=0)
        for axes in (upper, lower):
            axes.grid(color="0.9")


def plot_risk_coverage(head: Tree, title: str, path: Path) -> None:
    """Draws the error of the photos that are answered against the share of them, from results.json.

    Around the curve: the 95 % interval. A diamond: what is told with the config's min_probability or target_precision.

    Raises:
        RunDirError: if the picture cannot be written.
    """
    part = head["risk_coverage"]
    curve, area, told = part["curve"], part["aurc"], part["told"]
    coverage = np.asarray(curve["coverage"], np.float64)
    low, high = (np.array([_number(value) for value in curve[key]]) for key in ("low", "high"))
    with picture(path, 6.4, 4.8) as figure:
        axes = figure.subplots()
        axes.fill_between(coverage, low, high, color="tab:blue", alpha=0.18, linewidth=0, label="95 % interval")
        label = f"the least sure are left: area {area['value']:.3f}"
        axes.plot(coverage, curve["error"], color="tab:blue", linewidth=2, label=label)
        label = f"photos are left at random: {area['random']:.3f}"
        axes.axhline(area["random"], color="0.4", linestyle="--", label=label)
        if told is not None and told["precision"]["value"] is not None:
            share, error = 100 * (1 - told["left"]["value"]), 1 - told["precision"]["value"]
            label = f"told: {share:.0f} % of the photos, error {error:.3f}"
            axes.plot([share], [error], "D", color="tab:orange", markersize=8, label=label, zorder=3)
        axes.set(title=title, xlabel="photos that are answered, %", ylabel=f"mean error ({RISKS[head['kind']]})")
        axes.set_xlim(0, 102)
        axes.set_ylim(0, max(0.05, 1.45 * max(area["random"], *curve["error"])))  # room for the legend
        axes.grid(color="0.9")
        axes.legend(frameon=False, loc="upper left")


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


@contextmanager
def picture(path: Path, width: float, height: float) -> Iterator["Figure"]:
    """A figure of `width` × `height` inches that is written to `path`, whole, when the block ends without error."""
    from matplotlib import rc_context, style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with style.context("default"), rc_context({"text.parse_math": False, "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")
        canvas: Any = FigureCanvasAgg(figure)
        yield figure
        canvas.draw()
        write_png(path, np.asarray(canvas.buffer_rgba())[..., :3])  # pixels alone: no date, no version
