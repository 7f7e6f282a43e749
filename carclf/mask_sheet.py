"""A sheet of photos with their true masks and those predicted out of fold: from the best to the worst."""

from pathlib import Path

import numpy as np

from carclf.dataset import Dataset
from carclf.images import read_full_photo
from carclf.mask_fold import load_truth, read_fold_mask
from carclf.mask_plots import plot_mask_sheet
from carclf.records import read_mask_counts
from carclf.rundir import RunDir
from carclf.scores import Array

DAMAGED, EMPTY = 6, 2  # photos on the sheet


def draw_mask_sheet(run: RunDir, head: str, dataset: Dataset, path: Path) -> None:
    """Draws photos evenly spaced from the best to the worst Dice, and empty ones with the largest false region.

    Args:
        run: a finished run.
        head: a segmentation head.
        dataset: the photos of the run.
        path: the picture.
    """
    record = read_mask_counts(run, head)
    position = {photo.name: row for row, photo in enumerate(dataset.photos)}
    labelled = np.flatnonzero(dataset.heads[head].labelled)
    photos, truths, answers, captions = [], [], [], []
    for row, caption in _chosen(record.counts.sum(axis=1)):
        place = position[record.photos[row]]
        photo = dataset.photos[place]
        image = read_full_photo(photo.path)
        photos.append(image)
        truths.append(load_truth(dataset.heads[head], photo, place).mask)
        answers.append(read_fold_mask(run, head, int(record.folds[row]), int(np.searchsorted(labelled, place))))
        captions.append(f"{photo.name}: {caption}")
    plot_mask_sheet(photos, truths, answers, captions, record.class_names, path)


def _chosen(counts: Array) -> list[tuple[int, str]]:
    """Picks rows and says how well they were answered; counts: int64 (n, 3), all classes together."""
    hits, extra, missed = counts.T
    dice = 2 * hits / np.maximum(2 * hits + extra + missed, 1)
    damaged, empty = np.flatnonzero(hits + missed > 0), np.flatnonzero(hits + missed == 0)
    damaged = damaged[np.argsort(-dice[damaged], kind="stable")]
    empty = empty[np.argsort(-extra[empty], kind="stable")]
    spaced = np.unique(np.linspace(0, len(damaged) - 1, min(DAMAGED, len(damaged))).astype(int))
    chosen = [(int(row), f"Dice {dice[row]:.2f}") for row in damaged[spaced]]
    return chosen + [(int(row), "no damage, largest false region") for row in empty[:EMPTY]]
