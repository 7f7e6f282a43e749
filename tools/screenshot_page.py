"""Writes docs/page.png and docs/page_model.png: the page of a running service, with drawn cars.

    make run && .venv/bin/python main.py serve &
    .venv/bin/python -m tools.screenshot_page http://127.0.0.1:8000

Needs Chromium, and Playwright from requirements-dev.txt. No photo but drawn ones goes into the pictures.
"""

import argparse
import io
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from carclf.demo import write_demo

DOCS = Path(__file__).resolve().parents[1] / "docs"
SEED, COUNT, SIZE = 99, 24, 768  # cars that no demo run has seen, large enough to be looked at
CARS = ("00000", "00021", "00012", "00001", "00004", "00020")  # of these, whatever a model says of them
DESKTOP, PHONE = {"width": 1280, "height": 860}, {"width": 360, "height": 860}
GAP, COLORS = 20, 160  # between two screenshots side by side; of a PNG, which then has a quarter of a megabyte


def main(words: Sequence[str] | None = None) -> None:
    """Takes the screenshots."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", help="of a service, as http://127.0.0.1:8000")
    parser.add_argument("--to", type=Path, default=DOCS, help="default: docs/")
    options = parser.parse_args(words)
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        write_demo(Path(folder) / "cars", COUNT, SEED, SIZE)
        photos = [Path(folder, "cars", "photos", f"{name}.jpg") for name in CARS]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium") or shutil.which("google-chrome"))
        desktop = take_photos(open_page(browser, options.address, DESKTOP, "light"), photos)
        phone = take_photos(open_page(browser, options.address, PHONE, "dark"), photos)
        model = take_model(open_page(browser, f"{options.address}/#model", DESKTOP, "light"))
        browser.close()
    write(side_by_side(desktop, phone), options.to / "page.png")
    write(model, options.to / "page_model.png")


def open_page(browser: Any, address: str, size: dict[str, int], colors: str) -> Any:
    """Opens the page in a window of its own and waits until it is there."""
    page = browser.new_context(viewport=size, color_scheme=colors).new_page()
    page.goto(address)
    page.wait_for_selector("html[data-ready]")
    while page.get_by_role("button", name="Understood").count():
        page.get_by_role("button", name="Understood").first.click()
    return page


def take_photos(page: Any, photos: Sequence[Path]) -> Image.Image:
    """The page with answered photos, the first of them shown."""
    page.set_input_files("#choose", photos)
    page.locator("[role=tab][data-state=answered]").nth(len(photos) - 1).wait_for()
    page.wait_for_selector(".viewer:not([aria-busy]) .controls")
    page.mouse.move(0, 0)  # nothing is pointed at
    return taken(page)


def take_model(page: Any) -> Image.Image:
    """The page about the model, from its first head on."""
    page.locator(".head-report").first.wait_for()
    return taken(page)


def taken(page: Any) -> Image.Image:
    """A screenshot of what is visible."""
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    """Both on white."""
    height = max(left.height, right.height)
    joined = Image.new("RGB", (left.width + GAP + right.width, height), "white")
    joined.paste(left, (0, 0))
    joined.paste(right, (left.width + GAP, 0))
    return joined


def write(image: Image.Image, path: Path) -> None:
    """Writes it small enough for a repository."""
    image.quantize(COLORS, kmeans=1, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
