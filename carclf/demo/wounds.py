"""Paints damages on the car and, with the same outlines, their numbers into the damage picture."""

from typing import Any

import numpy as np

from carclf.demo.canvas import as_color
from carclf.demo.damage import Damage
from carclf.demo.details import door_outline, lamp_outline
from carclf.demo.glass import end_window, side_windows
from carclf.demo.look import Look
from carclf.demo.outline import blob, box, circle, quad, ragged
from carclf.demo.stage import Stage

Array = np.ndarray[Any, np.dtype[Any]]

CAVITY = np.array([0.05, 0.048, 0.045])
SCRATCH_BAND = 0.035  # metres: the mask of a scratch is at least as wide, as an annotator would draw it
CABIN_PANELS = ("windscreen", "rear_window", "left_glass", "right_glass")


def paint_damage(stage: Stage, look: Look, damage: Damage, number: int) -> None:
    """Paints one damage, if the camera sees its panel."""
    rng = np.random.default_rng(damage.seed)
    if damage.form in ("lamp", "lamp_glass", "bumper"):
        seen = stage.sees(damage.panel, 0.0, 0.5)
    elif damage.form == "door":
        seen = stage.sees(damage.panel, damage.a, 0.6)
    else:
        seen = stage.sees(damage.panel, damage.a, damage.b)
    if seen:
        _PAINTERS[damage.form](stage, look, damage, number, rng)


def _around(stage: Stage, damage: Damage, outline: Array) -> Array:
    """Turns an outline in metres about the damage into panel coordinates."""
    return np.array([damage.a, damage.b]) + outline / stage.scale(damage.panel, damage.a, damage.b)


def _dent(stage: Stage, look: Look, damage: Damage, number: int, rng: np.random.Generator) -> None:
    """A hollow: dark where its upper slope turns from the light, bright where the lower one faces it."""
    size, stretch = damage.size, float(rng.uniform(0.6, 1.0))
    outline = blob(size, size * stretch, 0.22, rng)
    depth = float(rng.uniform(0.95, 1.5))
    bright = float(look.paint.mean())
    stage.paint(damage.panel, _around(stage, damage, outline), (0, 0, 0, 1), number)
    for share in (1.0, 0.86, 0.72, 0.58, 0.44, 0.3):
        lift = np.array([0.0, size * stretch * 0.30 * (1 - share)])
        stage.paint(damage.panel, _around(stage, damage, outline * share + lift), as_color(np.zeros(3), 0.095 * depth))
    for share in (0.62, 0.5, 0.38, 0.26):
        drop = np.array([size * 0.05, -size * stretch * 0.95 * (1 - share) * 0.75])
        glow = as_color(look.paint * 0.4 + 0.6, (0.15 + 0.08 * (1 - bright)) * depth)
        stage.paint(damage.panel, _around(stage, damage, outline * np.array([share * 1.2, share * 0.6]) + drop), glow)
    lower = outline[(outline[:, 1] < -0.2 * size * stretch)]
    lower = lower[np.argsort(lower[:, 0])]
    if len(lower) > 2:
        stage.stroke(damage.panel, _around(stage, damage, lower), (255, 255, 255, 95), 0.018)
    if size > 0.2:
        for _ in range(int(rng.integers(1, 4))):
            ends = rng.normal(0, 0.5 * size, (2, 2)) * np.array([1.0, stretch])
            crease = ragged(ends[0], ends[1], 0.05 * size, 5, rng)
            stage.stroke(damage.panel, _around(stage, damage, crease), (0, 0, 0, 130), 0.02)
            stage.stroke(damage.panel, _around(stage, damage, crease - [0, 0.022]), (255, 255, 255, 110), 0.016)


def _scratch(stage: Stage, look: Look, damage: Damage, number: int, rng: np.random.Generator) -> None:
    """Roughly parallel lines down to primer, metal or rust."""
    slope = float(rng.normal(0, 0.35))
    along = np.array([np.cos(slope), np.sin(slope)]) * damage.size
    across = np.array([-np.sin(slope), np.cos(slope)])
    bare = np.array([[0.86, 0.86, 0.84], [0.55, 0.55, 0.56], [0.24, 0.22, 0.2], [0.42, 0.28, 0.18]])
    far = np.abs(bare.mean(1) - look.paint.mean()) > 0.22
    color = bare[rng.choice(np.flatnonzero(far))]
    for _ in range(int(rng.integers(3, 6 + int(5 * damage.size)))):
        middle = across * rng.normal(0, 0.06 + 0.03 * damage.size) + along * rng.normal(0, 0.12)
        length = float(rng.uniform(0.3, 1.0))
        path = _around(stage, damage, ragged(middle - along * length / 2, middle + along * length / 2, 0.012, 7, rng))
        pixels = stage.pixels(damage.panel, path[:, 0], path[:, 1])
        band = max(SCRATCH_BAND * stage.pixels_per_metre, 3.0)
        stage.canvas.line(pixels, (*as_color(color)[:3], 2), band, number)
        width = float(rng.uniform(0.011, 0.03)) * stage.pixels_per_metre
        stage.canvas.line(pixels, as_color(color, rng.uniform(0.7, 1.0)), width)


