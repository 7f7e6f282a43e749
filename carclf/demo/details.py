"""Lights, grille, bumpers, plates, doors, handles and mirrors."""

from typing import Any

import numpy as np

from carclf.demo.canvas import NO_DAMAGE, as_color
from carclf.demo.look import Look
from carclf.demo.outline import box, circle, quad
from carclf.demo.stage import Stage

Array = np.ndarray[Any, np.dtype[Any]]

LAMP_TOP = 0.90  # share of the height from sill to deck
BLACK = np.full(3, 0.035)
GAP = (8, 8, 10, 190)  # the line between two panels


def draw_front(stage: Stage, look: Look) -> None:
    """Bumper, grille, air intake, plate and headlights."""
    _bumper(stage, look, "front")
    intake = quad((-0.62, 0.13), (0.62, 0.13), (0.55, 0.30), (-0.55, 0.30))
    stage.paint("front", intake, as_color(BLACK))
    top, bottom = 0.86, 0.86 - look.lamp_height * 1.15
    width = look.grille
    stage.paint(
        "front",
        quad((-width, top), (width, top), (width * 0.85, bottom), (-width * 0.85, bottom)),
        as_color(BLACK + 0.02),
    )
    chrome = stage.tone(np.full(3, 0.6), "front", 0.0, 0.7)
    for rise in np.linspace(bottom, top, 5)[1:-1]:
        stage.stroke("front", quad((-width * 0.9, rise), (0, rise), (width * 0.9, rise)), as_color(chrome, 0.7), 0.012)
    stage.paint("front", circle(0, (top + bottom) / 2, 0.07, 0.055, 10), as_color(chrome))
    _plate(stage, look, "front", 0.40)
    for side in (-1, 1):
        draw_lamp(stage, look, "front", side)
    stage.stroke("front", box(-0.97, 0.97, 0.95, 0.95, 7)[:7], GAP, 0.018)


def draw_rear(stage: Stage, look: Look) -> None:
    """Bumper, boot lid, plate, lights."""
    _bumper(stage, look, "rear")
    stage.paint("rear", box(-0.6, 0.6, 0.08, 0.2), as_color(BLACK + 0.03))
    stage.stroke("rear", quad((-0.72, 0.96), (-0.68, 0.47), (0, 0.46), (0.68, 0.47), (0.72, 0.96)), GAP, 0.018)
    _plate(stage, look, "rear", 0.60)
    chrome = stage.tone(np.full(3, 0.6), "rear", 0.0, 0.7)
    stage.paint("rear", box(-0.26, 0.26, 0.76, 0.785), as_color(chrome))
    for side in (-1, 1):
        draw_lamp(stage, look, "rear", side)
    stage.paint("rear", circle(0.6, 0.07, 0.05, 0.035, 10), as_color(np.full(3, 0.3)))


def lamp_outline(look: Look, panel: str, side: int) -> Array:
    """The outline (4, 2) of the headlight or rear light on the front or rear panel; side 1 is left."""
    inner, low = 0.97 - look.lamp_width, LAMP_TOP - look.lamp_height * (1.0 if panel == "front" else 1.25)
    return quad(
        (side * inner, low + 0.06),
        (side * 1.0, low),
        (side * 1.0, LAMP_TOP),
        (side * (inner + 0.06), LAMP_TOP),
    )


def draw_lamp(stage: Stage, look: Look, panel: str, side: int) -> None:
    """A headlight or rear light, round the corner onto the car's side."""
    outline = lamp_outline(look, panel, side)
    color = np.array([0.80, 0.84, 0.88]) if panel == "front" else np.array([0.62, 0.04, 0.05])
    bright = np.array([0.98, 0.98, 0.95]) if panel == "front" else np.array([0.92, 0.22, 0.16])
    stage.paint(panel, outline, as_color(color * 0.35))
    middle = outline.mean(0)
    stage.paint(panel, middle + (outline - middle) * 0.84, as_color(stage.tone(color, panel, 0.0, 0.6)))
    bulb = circle(middle[0], middle[1], look.lamp_width * 0.22, look.lamp_height * 0.32, 12)
    stage.paint(panel, bulb, as_color(bright * 0.95))
    stage.paint(panel, middle + (bulb - middle) * 0.45, as_color(np.clip(bright * 1.1, 0, 1)))


def _wrap_lamp(stage: Stage, look: Look, panel: str, end: str) -> None:
    """The part of a light that one sees from the side."""
    body = stage.shape.body
    sign = 1 if end == "front" else -1
    low = LAMP_TOP - look.lamp_height * (1.0 if end == "front" else 1.25)
    tip = body.length / 2 * sign
    height = float(stage.shape.deck_height(np.array(0.0 if sign > 0 else 1.0))) - body.clearance
    z0, z1 = body.clearance + low * height, body.clearance + LAMP_TOP * height
    shape = quad((tip, z0), (tip - sign * 0.22, z0 + 0.05), (tip - sign * 0.28, z1 - 0.01), (tip, z1))
    color = np.array([0.78, 0.82, 0.86]) if end == "front" else np.array([0.6, 0.05, 0.05])
    stage.paint(panel, shape, as_color(color * 0.4))
    middle = shape.mean(0)
    stage.paint(panel, middle + (shape - middle) * 0.82, as_color(stage.tone(color, panel, 0.0, 0.7)))


