"""Pictures of a run: curves, confusion matrices, reliability diagrams, sheets of masks. Same input, same bytes."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carclf.labels import IGNORED_PIXEL
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
# Okabe and Ito's palette: told apart with any colour vision
CLASS_COLORS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#FFFFFF")
IGNORED_COLOR = "#808080"
MOST_LETTERS = 22  # of a class name on one line
SHEET_CELL_PIXELS = 320  # longer side of a photo on a sheet


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


def plot_mask_sheet(
    photos: Sequence[Array],
    true_masks: Sequence[Array],
    predicted_masks: Sequence[Array],
    captions: Sequence[str],
    class_names: Sequence[str],
    path: Path,
) -> None:
    """Draws photos with their true and predicted masks, one row per photo: photo, truth, prediction.

    Args:
        photos: uint8 (height, width, 3), sizes may differ.
        true_masks: uint8 (height, width) class ids: 0 background, i is class i, 255 ignored.
        predicted_masks: the same.
        captions: one per photo.
        class_names: of the ids 1, 2, ...
        path: where the picture goes.

    Raises:
        RunDirError: if the picture cannot be written.
    """
    with picture(path, 9.0, 0.9 + 2.3 * len(photos)) as figure:
        grid = figure.subplots(max(1, len(photos)), 3, squeeze=False)
        for axes in grid.ravel():
            axes.set_axis_off()
        rows = zip(grid, photos, true_masks, predicted_masks, captions, strict=False)
        for (left, middle, right), photo, truth, predicted, caption in rows:
            small = shrink(photo, Image.Resampling.LANCZOS)
            left.imshow(small)
            left.set_title(caption, fontsize="small", loc="left")
            for axes, mask in ((middle, truth), (right, predicted)):
                axes.imshow(paint_mask(small, shrink(mask, Image.Resampling.NEAREST)))
        for axes, words in zip(grid[0], ("", "truth", "prediction"), strict=True):
            axes.set_title(words, fontsize="medium")
        class_legend(figure, class_names)


def class_legend(figure: "Figure", class_names: Sequence[str]) -> None:
    """Draws the legend of the classes' colours below a figure."""
    from matplotlib.patches import Patch

    patches = [Patch(facecolor=class_color(i + 1), edgecolor="black", label=name) for i, name in enumerate(class_names)]
    figure.legend(handles=patches, loc="outside lower center", ncols=4, frameon=False)


def class_color(class_id: int) -> str:
    """The colour of a class id from 1, as #RRGGBB; comes round again after eight classes."""
    return CLASS_COLORS[(class_id - 1) % len(CLASS_COLORS)]


def shrink(array: Array, resampling: Image.Resampling) -> Array:
    """Makes the longer side SHEET_CELL_PIXELS."""
    image = Image.fromarray(np.ascontiguousarray(array))
    scale = SHEET_CELL_PIXELS / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return np.asarray(image.resize(size, resampling))


def paint_mask(photo: Array, mask: Array) -> Array:
    """Lays half-transparent class colours with solid edges over a photo; both (h, w[, 3]) uint8."""
    painted = photo.astype(np.float64)
    for class_id in np.unique(mask[mask != 0]):
        color = IGNORED_COLOR if class_id == IGNORED_PIXEL else class_color(int(class_id))
        rgb = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)])
        inside = mask == class_id
        painted[inside] = 0.5 * painted[inside] + 0.5 * rgb
        painted[_edge(inside)] = rgb
    return painted.round().astype(np.uint8)


def _edge(inside: Array) -> Array:
    """The pixels of a bool region (h, w) that touch its outside, two pixels deep."""
    core = inside
    for _ in range(2):
        padded = np.pad(core, 1)
        core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:] & core
    return np.asarray(inside & ~core)


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