def _crack(stage: Stage, look: Look, damage: Damage, number: int, rng: np.random.Generator) -> None:
    """A star of cracks about the point that was hit; its mask reaches to the ends of the rays."""
    rays = int(rng.integers(8, 15))
    angles = np.sort(rng.uniform(0, 2 * np.pi, rays))
    reach = damage.size * rng.uniform(0.45, 1.2, rays)
    tips = _clip_glass(
        damage.panel, _around(stage, damage, np.stack([np.cos(angles), np.sin(angles)], 1) * reach[:, None])
    )
    middle = np.array([damage.a, damage.b])
    stage.paint(damage.panel, tips, (225, 235, 235, 40), number)
    for tip in tips:
        path = _clip_glass(damage.panel, ragged(middle, tip, 0.012, 6, rng))
        stage.stroke(damage.panel, path, (235, 240, 240, 215), 0.012)
    for share in (0.25, 0.5, 0.75)[: int(rng.integers(1, 4))]:
        ring = middle + (tips - middle) * share * rng.uniform(0.85, 1.15, (rays, 1))
        stage.stroke(damage.panel, np.concatenate([ring, ring[:1]]), (235, 240, 240, 170), 0.010)
    spot = middle + circle(0, 0, 0.045, 0.06, 8)
    stage.paint(damage.panel, spot, (240, 245, 245, 180), number)


def _clip_glass(panel: str, points: Array) -> Array:
    low = end_window(panel).min(0) if panel in ("windscreen", "rear_window") else np.array([0.0, 0.1])
    return np.clip(points, low, end_window(panel).max(0) - 0.02)


def _shatter(stage: Stage, look: Look, damage: Damage, number: int, rng: np.random.Generator) -> None:
    """A pane crazed all over, with a hole in it."""
    if damage.panel in ("windscreen", "rear_window"):
        outline = end_window(damage.panel)
    else:
        panes = side_windows(stage.shape.body.windows)
        outline = panes[int(damage.a * len(panes))]
    stage.paint(damage.panel, outline, (190, 205, 205, 120), number)
    low, size = outline.min(0), outline.max(0) - outline.min(0)
    for _ in range(26):
        ends = low + size * rng.uniform(0.02, 0.98, (2, 2))
        stage.stroke(
            damage.panel,
            ragged(ends[0], ends[0] + (ends[1] - ends[0]) * 0.45, 0.01, 3, rng),
            (240, 245, 245, 170),
            0.008,
        )
    hole = blob(0.38, 0.36, 0.6, rng, 15) * rng.uniform(0.55, 1.25, (15, 1))
    hole = np.clip(low + size * (0.5 + rng.normal(0, 0.06, 2)) + hole * size, low + 0.03 * size, low + 0.97 * size)
    stage.paint(damage.panel, hole, (9, 9, 10))
    stage.stroke(damage.panel, np.concatenate([hole, hole[:1]]), (235, 240, 240, 200), 0.012)


def _lamp_glass(stage: Stage, look: Look, damage: Damage, number: int, rng: np.random.Generator) -> None:
    """A light whose glass is broken."""
    outline = lamp_outline(look, damage.panel, int(damage.a))
    middle = outline.mean(0)
    stage.paint(damage.panel, outline, as_color(CAVITY, 0.6), number)
    for _ in range(4):
        corner = outline[rng.integers(4)]
        other = outline.mean(0) + (outline[rng.integers(4)] - middle) * rng.uniform(0.5, 1.0)
        stage.paint(damage.panel, np.array([corner, other, middle + (corner - middle) * 0.3]), (225, 230, 232, 120))
    hole = middle + (outline - middle) * rng.uniform(0.3, 0.75, (4, 1))
    stage.paint(damage.panel, hole, as_color(CAVITY))
    for _ in range(6):
        tip = middle + (outline[rng.integers(4)] - middle) * rng.uniform(0.6, 1.0)
        stage.stroke(damage.panel, ragged(middle, tip, 0.01, 4, rng), (240, 240, 240, 190), 0.009)


def _lamp(stage: Stage, look: Look, damage: Damage, number: int, rng: np.random.Generator) -> None:
    """A light that is gone: a hole with a bracket and a wire."""
    outline = lamp_outline(look, damage.panel, int(damage.a))
    stage.paint(damage.panel, outline, as_color(CAVITY), number)
    middle = outline.mean(0)
    for _ in range(3):
        edge = middle + (outline[rng.integers(4)] - middle) * 0.85
        stage.stroke(
            damage.panel,
            quad(tuple(edge), tuple(middle + rng.normal(0, 0.04, 2))),
            as_color(np.full(3, 0.3)),
            0.03,
        )
    wire = ragged(middle, middle - [0.0, look.lamp_height * 0.7], 0.03, 5, rng)
    stage.stroke(damage.panel, wire, (170, 130, 40), 0.014)