def _bumper(stage: Stage, look: Look, panel: str) -> None:
    tone = stage.tone(look.trim, panel, 0.0, 0.3)
    if (
        abs(float((look.trim - look.paint * 0.93).sum())) > 1e-6
    ):  # plastic; in the car's colour the shell is there already
        stage.paint(panel, box(-1, 1, 0.02, 0.44, 9), as_color(tone))
    stage.stroke(panel, box(-0.99, 0.99, 0.45, 0.45, 9)[:9], GAP, 0.016)
    stage.paint(panel, box(-0.97, 0.97, 0.0, 0.07, 9), as_color(BLACK + 0.03))


def _plate(stage: Stage, look: Look, panel: str, rise: float) -> None:
    stage.paint(panel, box(-0.29, 0.29, rise - 0.075, rise + 0.075, 3), as_color(BLACK))
    stage.paint(
        panel,
        box(-0.27, 0.27, rise - 0.06, rise + 0.06, 3),
        as_color(stage.tone(look.plate, panel, 0.0, 0.5)),
    )
    for i, inked in enumerate(look.letters):
        if inked:
            a = -0.22 + 0.05 * i
            stage.paint(panel, box(a, a + 0.03, rise - 0.035, rise + 0.035, 2), as_color(BLACK + 0.05))


def draw_side(stage: Stage, look: Look, panel: str) -> None:
    """Sill, bumpers seen from the side, doors, handles, lights round the corner."""
    body = stage.shape.body
    half = body.length / 2
    sill = stage.tone(np.full(3, 0.09), panel, 0.0, 0.4)
    stage.paint(panel, box(-half * 0.99, half * 0.99, body.clearance, body.clearance + 0.07, 9), as_color(sill))
    if abs(float((look.trim - look.paint * 0.93).sum())) > 1e-6:
        tone = as_color(stage.tone(look.trim, panel, 0.0, 0.5))
        for sign in (-1, 1):
            stage.paint(panel, box(sign * half, sign * (half - 0.24), body.clearance, body.clearance + 0.24, 4), tone)
    for end in ("front", "rear"):
        _wrap_lamp(stage, look, panel, end)
    _doors(stage, look, panel)
    z = body.clearance + 0.62 * (float(stage.shape.deck_height(np.array(0.5))) - body.clearance)
    crease = np.stack([np.linspace(half * 0.75, -half * 0.85, 9), np.full(9, z)], 1)
    stage.stroke(panel, crease, (255, 255, 255, 36), 0.02)
    stage.stroke(panel, crease - [0, 0.025], (0, 0, 0, 50), 0.02)


def door_outline(stage: Stage, index: int) -> Array:
    """The outline (8, 2) of a door on a side: between gap `index` and the next, from sill to belt line."""
    body = stage.shape.body
    x0, x1 = (body.length * (0.5 - at) for at in (body.doors[index], body.doors[index + 1]))
    top = float(stage.shape.deck_height(np.array(body.doors[index]))) - 0.03
    low = body.clearance + 0.09
    x = np.array([x0, x0, x0 - 0.02, (x0 + x1) / 2, x1, x1, x1 + 0.05, (x0 + x1) / 2])
    z = np.array([low + 0.05, (low + top) / 2, top, top, top, (low + top) / 2 + 0.1, low, low])
    return np.stack([x, z], 1)


def _doors(stage: Stage, look: Look, panel: str) -> None:
    body = stage.shape.body
    handle = stage.tone(look.paint * 0.5 if look.gloss < 0.8 else np.full(3, 0.65), panel, 0.0, 0.7)
    for i in range(len(body.doors) - 1):
        outline = door_outline(stage, i)
        stage.stroke(panel, np.concatenate([outline, outline[:1]]), GAP, 0.016)
        x = body.length * (0.5 - body.doors[i + 1]) + 0.14
        z = float(stage.shape.deck_height(np.array(body.doors[i + 1]))) - 0.15
        stage.paint(panel, box(x - 0.09, x + 0.09, z - 0.018, z + 0.018, 2), as_color(handle))
        stage.stroke(panel, quad((x - 0.09, z - 0.03), (x + 0.09, z - 0.03)), (0, 0, 0, 110), 0.015)
    tip = body.length * (0.5 - body.doors[0]) + 0.3
    stage.paint(panel, box(tip - 0.03, tip + 0.03, 0.72, 0.74, 2), (230, 130, 40, 160))


def draw_mirrors(stage: Stage, look: Look) -> None:
    """The wing mirrors on the sides that the camera sees."""
    body = stage.shape.body
    foot, top, _, _ = body.cabin
    x = body.length * (0.5 - (foot + 0.45 * (top - foot)))
    z = float(stage.shape.deck_height(np.array(foot))) + 0.10
    for side in (-1, 1):
        if side * stage.camera.position[1] < -1.0:
            continue
        y0, y1 = side * body.width * 0.44, side * (body.width * 0.44 + 0.24)
        for x0, shade in (
            ((x - 0.05, 0.5), (x + 0.05, 0.8)) if stage.camera.position[0] > 0 else ((x + 0.05, 0.8), (x - 0.05, 0.35))
        ):
            points = np.array(
                [(x0, y0, z), (x0, y1, z - 0.03), (x0, y1, z + 0.13), (x0, y0 + (y1 - y0) * 0.3, z + 0.15)]
            )
            points, owner = stage.shape.crush(points)
            tone = as_color(look.paint * shade * stage.light.brightness)
            stage.canvas.polygon(stage.camera.project(points), tone, int(owner.max()) or NO_DAMAGE)
