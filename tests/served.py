"""The real service in a thread of the test, on a free port of this machine: for tests of the service and its page."""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.config import Config
from carclf.labels import LabelSet
from carclf.predict import Predictor
from carclf.serve.server import listen, make_server
from carclf.serve.settings import Limits, Settings, allowed_host_names

JPEG = {"Content-Type": "image/jpeg"}
KEY = "a-key-of-the-tests"
LIMITS = Limits(most_bytes=400_000, most_pixels=1_000_000, most_photos=4)
SETTINGS = Settings(port=0, limits=LIMITS, host_names=allowed_host_names("127.0.0.1", ()))


@dataclass(frozen=True)
class Served:
    """A service that runs."""

    address: str
    settings: Settings

    def answer(self, photo: Path) -> dict[str, Any]:
        """What it says of a JPEG, asked without a browser."""
        request = urllib.request.Request(f"{self.address}/v1/predict", photo.read_bytes(), JPEG)
        with urllib.request.urlopen(request) as reply:
            answer: dict[str, Any] = json.load(reply)["photos"][0]
        return answer

    def complaint(self, photo: Path) -> str:
        """What it says of a JPEG that it cannot answer, from where the photo's name ends."""
        try:
            self.answer(photo)
        except urllib.error.HTTPError as error:
            with error:
                return str(json.load(error)["error"]).partition(": ")[2]
        raise AssertionError(f"{photo} was answered")


def as_form(photos: list[Path]) -> list[tuple[str, tuple[str, bytes]]]:
    """Photos as httpx takes the parts of a form."""
    return [("photos", (photo.name, photo.read_bytes())) for photo in photos]


def wait_for(is_so: Callable[[], bool]) -> None:
    """Waits until something is so; what is never so is a fault of the test or the service."""
    until = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < until, "never"
        time.sleep(0.001)


class FixedMasks:
    """In place of a trained mask network, whose answers depend on the machine: the same damages in every photo."""

    def predict_logits(self, maps: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Two damages of class 1 on the left, one of class 2 on the right.

        Args:
            maps: level -> (views, b, h, w, c); only b is read.

        Returns:
            float32 (b, 24, 24, 2).
        """
        logits = np.full((next(iter(maps.values())).shape[1], 24, 24, 2), -6, np.float32)
        logits[:, 3:10, 2:9, 0] = 4
        logits[:, 15:20, 4:8, 0] = 3
        logits[:, 6:16, 14:21, 1] = 2
        return logits


def with_fixed_masks(predictor: Predictor, label_set: LabelSet) -> Predictor:
    """A predictor without merged runs, its mask heads with the two classes of FixedMasks."""
    thresholds = np.full(2, 0.5)
    heads = {
        name: replace(
            head,
            label_set=label_set,
            decoders=(FixedMasks(),),
            decider=replace(head.decider, thresholds=thresholds),
            min_probability=0.0,
        )
        for name, head in predictor.mask_heads.items()
    }
    return replace(predictor, mask_heads=heads)


@contextmanager
def serve_page(predictor: Predictor, config: Config, settings: Settings) -> Iterator[Served]:
    """Runs it until the block ends."""
    taken = listen(settings)
    server = make_server(predictor, config, settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [taken]})
    thread.start()
    try:
        yield Served(f"http://127.0.0.1:{taken.getsockname()[1]}", settings)  # what comes early waits in the socket
    finally:
        server.should_exit = True
        thread.join()
        taken.close()
