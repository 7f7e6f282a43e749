"""What a network says of a few inner validation photos after every epoch: a picture an epoch, and one of them all."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carclf.dataset import Photo
from carclf.images import read_full_photo
from carclf.mask_images import write_png
from carclf.mask_plots import SHEET_CELL_PIXELS, paint_mask, plot_epochs, shrink
from carclf.masks.scoring import class_probabilities, mask_at_size
from carclf.masks.targets import TruthLoader
from carclf.rundir import RunDir
from carclf.scores import Array

_UNDECIDED = 0.5  # the threshold while none is chosen
_SHOWN = 6  # epochs in the picture of them all


class Previews:
    """The previews of one fold: <head>/previews/fold<i>_epoch<n>.png, and fold<i>.png that shows how they change."""

    def __init__(
        self, run: RunDir, head: str, fold: int, photos: Sequence[Photo], truths: Callable[[Array], list[TruthLoader]]
    ) -> None:
        """Deletes those of an earlier fit; `truths`: places, int (k,), of photos -> what is true of them."""
        self.photos, self.truths = photos, truths
        self._start = run.path / head / "previews" / f"fold{fold}"
        self._all = self._start.with_suffix(".png")
        for older in (*self._start.parent.glob(f"{self._start.name}_epoch*.png"), self._all):
            older.unlink(missing_ok=True)
        self._small: dict[int, NDArray[np.uint8]] = {}  # place -> photo, small
        self._true: list[NDArray[np.uint8]] = []  # their masks, small
        self._masks: dict[int, list[NDArray[np.uint8]]] = {}  # epoch -> masks, as small as the photos

    def show(self, epoch: int, places: Array, outputs: Array) -> None:
        """Writes the picture of an epoch.

        Args:
            epoch: from 1.
            places: int (k,), of the photos.
            outputs: float32 (k, h, w, C), the classes' logits.
        """
        probabilities = class_probabilities(outputs)
        masks = []
        for place, grid in zip(places.tolist(), probabilities, strict=True):
            if place not in self._small:
                photo = read_full_photo(self.photos[place].path)
                self._small[place] = shrink(photo, Image.Resampling.LANCZOS)
                (load,) = self.truths(np.array([place]))
                self._true.append(shrink(load().mask, Image.Resampling.NEAREST))
            height, width = self._small[place].shape[:2]
            masks.append(mask_at_size(grid, width, height, np.full(outputs.shape[-1], _UNDECIDED)))
        self._masks[epoch] = masks
        painted = [paint_mask(self._small[place], mask) for place, mask in zip(places.tolist(), masks, strict=True)]
        write_png(self._start.with_name(f"{self._start.name}_epoch{epoch:03d}.png"), _side_by_side(painted))

    def finish(self) -> None:
        """Draws how the masks changed, if there were any."""
        if not self._masks:
            return
        epochs = sorted(self._masks)
        shown = [epochs[index] for index in np.unique(np.linspace(0, len(epochs) - 1, _SHOWN).round().astype(int))]
        captions = [self.photos[place].name for place in self._small]
        masks = {"truth": self._true} | {f"epoch {epoch}": self._masks[epoch] for epoch in shown}
        plot_epochs(list(self._small.values()), masks, captions, self._all)


def _side_by_side(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Puts pictures, uint8 (height, width, 3), in a row on white."""
    strip = np.full((SHEET_CELL_PIXELS, SHEET_CELL_PIXELS * len(pictures), 3), 255, np.uint8)
    for index, picture in enumerate(pictures):
        strip[: picture.shape[0], SHEET_CELL_PIXELS * index : SHEET_CELL_PIXELS * index + picture.shape[1]] = picture
    return strip
