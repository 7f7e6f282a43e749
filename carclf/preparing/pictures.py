"""Two pictures: counts per split and class, and a sheet of photos with their masks and copies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from carclf.images import photo_size, read_full_photo
from carclf.mask_images import read_mask
from carclf.mask_plots import class_legend, paint_mask, shrink
from carclf.plots import picture
from carclf.preparing.output import Written
from carclf.preparing.statistics import BACKGROUND, IGNORED
from carclf.scores import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = {"train": "#0072B2", "valid": "#E69F00", "test": "#009E73"}  # of Okabe and Ito, as everywhere
SAMPLES, MOST_COPIES_SHOWN = 5, 4  # rows and columns of the sheet
CELL_INCHES = 2.3  # width of a photo on it
OTHERS = (BACKGROUND, IGNORED)
MOST_LETTERS = 24  # of a class name
Tree = Mapping[str, Any]


def draw_statistics(counts: Tree, path: Path) -> None:
    """Draws, for masks and for every head, how many photos and pixels of each split are of each class.

    Bars are shares of the split, so that splits of unlike size can be compared; the numbers are counts.

    Args:
        counts: of statistics.count_everything.
        path: the picture.
    """
    rows = _arrange(_panels(counts))
    bars = [max(len(panel.labels) for panel in row) for row in rows]
    heights = [0.75 + (0.16 * len(counts) + 0.12) * number for number in bars]
    with picture(path, 11.0, 1.1 + sum(heights)) as figure:
        figure.suptitle(_title(counts), fontsize="medium")
        grid = figure.subplots(max(1, len(rows)), 2, squeeze=False, height_ratios=heights or [1.0])
        for axes in grid.ravel():
            axes.set_axis_off()
        for pair, row in zip(grid, rows, strict=False):
            for axes, panel in zip(pair, row, strict=False):
                axes.set_axis_on()
                axes.set_title(panel.title, fontsize="small", loc="left")
                _draw_bars(axes, panel)
        _split_legend(figure, counts)


@dataclass(frozen=True)
class _Panel:
    """Bars: for every label, split -> length of its bar and what is written behind it."""

    title: str
    labels: list[str]
    bars: list[dict[str, tuple[float, str]]]


def _panels(counts: Tree) -> list[_Panel]:
    first = counts["train"]
    panels = []
    if "classes" in first:
        drawn, of_pixels = [name for name in first["classes"] if name not in OTHERS], list(first["classes"])[1:]
        shown = [_photo_bars(counts, ("classes", name)) for name in drawn]
        panels.append(_Panel("masks: photos that show the class", drawn, shown))
        panels.append(_Panel("masks: pixels", of_pixels, [_pixel_bars(counts, name) for name in of_pixels]))
    for head, labels in first["labels"].items():
        panels.append(
            _Panel(f"{head}: photos", list(labels), [_photo_bars(counts, ("labels", head, n)) for n in labels])
        )
    return panels


def _arrange(panels: Sequence[_Panel]) -> list[Sequence[_Panel]]:
    return [panels[start : start + 2] for start in range(0, len(panels), 2)]


def _title(counts: Tree) -> str:
    parts = []
    for split, tree in counts.items():
        copies = f" + {tree['copies']:,} copies" if tree["copies"] else ""
        parts.append(f"{split}: {tree['photos']:,} photos of {tree['groups']:,} groups{copies}")
    return ";   ".join(parts)


def _photo_bars(counts: Tree, place: Sequence[str]) -> dict[str, tuple[float, str]]:
    """Split -> length of the bar, and what is written behind it; `place` leads to the count in a split's tree."""
    bars = {}
    for split, tree in counts.items():
        found = tree
        for key in place:
            found = found[key]
        copies = f" + {found['copies']:,}" if tree["copies"] else ""
        bars[split] = (found["photos"] / max(1, tree["photos"]), f"{found['photos']:,}{copies}")
    return bars


def _pixel_bars(counts: Tree, label: str) -> dict[str, tuple[float, str]]:
    bars = {}
    for split, tree in counts.items():
        found = tree["classes"][label]
        share = found["pixels"] / max(1, sum(each["pixels"] for each in tree["classes"].values()))
        copies = f" + {_short(found['pixels_of_copies'])}" if tree["copies"] else ""
        bars[split] = (share, f"{_short(found['pixels'])}{copies}")
    return bars


def _short(pixels: int) -> str:
    """1234567 -> 1.23 M."""
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if pixels >= unit:
            return f"{pixels / unit:.3g} {name}"
    return str(pixels)


