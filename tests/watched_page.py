"""A page in a real browser, and what must not happen on it. Importing this skips a test module where there is none."""

import base64
import io
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from tests.served import Served

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (requirements-dev.txt)")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None:
    pytest.skip("no Chromium: neither chromium nor google-chrome is on PATH", allow_module_level=True)
expect = sync_api.expect

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


# Of a copy: Chromium warns of a canvas that is read twice and was not made for it, which is the test's doing alone.
FINGERPRINT = """canvas => {
  const { width, height } = canvas;
  const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, width, height);
  return new Uint32Array(data.buffer).reduce((hash, pixel) => (Math.imul(hash, 31) + pixel) | 0, 0);
}"""


class Watched:
    """A page, and what must not happen on it: errors on the console, requests that leave this machine."""

    def __init__(self, page: Any, served: "Served", allowed: tuple[int, ...]) -> None:
        self.page, self.served, self.allowed = page, served, allowed
        self.problems: list[str] = []
        self.responses: list[Any] = []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", self._see)
        page.on("response", lambda response: self.responses.append(response))

    def open(self, view: str = "") -> Any:
        self.page.goto(f"{self.served.address}/{view}")
        self.page.wait_for_selector("html[data-ready]")
        return self.page

    def ask(self, *photos: Path, failed: int = 0) -> list[dict[str, Any]]:
        """Adds photos and waits; returns what the server answered, in the order of the photos."""
        self.page.set_input_files("#choose", photos)
        expect(self.page.locator("[data-state=failed]")).to_have_count(failed)
        expect(self.page.locator("[role=tab][data-state=answered]")).to_have_count(len(photos) - failed)
        told = [each.json() for each in self.responses if "/v1/predict" in each.url and each.status == 200]
        answers = {answer["photo"]: answer for each in told for answer in each["photos"]}
        return [answers[photo.name] for photo in photos if photo.name in answers]

    def fingerprint(self) -> int:
        """A number that changes with the picture that is shown; several times faster than its pixels."""
        expect(self.page.locator(".viewer[aria-busy]")).to_have_count(0)
        return int(self.page.locator(".stage canvas").evaluate(FINGERPRINT))

    def picture(self) -> NDArray[np.uint8]:
        """The pixels of the picture that is shown."""
        expect(self.page.locator(".viewer[aria-busy]")).to_have_count(0)
        address = self.page.locator(".stage canvas").evaluate("canvas => canvas.toDataURL()")
        with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as image:
            return np.array(image.convert("RGB"))

    def _hear(self, message: Any) -> None:
        status = re.search(r"status of (\d+)", message.text)
        if message.type in ("error", "warning") and not (status and int(status[1]) in self.allowed):
            self.problems.append(message.text)

    def _see(self, request: Any) -> None:
        if not request.url.startswith((f"{self.served.address}/", "blob:", "data:")):
            self.problems.append(f"{request.url} was asked for")


@contextmanager
def open_browser() -> Iterator[Any]:
    """A Chromium that asks nobody else for anything."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@contextmanager
def watch(browser: Any, served: "Served", *, allowed: tuple[int, ...] = (), **options: Any) -> Iterator[Watched]:
    """A fresh tab.

    Args:
        browser: of open_browser.
        served: whose page it will open.
        allowed: statuses that the server may answer with, which the browser reports as errors.
        options: of the browser's context.

    Raises:
        AssertionError: at the end, if something happened that must not.
    """
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 860}} | options)
    context.set_default_timeout(10_000)
    watched = Watched(context.new_page(), served, allowed)
    yield watched
    context.close()
    assert not watched.problems, watched.problems  # pytest tells the values of asserts in test modules alone
