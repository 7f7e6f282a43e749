"""How fast an import is and how much memory it takes: drawn JPEGs of 1280 × 960 with COCO polygons.

python -m benchmarks.import_speed --counts 1000 10000
"""

import argparse
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

REPO = Path(__file__).resolve().parents[1]
WIDTH, HEIGHT = 1280, 960
NUM_IMAGES = 20  # distinct pictures; every photo gets bytes of its own behind the picture's end
NUM_POLYGONS = 4  # a photo
CLASSES = ("dent", "scratch", "crack", "glass")


def draw_set(folder: Path, count: int, seed: int = 1) -> Path:
    """Draws photos and their COCO file; returns the file."""
    rng = np.random.default_rng(seed)
    pictures = [_draw_picture(rng) for _ in range(NUM_IMAGES)]
    (folder / "photos").mkdir(parents=True)
    images, annotations = [], []
    for index in range(count):
        name = f"{index:06d}.jpg"
        (folder / "photos" / name).write_bytes(pictures[index % NUM_IMAGES] + str(index).encode())
        images.append({"id": index, "file_name": name, "width": WIDTH, "height": HEIGHT})
        for part in range(NUM_POLYGONS):
            angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
            radius = rng.uniform(20, 150) * rng.uniform(0.7, 1.3, 24)
            x = rng.uniform(0, WIDTH) + radius * np.cos(angles)
            y = rng.uniform(0, HEIGHT) + radius * np.sin(angles)
            corners = np.stack([x, y], axis=1).ravel().round(1).tolist()
            annotation = {"id": index * NUM_POLYGONS + part, "image_id": index, "iscrowd": 0}
            annotations.append(annotation | {"category_id": part % len(CLASSES), "segmentation": [corners]})
    categories = [{"id": index, "name": name} for index, name in enumerate(CLASSES)]
    path = folder / "instances.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def _draw_picture(rng: np.random.Generator) -> bytes:
    """A JPEG about as large as a phone's of this size."""
    coarse = Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8)).resize((WIDTH, HEIGHT))
    pixels = np.asarray(coarse).astype(np.int16) + rng.integers(-12, 13, (HEIGHT, WIDTH, 3))
    file = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=88)
    return file.getvalue()


def measure(count: int) -> str:
    """Imports a drawn set in a process of its own; returns a line of figures."""
    with tempfile.TemporaryDirectory() as place:
        path = draw_set(Path(place, "set"), count)
        size = path.stat().st_size / 2**20
        words = ["import", "--format", "coco", str(path), "--to", str(Path(place, "imported")), "--quiet"]
        started = time.perf_counter()
        subprocess.run([sys.executable, "main.py", *words], cwd=REPO, check=True)
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return (
        f"{count:6d} photos: {seconds:6.1f} s, {count / seconds:5.0f} photos/s, {peak:4.0f} MiB (json: {size:.1f} MiB)"
    )


def main() -> None:
    """Prints a line for every count; counts rise, as the peak is that of the largest so far."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10000])
    for count in sorted(parser.parse_args().counts):
        print(measure(count), flush=True)


if __name__ == "__main__":
    main()