def _draw_bars(axes: "Axes", panel: _Panel) -> None:
    splits = list(panel.bars[0])
    step = 0.8 / len(splits)
    for row, bars in enumerate(panel.bars):
        for number, (split, (share, words)) in enumerate(bars.items()):
            place = row + (number - (len(splits) - 1) / 2) * step
            axes.barh(place, share, height=0.9 * step, color=COLORS[split])
            axes.annotate(
                words, (share, place), xytext=(3, 0), textcoords="offset points", va="center", fontsize="x-small"
            )
    longest = max(share for bars in panel.bars for share, _ in bars.values())
    axes.set(xlim=(0, 1.35 * longest or 1.0), ylim=(len(panel.bars) - 0.45, -0.55))
    axes.set_yticks(range(len(panel.labels)), [_shortened(label) for label in panel.labels], fontsize="small")
    axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g} %" if share <= 1 else "")
    axes.tick_params(axis="x", labelsize="x-small")
    axes.spines[["top", "right"]].set_visible(False)


def _shortened(label: str) -> str:
    return label if len(label) <= MOST_LETTERS else f"{label[: MOST_LETTERS - 1]}…"


def _split_legend(figure: Any, counts: Tree) -> None:
    from matplotlib.patches import Patch

    copies = any(tree["copies"] for tree in counts.values())
    patches = [Patch(facecolor=COLORS[split], label=split) for split in counts]
    behind = ", photos + augmented copies" if copies else ""
    title = f"bars: share of the split's photos or pixels, without copies; numbers: counts{behind}"
    legend = figure.legend(handles=patches, loc="outside lower center", ncols=3, frameon=False, title=title)
    legend.get_title().set_fontsize("small")


def draw_samples(folder: Path, written: Sequence[Written], class_names: Sequence[str], path: Path) -> None:
    """Draws training photos and their copies side by side, as they are on the disk, with their masks below them.

    Args:
        folder: of the training part.
        written: its files.
        class_names: of the masks; none if there are no masks.
        path: the picture.
    """
    chosen = _choose(written)
    columns = max((len(row) for row in chosen), default=1)
    lines = 2 if class_names else 1
    heights = [CELL_INCHES * _height(folder, row[0]) + extra for row in chosen for extra in (0.3, 0.05)[:lines]]
    with picture(path, 0.3 + CELL_INCHES * columns, 0.8 + sum(heights)) as figure:
        grid = figure.subplots(max(1, len(heights)), columns, squeeze=False, height_ratios=heights or [1.0])
        for axes in grid.ravel():
            axes.set_axis_off()
        for row, files in enumerate(chosen):
            for column, file in enumerate(files):
                photo, mask = _read(folder, file, bool(class_names))
                small = shrink(photo, Image.Resampling.LANCZOS)
                top = grid[lines * row, column]
                top.imshow(small)
                top.set_title(_caption(file), fontsize="x-small", loc="left")
                if mask is not None:
                    grid[2 * row + 1, column].imshow(paint_mask(small, shrink(mask, Image.Resampling.NEAREST)))
        if class_names:
            figure.suptitle("grey: outside the photo, ignored", fontsize="small", x=0.01, ha="left")
            class_legend(figure, class_names)


def _height(folder: Path, file: Written) -> float:
    """Height of a photo, of the cell's width; a tall one is narrower than its cell."""
    width, height = photo_size(folder / "images" / file.name)
    return min(1.0, height / width)


def _choose(written: Sequence[Written]) -> list[list[Written]]:
    """Picks photos with their copies: those that show classes which no picked one shows, then others."""
    files: dict[int, list[Written]] = {}
    for each in written:
        files.setdefault(each.position, []).append(each)
    left = list(files.values())
    chosen: list[list[Written]] = []
    seen: Array = np.zeros(0, bool)
    while left and len(chosen) < SAMPLES:
        shown = np.array([row[0].pixels[1:-1] > 0 for row in left])  # (photos left, classes)
        new = (shown & ~seen if seen.size else shown).sum(axis=1)
        best = int(np.argmax(new))
        seen = shown[best] | seen if seen.size else shown[best]
        chosen.append(left.pop(best)[: 1 + MOST_COPIES_SHOWN])
    return chosen


def _read(folder: Path, file: Written, with_mask: bool) -> tuple[Array, Array | None]:
    photo = read_full_photo(folder / "images" / file.name)
    return photo, read_mask(folder / "masks" / f"{Path(file.name).stem}.png") if with_mask else None


def _caption(file: Written) -> str:
    if not file.copy:
        return _shortened(file.name)
    return f"copy {file.copy}{', mirrored' if file.mirrored else ''}"
