import os
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of real photos and weights: $CARCLF_SHARED, or shared/ beside the repo."""
    folder = Path(os.environ.get("CARCLF_SHARED", REPO.parent / "shared"))
    if not (folder / "data" / "car_damage").is_dir():
        pytest.skip(f"no real photos: {folder}/data/car_damage is not there (set CARCLF_SHARED)")
    return folder
