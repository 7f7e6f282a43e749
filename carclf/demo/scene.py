"""Places where a car stands: light, sky, walls, ground.

The shipped demo and the training of the embedded backbone share none of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from carclf.demo import scenery
from carclf.demo.camera import Camera
from carclf.demo.canvas import Canvas
from carclf.demo.light import Light, soft_noise

Array = np.ndarray[Any, np.dtype[Any]]
Painter = Callable[[Canvas, Camera, np.random.Generator], None]


@dataclass(frozen=True)
class Place:
    """A kind of place: its colours (0 to 1) and what stands there."""

    name: str
    sky: tuple[float, float, float]
    ground: tuple[float, float, float]
    sunny: float  # chance of sun; 0 indoors
    rough: float  # how uneven the ground looks
    paint: tuple[Painter, ...]


DEMO_PLACES = (
    Place("street", (0.62, 0.74, 0.88), (0.34, 0.34, 0.35), 0.6, 0.04, (scenery.buildings, scenery.road)),
    Place(
        "parking",
        (0.72, 0.78, 0.84),
        (0.30, 0.30, 0.31),
        0.5,
        0.05,
        (scenery.hedge, scenery.bays, scenery.posts),
    ),
    Place("garage", (0.66, 0.65, 0.62), (0.42, 0.41, 0.40), 0.0, 0.02, (scenery.hall, scenery.tiles)),
    Place("grass", (0.55, 0.72, 0.90), (0.25, 0.38, 0.15), 0.65, 0.10, (scenery.trees, scenery.blades)),
)
PRETRAIN_PLACES = (
    Place("studio", (0.80, 0.80, 0.82), (0.62, 0.62, 0.64), 0.0, 0.0, (scenery.backdrop,)),
    Place("snow", (0.78, 0.84, 0.92), (0.85, 0.88, 0.92), 0.4, 0.05, (scenery.firs,)),
    Place("desert", (0.52, 0.72, 0.93), (0.74, 0.60, 0.42), 0.85, 0.06, (scenery.dunes,)),
    Place("brick_yard", (0.70, 0.72, 0.75), (0.45, 0.42, 0.40), 0.3, 0.05, (scenery.bricks, scenery.cobbles)),
    Place("harbour", (0.66, 0.76, 0.84), (0.44, 0.44, 0.43), 0.5, 0.05, (scenery.containers, scenery.slabs)),
)


def make_light(place: Place, rng: np.random.Generator) -> Light:
    """Draws the light of one car's place: where the sun stands and how bright it is."""
    sunny = rng.random() < place.sunny
    around, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.3)
    direction = np.array([np.cos(around) * np.cos(height), np.sin(around) * np.cos(height), np.sin(height)])
    dim = float(rng.uniform(0.8, 1.12))
    sky = np.clip(np.array(place.sky) * dim + rng.normal(0, 0.02, 3), 0, 1)
    ground = np.clip(np.array(place.ground) * dim + rng.normal(0, 0.015, 3), 0, 1)
    sun = float(rng.uniform(0.55, 0.95)) if sunny else float(rng.uniform(0.1, 0.3))
    return Light(direction, sun, sky, ground)


def draw_place(canvas: Canvas, camera: Camera, place: Place, light: Light, rng: np.random.Generator) -> None:
    """Draws sky and ground with their gradients, then what stands there; fills the whole canvas.

    Args:
        canvas: what is drawn on.
        camera: where from.
        place: which of DEMO_PLACES or PRETRAIN_PLACES.
        light: its colours.
        rng: the place's own draws: the same for all photos of a car.
    """
    size = canvas.size
    rows = np.arange(size, dtype=np.float32)[:, None]
    horizon = camera.horizon()
    up = np.clip((horizon - rows) / size, 0, 1)
    near = np.clip((rows - horizon) / size, 0, 1)
    sky = light.sky * (1.06 - 0.28 * up) + np.array([0.10, 0.07, 0.03]) * (0.3 - up)
    soil = light.ground * (0.90 + 0.35 * near) * (0.85 + 0.25 * light.sun)
    column = np.where(rows < horizon, sky, soil).astype(np.float32)
    small = size // 2
    picture = np.broadcast_to(column[::2][:small, None, :], (small, small, 3)).copy()
    below = rows[::2][:small, 0] >= horizon
    texture = rng.standard_normal((small, small)).astype(np.float32) * 0.6 + soft_noise(small, 24, rng) * 0.5
    picture[below] += place.rough * texture[below, :, None]
    if place.sunny:
        clouds = np.clip(soft_noise(small, 6, rng) - 0.4, 0, 1) * 0.14
        picture[~below] += clouds[~below, :, None]
    image = Image.fromarray((np.clip(picture, 0, 1) * 255).astype(np.uint8))
    canvas.paste(np.asarray(image.resize((size, size), Image.Resampling.BILINEAR)))
    for paint in place.paint:
        paint(canvas, camera, rng)
