"""Draws one photo of the demo set, alone: seed and number say all about it."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from PIL import Image

from carclf.demo.bodies import DEMO_BODIES, PRETRAIN_BODIES, Body, vary_body
from carclf.demo.camera import Camera, make_camera
from carclf.demo.canvas import Canvas
from carclf.demo.cars import Marks, draw_car
from carclf.demo.damage import KINDS, LOCATIONS, Damage, grade_severity, make_shape, plan_damages
from carclf.demo.distract import draw_on_body, draw_over
from carclf.demo.light import Light, take_picture
from carclf.demo.look import Look, make_look
from carclf.demo.scene import DEMO_PLACES, PRETRAIN_PLACES, Place, draw_place, make_light
from carclf.demo.shape import Shape
from carclf.demo.stage import Stage
from carclf.demo.wounds import CABIN_PANELS, paint_damage

Array = np.ndarray[Any, np.dtype[Any]]
Style = Literal["demo", "pretrain"]

STYLES: dict[str, tuple[int, tuple[Body, ...], tuple[Place, ...]]] = {
    "demo": (1, DEMO_BODIES, DEMO_PLACES),
    "pretrain": (2, PRETRAIN_BODIES, PRETRAIN_PLACES),
}
SHOTS = (
    (1, 1, 2, 1, 3),
    (2, 1, 1, 1, 1, 2),
    (1, 3, 1, 2, 1),
    (1, 1, 1, 1, 1, 1, 2),
)  # photos of each car in a block of 8
BLOCK = 8
SHARES = (0.22, 0.23, 0.23, 0.32)  # minor, moderate, severe, whole
SUPERSAMPLING = 2
VISIBLE = 0.0008  # share of the photo that a damage must cover to be labelled
AIMS = {  # degrees around the car, from its front over its left, from which each part is photographed
    "front": 0.0, "windscreen": 0.0, "left": 90.0, "left_glass": 90.0, "rear": 180.0, "rear_window": 180.0,
    "right": 270.0, "right_glass": 270.0, "deck": 0.0, "roof": 0.0,
}  # fmt: skip


@dataclass(frozen=True)
class DemoPhoto:
    """A drawn photo and all there is to know about it."""

    image: Array  # uint8 (size, size, 3)
    mask: Array  # uint8 (size, size): 0 background, 1 damage
    severity: str  # of damage.SEVERITIES
    location: tuple[str, ...]  # of damage.LOCATIONS, where the damage is; empty if the car is whole
    damagetype: tuple[str, ...]  # of damage.KINDS; empty if the car is whole
    group: str  # the car: several photos can show it
    azimuth: float  # degrees from which the camera looks: 0 front, 90 the car's left, 180 rear
    body: str
    place: str


@dataclass(frozen=True)
class _Car:
    """What all photos of a car share."""

    name: str
    body: Body
    look: Look
    damages: tuple[Damage, ...]
    place: Place
    light: Light
    seed: int


def draw_photo(seed: int, index: int, image_size: int, style: Style = "demo") -> DemoPhoto:
    """Draws photo `index` of the set `seed`; no other photo needs to be drawn for it.

    Args:
        seed: of the set, 0 or more.
        index: of the photo, from 0.
        image_size: pixels on either side, at least 32.
        style: "demo" draws bodies and places that "pretrain" does not, and the other way round.

    Returns:
        The photo with its mask and labels. The same arguments give the same bytes.
    """
    car = _make_car(seed, index, style)
    rng = np.random.default_rng([STYLES[style][0], seed, index, 1])
    canvas = Canvas(image_size * SUPERSAMPLING)
    shape = make_shape(car.body, car.damages)
    camera, azimuth = _aim(car, shape, canvas.size, rng)
    draw_place(canvas, camera, car.place, car.light, np.random.default_rng([car.seed, 1]))
    draw_car(Stage(canvas, camera, shape, car.light), car.look, _make_marks(car))
    draw_over(canvas, camera, rng)
    numbers = np.asarray(canvas.damages)
    seen = np.bincount(numbers.ravel(), minlength=256) >= VISIBLE * numbers.size
    shown = [damage for number, damage in enumerate(car.damages, start=1) if seen[number]]
    seen[0] = False
    return DemoPhoto(
        image=take_picture(canvas.image, image_size, rng),
        mask=_shrink_mask(seen[numbers], image_size),
        severity=grade_severity(sum(damage.grade for damage in shown), np.random.default_rng([car.seed, 4])),
        location=tuple(name for name in LOCATIONS if name in {damage.location for damage in shown}),
        damagetype=tuple(name for name in KINDS if name in {damage.kind for damage in shown}),
        group=car.name,
        azimuth=azimuth,
        body=car.body.name,
        place=car.place.name,
    )


def _make_car(seed: int, index: int, style: Style) -> _Car:
    """Draws the car of a photo: the photos of a block of 8 share a few cars."""
    salt, bodies, places = STYLES[style]
    block, position = divmod(index, BLOCK)
    order = np.random.default_rng([salt, seed, block])
    shots = SHOTS[int(order.integers(len(SHOTS)))]
    number = int(np.searchsorted(np.cumsum(shots), position, side="right"))
    rng = np.random.default_rng([salt, seed, block, number, 2])
    kind = bodies[int(rng.integers(len(bodies)))]
    body = vary_body(kind, rng)
    look = make_look(rng, delivery=kind.name == "van")
    severity = str(rng.choice(["minor", "moderate", "severe", "whole"], p=SHARES))
    damages = () if severity == "whole" else plan_damages(severity, body, rng)
    place = places[int(rng.integers(len(places)))]
    light = make_light(place, rng)
    return _Car(f"car{block * BLOCK + number:05d}", body, look, damages, place, light, int(rng.integers(2**31)))


def _make_marks(car: _Car) -> Marks:
    """Returns the painters of the car's dirt and damages, for the body and for the cabin."""

    def paint_body(stage: Stage) -> None:
        draw_on_body(stage, np.random.default_rng([car.seed, 3]))
        paint(stage, on_cabin=False)

    def paint(stage: Stage, on_cabin: bool) -> None:
        for number, damage in enumerate(car.damages, start=1):
            if (damage.panel in CABIN_PANELS) == on_cabin:
                paint_damage(stage, car.look, damage, number)

    return Marks(paint_body, lambda stage: paint(stage, on_cabin=True))