def _bumper(stage: Stage, look: Look, damage: Damage, number: int, rng: np.random.Generator) -> None:
    """A bumper torn off: the cross beam, its brackets and the dark behind."""
    panel = damage.panel
    left = float(rng.choice([-0.99, -0.99, -0.2]))
    right = 0.99 if left < -0.5 else float(rng.choice([0.99, 0.99]))
    edge = box(left, right, 0.0, 0.44, 9)
    edge[9:, 1] += rng.uniform(-0.03, 0.04, 9)
    stage.paint(panel, edge, as_color(CAVITY), number)
    steel = stage.tone(np.array([0.36, 0.35, 0.34]), panel, 0.0, 0.3)
    stage.paint(panel, box(left + 0.07, right - 0.07, 0.22, 0.33, 7), as_color(steel))
    stage.paint(panel, box(left + 0.07, right - 0.07, 0.205, 0.225, 7), as_color(steel * 0.5))
    for a in (left + 0.22, right - 0.22):
        stage.paint(panel, box(a - 0.05, a + 0.05, 0.05, 0.42, 2), as_color(steel * 0.7))
    for _ in range(3):
        a = float(rng.uniform(left + 0.1, right - 0.1))
        stage.stroke(
            panel,
            ragged(np.array([a, 0.4]), np.array([a + rng.normal(0, 0.1), 0.08]), 0.02, 5, rng),
            (60, 55, 50),
            0.02,
        )
    sign = 1 if panel == "front" else -1
    tip, low = sign * stage.shape.body.length / 2, stage.shape.body.clearance
    for side in ("left", "right"):
        if (side == "left" or left < -0.5) and stage.sees(side, tip * 0.9, low + 0.2):
            wrap = quad((tip, low), (tip - sign * 0.2, low), (tip - sign * 0.16, low + 0.22), (tip, low + 0.25))
            stage.paint(side, wrap, as_color(CAVITY), number)


def _door(stage: Stage, look: Look, damage: Damage, number: int, rng: np.random.Generator) -> None:
    """A door that is gone: one looks at the seat."""
    outline = door_outline(stage, int(damage.b))
    stage.paint(damage.panel, outline, as_color(CAVITY * 0.8), number)
    low, high = outline.min(0), outline.max(0)
    size = high - low
    cloth = np.array([0.25, 0.22, 0.2]) * float(rng.uniform(0.6, 1.5))
    back = quad((0.12, 0.16), (0.36, 0.16), (0.28, 0.98), (0.10, 0.98))
    cushion = quad((0.14, 0.14), (0.78, 0.18), (0.78, 0.36), (0.2, 0.36))
    for part, tone in ((cushion, 1.0), (back, 0.8)):
        stage.paint(damage.panel, low + part * size, as_color(cloth * tone))
    stage.paint(
        damage.panel,
        low + quad((0.05, 0.02), (0.95, 0.02), (0.95, 0.1), (0.05, 0.1)) * size,
        as_color(look.paint * 0.5),
    )


def _bonnet(stage: Stage, look: Look, damage: Damage, number: int, rng: np.random.Generator) -> None:
    """A bonnet that is gone: one looks at the engine."""
    end = stage.shape.body.cabin[0]
    stage.paint("deck", box(0.025, end * 0.97, -0.88, 0.88, 6), as_color(CAVITY), number)
    for _ in range(14):
        a, b = rng.uniform(0.05, end * 0.8), rng.uniform(-0.7, 0.6)
        tone = np.full(3, rng.uniform(0.07, 0.4)) * np.array([1.0, 0.97, 0.93])
        stage.paint(
            "deck",
            box(a, a + rng.uniform(0.01, end * 0.17), b, b + rng.uniform(0.05, 0.3), 2),
            as_color(tone),
        )


def _crush(stage: Stage, look: Look, damage: Damage, number: int, rng: np.random.Generator) -> None:
    """The torn and scraped metal on a crushed part; the shape itself is pushed in already."""
    for _ in range(int(3 + 4 * damage.size)):
        spot = rng.normal(0, 0.36 * damage.size, 2) * np.array([1.0, 0.6])
        tear = (
            blob(
                rng.uniform(0.03, 0.17) * damage.size,
                rng.uniform(0.02, 0.07) * damage.size + 0.015,
                0.6,
                rng,
                9,
            )
            + spot
        )
        stage.paint(damage.panel, _around(stage, damage, tear), as_color(CAVITY, rng.uniform(0.6, 0.95)), number)
    for _ in range(int(4 + 6 * damage.size)):
        start = rng.normal(0, 0.35 * damage.size, 2) * np.array([1.0, 0.7])
        crease = ragged(start, start + rng.normal(0, 0.35 * damage.size, 2), 0.03, 5, rng)
        bright = rng.random() < 0.5
        stage.stroke(
            damage.panel,
            _around(stage, damage, crease),
            (235, 235, 235, 120) if bright else (0, 0, 0, 150),
            0.016,
        )


_PAINTERS = {
    "dent": _dent, "scratch": _scratch, "crack": _crack, "shatter": _shatter, "lamp_glass": _lamp_glass,
    "lamp": _lamp, "bumper": _bumper, "door": _door, "bonnet": _bonnet, "crush": _crush,
}  # fmt: skip
