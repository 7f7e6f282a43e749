"""Pictures of masks: painted over photos, on sheets beside what is true, from epoch to epoch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carclf.label_file import Color, LabelSet
from carclf.labels import IGNORED_PIXEL
from carclf.mask_images import ids_in
from carclf.plots import picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]

# Okabe and Ito's palette: told apart with any colour vision
CLASS_COLORS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#FFFFFF")
IGNORED_COLOR = "#808080"
SHEET_CELL_PIXELS = 320  # longer side of a photo on a sheet


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


def plot_epochs(
    photos: Sequence[Array], masks: Mapping[str, Sequence[Array]], captions: Sequence[str], path: Path
) -> None:
    """Draws how the masks of photos change: a row per photo, a column per epoch.

    Args:
        photos: uint8 (height, width, 3), small; sizes may differ.
        masks: title of a column -> the photos' masks, uint8 (height, width) class ids.
        captions: one per photo.
        path: where the picture goes.

    Raises:
        RunDirError: if the picture cannot be written.
    """
    columns = 1 + len(masks)
    with picture(path, 1.9 * columns, 0.4 + 1.5 * len(photos)) as figure:
        grid = figure.subplots(len(photos), columns, squeeze=False)
        for axes in grid.ravel():
            axes.set_axis_off()
        for row, (photo, caption) in enumerate(zip(photos, captions, strict=True)):
            grid[row, 0].imshow(photo)
            grid[row, 0].set_title(caption, fontsize="small", loc="left")
            for column, each in enumerate(masks.values(), 1):
                grid[row, column].imshow(paint_mask(photo, each[row]))
        for axes, title in zip(grid[0, 1:], masks, strict=True):
            axes.set_title(title, fontsize="medium")


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


def paint_mask(photo: Array, mask: Array, colors: Sequence[Color] | None = None) -> Array:
    """Lays half-transparent class colours with solid edges over a photo.

    Args:
        photo: uint8 (height, width, 3).
        mask: uint8 (height, width), class ids.
        colors: of the ids 0 to 255; None = the palette of all pictures.
    """
    painted = photo.copy()
    for class_id in sorted(ids_in(mask) - {0}):
        rgb = np.array(colors[class_id] if colors else palette_color(class_id), np.uint8)
        inside = mask == class_id
        halves = np.round(0.5 * np.arange(256)[:, None] + 0.5 * rgb).astype(np.uint8)  # (256, 3): before -> after
        for plane, values in zip(np.moveaxis(painted, -1, 0), halves.T, strict=True):
            plane[inside] = values[plane[inside]]
        painted[_edge(inside)] = rgb
    return painted


def palette_color(class_id: int) -> Color:
    """The colour of a class id in pictures, grey for ignored pixels."""
    color = IGNORED_COLOR if class_id == IGNORED_PIXEL else class_color(class_id)
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return red, green, blue


def label_colors(label_set: LabelSet) -> list[Color]:
    """Colours of the ids 0 to 255: the label file's where it gives one, else those of all pictures."""
    colors = [palette_color(class_id) for class_id in range(256)]
    for class_id, color in enumerate(label_set.colors, 1):
        colors[class_id] = color or colors[class_id]
    return colors


def _edge(inside: Array) -> Array:
    """The pixels of a bool region (h, w) that touch its outside, two pixels deep."""
    core = inside
    for _ in range(2):
        padded = np.pad(core, 1)
        core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:] & core
    return np.asarray(inside & ~core)