def _aim(car: _Car, shape: Shape, size: int, rng: np.random.Generator) -> tuple[Camera, float]:
    """Points the camera at the car; returns it and the azimuth in degrees.

    A damaged car is seen from where its worst damage shows, a whole one from anywhere; both near or whole in
    the frame equally often.
    """
    panels = ("front", "rear", "left", "right")
    panel = str(rng.choice(panels, p=[0.34, 0.24, 0.21, 0.21]))
    near = np.array([rng.uniform(-0.3, 0.3) * car.body.length, 0.0, 0.7])
    turn = float(np.clip(rng.normal(0, 27), -55, 55))
    tight, far = rng.random() < 0.62, float(rng.uniform(5.5, 8.5))
    height, roll = float(rng.uniform(1.25, 2.3)), float(rng.normal(0, 0.022))
    zoom, lead = float(rng.uniform(1.2, 2.0)), float(rng.uniform(0.4, 0.9))
    if car.damages:
        worst = max(car.damages, key=lambda damage: damage.grade)
        panel = worst.panel if worst.location != "rear" else "rear"
        near, _ = shape.crush(getattr(shape, worst.panel)(np.array([worst.a]), np.array([worst.b])))
        near = near[0]
    azimuth = (AIMS[panel] + turn) % 360
    angle = np.radians(azimuth)
    middle = np.array([0.0, 0.0, car.body.height * 0.46])
    position = np.array([far * np.cos(angle), far * np.sin(angle), height])
    target = middle + (near - middle) * lead if tight else middle + rng.normal(0, 0.06, 3)
    camera = make_camera(position, target, roll, size)
    half = np.array([car.body.length, car.body.width, car.body.height]) / 2
    signs = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, -1).T
    fitted = make_camera(position, middle, 0.0, size).project(signs * half + [0, 0, half[2]])
    reach = float(np.abs(fitted - size / 2).max())
    fill = zoom if tight else float(rng.uniform(0.88, 1.06))
    return replace(camera, focal=fill * size / 2 / reach), azimuth


def _shrink_mask(damaged: Array, size: int) -> Array:
    """A pixel of the mask is damage where at least half of its drawn pixels are."""
    drawn = Image.fromarray(damaged.astype(np.uint8) * 255)
    return (np.asarray(drawn.resize((size, size), Image.Resampling.BOX)) >= 127).astype(np.uint8)
