import gc
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from carclf.config import Config
    from carclf.predict import Predictor

REPO = Path(__file__).resolve().parents[1]
if "PYTEST_XDIST_WORKER" in os.environ:  # each process has a core: TensorFlow's threads would only take turns
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")


def pytest_collection_finish() -> None:
    """What is there by now stays: the collector need not walk through it whenever TensorFlow traces a network."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of real photos and weights: $CARCLF_SHARED, or shared/ beside the repo."""
    folder = Path(os.environ.get("CARCLF_SHARED", REPO.parent / "shared"))
    if not (folder / "data" / "car_damage").is_dir():
        pytest.skip(f"no real photos: {folder}/data/car_damage is not there (set CARCLF_SHARED)")
    return folder


@pytest.fixture(scope="session")
def drawn_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small drawn set: see tests/drawn_set.py."""
    from tests.drawn_set import draw_set

    return draw_set(tmp_path_factory.mktemp("drawn") / "set", count=48, seed=7)


@pytest.fixture(scope="session")
def drawn_run(drawn_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a config on the drawn set, and of all that the main job made of it. Nobody may change it."""
    from carclf.app import run_config
    from carclf.config import read_config
    from tests.drawn_set import write_config

    folder = tmp_path_factory.mktemp("run")
    run_config(read_config(write_config(folder, drawn_set, workers=1)))
    return folder


@pytest.fixture(scope="session")
def config(drawn_run: Path) -> "Config":
    """That of drawn_run; some test modules have one of their own."""
    from carclf.config import read_config

    return read_config(drawn_run / "config.json")


@pytest.fixture(scope="session")
def predictor(config: "Config") -> "Predictor":
    """What drawn_run has trained, opened; some test modules have one of their own."""
    from carclf.using import open_predictor

    return open_predictor(config)


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """A command that a test calls in this process leaves a handler behind, whose stream is closed after the test."""
    log = logging.getLogger("carclf")
    before = log.handlers[:], log.propagate, log.level
    yield
    log.handlers[:], log.propagate, log.level = before
