"""Measures how fast trained models classify photos, against the limits that the machine sets.

    python benchmarks/predict_speed.py           three classification heads at 224 and 320 px
    python benchmarks/predict_speed.py masks     with the damage mask, at 320 px; trains it first (10 minutes)

Each limit is measured alone, in the same run: the network on photos that are decoded already, decoding without a
network. What `predict` reaches, from the files to the answers, is printed as a share of the network's limit and of
1 / (1 / decode + 1 / network), as decoding and network share the cores. Small photos are those of
../shared/data/car_damage; large ones are drawn, JPEGs of 12 megapixels. The figures are the best of three rounds.
"""

import argparse
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.car_damage import SHARED, configured  # noqa: E402
from carclf.backbone import Backbone  # noqa: E402
from carclf.config import Config  # noqa: E402
from carclf.predict import BATCH, Decoded, Predictor, decode  # noqa: E402
from carclf.saying import Answer  # noqa: E402

ROUNDS = 3
SMALL_PHOTOS, MASK_PHOTOS, LARGE_PHOTOS = 640, 160, 64
LARGE_SIZE = (4000, 3000)
LARGE_QUALITY = 92  # files of about 3 MB, as phones write them


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=("labels", "masks"), default="labels")
    if parser.parse_args().part == "masks":
        measure(configured(320, masks=True), MASK_PHOTOS)
    else:
        for size in (224, 320):
            measure(configured(size, masks=False), SMALL_PHOTOS)


def measure(config: Config, count: int) -> None:
    """Prints a line for small and one for large photos."""
    from carclf.app import run_config
    from carclf.using import open_predictor

    run_config(config)
    predictor = open_predictor(config)
    small = sorted((SHARED / "data" / "car_damage" / "photos").iterdir())[:count]
    views = f"{predictor.views} views, {predictor.workers} threads"
    print(f"\n{config.backbones[predictor.model].image_size} px, {len(config.heads)} heads, {views}; photos a second")
    for name, photos in (("small", small), ("12 MP", draw_large(config.results.parent / "large"))):
        network = best(
            partial(run_network, predictor, decode_batch(predictor, photos[:BATCH])), len(photos) // BATCH * BATCH
        )
        decoding = best(partial(run_decoding, predictor, photos), len(photos))
        reached = best(partial(run_whole, predictor, photos), len(photos))
        bound = 1 / (1 / decoding + 1 / network)
        print(
            f"{name}: network {network:.1f}, decode {decoding:.1f}, predict {reached:.1f}: "
            f"{reached / network:.1%} of the network, {reached / bound:.1%} of 1 / (1/decode + 1/network)",
            flush=True,
        )


def best(run: Callable[[int], None], count: int) -> float:
    """Photos a second of the fastest of a few rounds, after one that traces and compiles."""
    run(BATCH)
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        run(count)
        seconds.append(time.perf_counter() - started)
    return count / min(seconds)


def decode_batch(predictor: Predictor, photos: list[Path]) -> list[tuple[Backbone, Any]]:
    """Each of the model's backbones, and float32 (b, S, S, 3) that it takes."""
    sizes = [backbone.image_size for backbone in predictor.backbones]
    batch = [photo for photo in (decode(path, sizes) for path in photos) if isinstance(photo, Decoded)]
    return [(each, np.stack([photo.images[each.image_size] for photo in batch])) for each in predictor.backbones]


def run_network(predictor: Predictor, batch: list[tuple[Backbone, Any]], count: int) -> None:
    """The heads' answers to photos that are decoded already: one batch, again and again."""
    for _ in range(count // BATCH):
        for backbone, images in batch:
            predictor.answer(backbone, images)


def run_decoding(predictor: Predictor, photos: list[Path], count: int) -> None:
    """From the files to what the network takes, in as many threads as predict has."""
    sizes = [backbone.image_size for backbone in predictor.backbones]
    with ThreadPoolExecutor(predictor.workers) as pool:
        for _ in pool.map(partial(decode, sizes=sizes), photos[:count]):
            pass


def run_whole(predictor: Predictor, photos: list[Path], count: int) -> None:
    answered = sum(isinstance(answer, Answer) for answer in predictor.predict(photos[:count]))
    if answered != min(count, len(photos)):
        raise SystemExit(f"{min(count, len(photos)) - answered} photos were not answered")


def draw_large(folder: Path) -> list[Path]:
    """Drawn cars, enlarged, with the noise of a sensor: as large in bytes as photos of phones."""
    from carclf.demo import write_demo

    photos = [folder / f"{number:02d}.jpg" for number in range(LARGE_PHOTOS)]
    if not all(photo.exists() for photo in photos):
        write_demo(folder / "drawn", LARGE_PHOTOS, 1, 256)
        random = np.random.default_rng(1)
        noise = random.normal(0, 6, (LARGE_SIZE[1], LARGE_SIZE[0], 1))
        for drawn, photo in zip(sorted((folder / "drawn" / "photos").iterdir()), photos, strict=True):
            image = np.asarray(Image.open(drawn).convert("RGB").resize(LARGE_SIZE, Image.Resampling.BICUBIC))
            Image.fromarray(np.clip(image + noise, 0, 255).astype(np.uint8)).save(photo, quality=LARGE_QUALITY)
    return photos


if __name__ == "__main__":
    main()
