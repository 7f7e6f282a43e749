"""What backbones see in the photos of a dataset: all of them in the same ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import carclf.sight
from carclf.errors import PhotoError
from carclf.pixels import open_pixels
from carclf.sight import Sight, SightRequest, look_at, look_through
from tests.small_runs import NUM_PHOTOS, make_dataset


def test_a_photo_that_one_backbone_cannot_read_is_left_out_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_dataset(tmp_path)
    gone = dataset.photos[7]

    def look_and_lose(backbone: Any, *given: Any) -> Sight:
        seen = look_at(backbone, *given)
        gone.path.write_bytes(b"not the photo any more")
        return seen

    monkeypatch.setattr(carclf.sight, "look_at", look_and_lose)
    request = SightRequest(1, (), (), 1, 1, "skip")
    sights = look_through([(open_pixels(size), request) for size in (16, 24, 32)], dataset, tmp_path / "cache")
    for sight in sights:
        assert len(sight.dataset.photos) == NUM_PHOTOS - 1
        assert gone not in sight.dataset.photos
        assert [photo.name for photo in sight.dataset.skipped] == [gone.name]
        assert sight.vectors.shape == (1, NUM_PHOTOS - 1, 0)
        kept = np.delete(dataset.heads["severity"].targets, 7)
        np.testing.assert_array_equal(sight.dataset.heads["severity"].targets, kept)
    with pytest.raises(PhotoError, match="was changed while it was being used"):
        look_through([(open_pixels(40), SightRequest(1, (), (), 1, 1, "stop"))], dataset, tmp_path / "cache")
