"""What looks like damage and is none: dirt, stickers, reflections, shadows; and what stands in the way."""

from typing import Any

import numpy as np

from carclf.demo.camera import Camera
from carclf.demo.canvas import NO_DAMAGE, Canvas, as_color
from carclf.demo.outline import blob, box, quad, ragged
from carclf.demo.stage import Stage

Array = np.ndarray[Any, np.dtype[Any]]


def draw_on_body(stage: Stage, rng: np.random.Generator) -> None:
    """Draws the car's dirt, stickers and reflections, on all its photos, where the camera sees them."""
    chances = rng.random(4)
    seeds = rng.integers(2**31, size=4)
    painters = ((0.45, _dirt), (0.28, _sticker), (0.6, _reflection), (0.25, _stripe))
    for chance, seed, (likely, paint) in zip(chances, seeds, painters, strict=True):
        if chance < likely:
            for panel in ("left", "right", "front", "rear"):
                if stage.sees(panel, 0.0, 0.6):
                    paint(stage, panel, np.random.default_rng([int(seed), len(panel)]))


def _along(stage: Stage, panel: str, rng: np.random.Generator) -> float:
    return float(
        rng.uniform(-0.45, 0.45) * stage.shape.body.length if panel in ("left", "right") else rng.uniform(-0.9, 0.9)
    )


def _height(stage: Stage, panel: str, share: float) -> float:
    """Turns a share of the height from sill to deck into the panel's own coordinate."""
    low, high = stage.shape.body.clearance, stage.shape.body.deck[2][1]
    return low + share * (high - low) if panel in ("left", "right") else share


def _dirt(stage: Stage, panel: str, rng: np.random.Generator) -> None:
    mud = np.array([0.36, 0.29, 0.2]) * rng.uniform(0.6, 1.3)
    for _ in range(26):
        a, b = _along(stage, panel, rng), _height(stage, panel, min(0.9, abs(rng.normal(0, 0.25))))
        spot = blob(rng.uniform(0.02, 0.13), rng.uniform(0.02, 0.13), 0.5, rng, 8) / stage.scale(panel, a, b)
        stage.paint(panel, spot + np.array([a, b]), as_color(mud, rng.uniform(0.1, 0.5)))


def _sticker(stage: Stage, panel: str, rng: np.random.Generator) -> None:
    a, b = _along(stage, panel, rng), _height(stage, panel, rng.uniform(0.45, 0.85))
    size = rng.uniform(0.05, 0.22, 2) * np.array([1.5, 0.6]) / stage.scale(panel, a, b)
    stage.paint(panel, box(a - size[0], a + size[0], b - size[1], b + size[1], 3), as_color(rng.uniform(0.1, 0.95, 3)))
    ink = as_color(rng.uniform(0, 0.9, 3))
    for i in range(3):
        level = b + size[1] * (0.5 - 0.5 * i)
        stage.stroke(panel, quad((a - size[0] * 0.8, level), (a + size[0] * rng.uniform(0, 0.8), level)), ink, 0.012)


def _reflection(stage: Stage, panel: str, rng: np.random.Generator) -> None:
    """The skyline mirrored in the paint: a ragged edge, darker below; and bright patches."""
    half = 0.5 * stage.shape.body.length if panel in ("left", "right") else 1.0
    level = _height(stage, panel, rng.uniform(0.5, 0.75))
    a = np.linspace(-half, half, 14)
    edge = np.stack([a, level + rng.normal(0, 0.035, 14)], 1)
    low = np.stack([a[::-1], np.full(14, _height(stage, panel, 0.2))], 1)
    stage.paint(panel, np.concatenate([edge, low]), (0, 0, 0, int(rng.uniform(18, 50))))
    for _ in range(int(rng.integers(1, 4))):
        a0, b0 = _along(stage, panel, rng), _height(stage, panel, rng.uniform(0.35, 0.85))
        patch = blob(rng.uniform(0.08, 0.35), rng.uniform(0.03, 0.1), 0.3, rng, 10) / stage.scale(panel, a0, b0)
        for share in (1.0, 0.7, 0.45):
            stage.paint(panel, patch * share + [a0, b0], (255, 255, 255, int(rng.uniform(14, 38))))


def _stripe(stage: Stage, panel: str, rng: np.random.Generator) -> None:
    """A protective strip or a coloured band along the car."""
    half = 0.47 * stage.shape.body.length if panel in ("left", "right") else 0.97
    level, color = _height(stage, panel, rng.uniform(0.3, 0.6)), as_color(rng.uniform(0.05, 0.8, 3), 0.85)
    stage.paint(panel, box(-half, half, level, level + 0.045, 9), color)


def draw_over(canvas: Canvas, camera: Camera, rng: np.random.Generator) -> None:
    """Draws shadows that fall on the whole scene, and posts, cones or twigs in front of the car."""
    size = canvas.size
    if rng.random() < 0.35:
        start, slope = rng.uniform(-0.2, 1.0) * size, rng.uniform(-0.5, 0.5) * size
        width = rng.uniform(0.05, 0.3) * size
        band = np.array([(start, -1), (start + width, -1), (start + width + slope, size), (start + slope, size)])
        canvas.polygon(band, (0, 0, 0, int(rng.uniform(25, 75))))
    if rng.random() < 0.25:
        for _ in range(30):
            spot = blob(rng.uniform(0.01, 0.05) * size, rng.uniform(0.01, 0.05) * size, 0.6, rng, 8) + rng.uniform(
                (0.0, 0.45 * size), size
            )
            canvas.polygon(spot, (0, 0, 0, int(rng.uniform(20, 60))))
    if rng.random() < 0.16:
        _bollard(canvas, camera, rng)
    if rng.random() < 0.08:
        x = float(rng.choice([rng.uniform(-0.05, 0.1), rng.uniform(0.9, 1.05)])) * size
        for _ in range(12):
            root = np.array([x + rng.normal(0, 0.04 * size), size])
            tip = root + np.array([rng.normal(0, 0.09), -rng.uniform(0.1, 0.4)]) * size
            canvas.line(ragged(root, tip, 0.01 * size, 5, rng), (52, 74, 34), 0.008 * size, NO_DAMAGE)


def _bollard(canvas: Canvas, camera: Camera, rng: np.random.Generator) -> None:
    """A post or a traffic cone between camera and car."""
    towards = camera.position[:2] / np.linalg.norm(camera.position[:2])
    aside = np.array([-towards[1], towards[0]])
    foot = towards * rng.uniform(2.6, 3.2) + aside * rng.uniform(-1.8, 1.8)
    cone = rng.random() < 0.5
    wide, high = (0.19, 0.7) if cone else (0.08, rng.uniform(0.8, 1.1))
    narrow = 0.03 if cone else wide
    color = np.array([0.88, 0.32, 0.08]) if cone else np.full(3, rng.uniform(0.15, 0.7))
    for low, up, tone in ((0.0, 0.45, color), (0.45, 0.68, np.full(3, 0.88)), (0.68, 1.0, color)):
        widths = [wide + (narrow - wide) * share for share in (low, up)]
        corners = [
            (*(foot + aside * side * widths[end]), high * (low, up)[end])
            for side, end in ((-1, 0), (1, 0), (1, 1), (-1, 1))
        ]
        canvas.polygon(camera.project_polygon(np.array(corners)), as_color(tone * 0.9), NO_DAMAGE)
