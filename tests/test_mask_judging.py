"""The segmentation heads of a run: what is told before anything long begins."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from carclf.config_heads import HeadConfig
from carclf.config_masks import MaskTrainingConfig
from carclf.dataset import HeadData
from carclf.errors import TrainingError
from carclf.mask_judging import MaskJob, judge_masks
from carclf.mask_sources import MaskSource
from carclf.rundir import RunDir
from carclf.sight import Sight
from carclf.splits import Split
from tests.small_questions import make_label_set
from tests.small_runs import NUM_PHOTOS, make_dataset


def test_folds_without_a_labelled_photo_are_told(tmp_path: Path) -> None:
    labels = make_label_set(("damage",))
    targets = np.full(NUM_PHOTOS, -1, np.int8)
    targets[5:9] = 0
    masks = tuple(MaskSource(labels) if target == 0 else None for target in targets)
    head = HeadData("segmentation", labels, None, targets, masks)
    dataset = replace(make_dataset(tmp_path), heads={"mask": head})
    fold = np.where(np.arange(NUM_PHOTOS) < 10, 2, np.arange(NUM_PHOTOS) % 2)  # photos 5 to 8 are judged by fold 2
    job = MaskJob(RunDir(tmp_path / "run"), Split(np.arange(NUM_PHOTOS), fold, ()), 0, {})
    config = HeadConfig(kind="segmentation", labels=tmp_path / "damage.txt", folds=2).filled(MaskTrainingConfig())

    class Seen:
        def __init__(self) -> None:
            self.dataset = dataset

    with pytest.raises(
        TrainingError, match=r"heads\.mask\.folds: 2, but no photo of these folds is labelled.*Set more"
    ):
        judge_masks(job, cast(Sight, cast(Any, Seen())), {"mask": config})
