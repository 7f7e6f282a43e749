"""Paints a whole car: body, wheels, cabin, glass, lights, and the marks on it in the right order."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from carclf.demo.canvas import NO_DAMAGE, as_color
from carclf.demo.details import draw_front, draw_mirrors, draw_rear, draw_side
from carclf.demo.glass import draw_glass
from carclf.demo.look import Look
from carclf.demo.outline import box, circle
from carclf.demo.shape import mirrored
from carclf.demo.stage import Stage

Array = np.ndarray[Any, np.dtype[Any]]

TYRE = np.array([0.045, 0.045, 0.05])


@dataclass(frozen=True)
class Marks:
    """What happened to the car, painted when the panels it lies on are: on the body, and on the cabin."""

    on_body: Callable[[Stage], None]
    on_cabin: Callable[[Stage], None]


def draw_car(stage: Stage, look: Look, marks: Marks) -> None:
    """Draws a car, far parts first; what stands before a damage takes its pixels in the damage picture."""
    _draw_shadow(stage)
    for side in (-1, 1):
        for axle in stage.shape.body.axles:
            _draw_tread(stage, side, axle)
    _draw_body(stage, look)
    ends = {"front": draw_front, "rear": draw_rear}
    for panel, draw_end in ends.items():
        if stage.sees(panel, 0.0, 0.5):
            draw_end(stage, look)
    sides = [panel for panel in ("left", "right") if stage.sees(panel, 0.0, 0.6)]
    for panel in sides:
        draw_side(stage, look, panel)
    _draw_bed(stage)
    marks.on_body(stage)
    for panel in sides:
        for axle in stage.shape.body.axles:
            _draw_wheel(stage, look, panel, axle)
    _draw_cabin(stage, look)
    draw_glass(stage, look)
    marks.on_cabin(stage)
    draw_mirrors(stage, look)


def _draw_shadow(stage: Stage) -> None:
    """The car's shadow on the ground: dark below it, softer outside, away from the sun."""
    body, light = stage.shape.body, stage.light
    away = -light.direction[:2] * light.sun * 0.7
    for grow, opacity in ((0.40, 0.10), (0.28, 0.14), (0.15, 0.2), (0.05, 0.3), (-0.08, 0.35)):
        ring = circle(0, 0, body.length / 2 + grow, body.width / 2 + grow, 24)
        ring = np.sign(ring) * np.abs(ring) ** 0.8 * np.array([body.length, body.width]) ** 0.2 * 0.5**0.2
        ring += away * (0.3 + max(grow, 0))
        points = np.column_stack([ring, np.zeros(len(ring))])
        stage.canvas.polygon(
            stage.camera.project_polygon(points), as_color(np.zeros(3), opacity * (0.7 + light.sun / 2))
        )


def _wheel_circle(stage: Stage, side: int, axle: float, inset: float, radius: float, steps: int) -> Array:
    """The points (steps, 3) of a circle about a wheel's hub."""
    body = stage.shape.body
    ring = circle(body.length * (0.5 - axle), body.wheel_radius, radius, radius, steps)
    y = np.full(steps, side * (body.width / 2 - inset))
    points, _ = stage.shape.crush(np.stack([ring[:, 0], y, ring[:, 1]], 1))
    return points


def _draw_tread(stage: Stage, side: int, axle: float) -> None:
    """The tyre as one sees it from before or behind: the hull between its two flanks."""
    radius, steps = stage.shape.body.wheel_radius, 14
    outer, inner = (
        stage.camera.project(_wheel_circle(stage, side, axle, inset, radius, steps)) for inset in (0.06, 0.24)
    )
    color = as_color(TYRE * 0.8)
    stage.canvas.polygon(inner, color, NO_DAMAGE)
    for i in range(steps):
        stage.canvas.polygon(np.array([outer[i - 1], outer[i], inner[i], inner[i - 1]]), color, NO_DAMAGE)


def _draw_wheel(stage: Stage, look: Look, panel: str, axle: float) -> None:
    """Wheel arch, tyre and rim on a side that the camera sees."""
    body, side = stage.shape.body, 1 if panel == "left" else -1
    x, radius = body.length * (0.5 - axle), body.wheel_radius
    arch = circle(x, radius, radius * 1.2, radius * 1.2, 30)
    arch[:, 1] = np.maximum(arch[:, 1], body.clearance - 0.02)
    stage.paint(panel, arch, as_color(np.full(3, 0.03)), NO_DAMAGE)
    for inset, share, tone in ((0.10, 1.0, 0.6), (0.05, 1.0, 1.0), (0.045, 0.68, 0.5)):
        points = _wheel_circle(stage, side, axle, inset, radius * share, 24)
        stage.canvas.polygon(stage.camera.project(points), as_color(TYRE * tone + 0.02), NO_DAMAGE)
    wide, high = np.ptp(stage.camera.project(_wheel_circle(stage, side, axle, 0.04, radius, 12)), axis=0)
    if wide < 0.22 * high:  # from the edge one sees the tyre only
        return
    rim = stage.tone(look.rim, panel, 0.0, 0.7)
    hub = _wheel_circle(stage, side, axle, 0.06, 0.0, 1)[0]
    spokes = look.spokes
    ring = _wheel_circle(stage, side, axle, 0.04, radius * 0.66, spokes * 6)
    inner = _wheel_circle(stage, side, axle, 0.04, radius * 0.57, spokes * 6)
    for i in range(spokes):
        arm = np.array([ring[i * 6 - 1], ring[i * 6], ring[i * 6 + 1], hub])
        stage.canvas.polygon(stage.camera.project(arm), as_color(rim))
    stage.canvas.line(
        stage.camera.project(np.concatenate([inner, inner[:1]])), as_color(rim), 0.05 * stage.pixels_per_metre
    )
    cap = _wheel_circle(stage, side, axle, 0.03, radius * 0.17, 10)
    stage.canvas.polygon(stage.camera.project(cap), as_color(rim * 0.85))


def _draw_body(stage: Stage, look: Look) -> None:
    """The painted shell below the windows."""
    shape = stage.shape
    fine = 30 if shape.crushes else 22
    middle = np.linspace(0.06, 0.94, fine)
    along = np.concatenate([[0, 0.008, 0.02, 0.037], middle, [0.963, 0.98, 0.992, 1.0]])
    rises = np.array([0, 0.1, 0.25, 0.4, 0.55, 0.68, 0.8, 0.88, 0.94, 1.0])

    def left(at: Array, rise: Array) -> Array:
        return shape.flank(at, rise)

    def right(at: Array, rise: Array) -> Array:
        return mirrored(shape.flank(at, rise))

    across = np.linspace(-1, 1, 11 if shape.crushes else 9)
    parts = [
        stage.cut(left, along, rises),
        stage.cut(right, along, rises),
        stage.faces("front", across, rises),
        stage.faces("rear", across, rises),
        stage.faces("deck", along, across),
    ]
    stage.draw_faces(parts[0].joined(parts[1:]), look.paint, look.gloss)


def _draw_bed(stage: Stage) -> None:
    """The dark inside of a pickup's load bed."""
    body = stage.shape.body
    if not body.bed:
        return
    start = body.cabin[3] + 0.015
    stage.paint("deck", box(start, 0.975, -0.86, 0.86), as_color(np.full(3, 0.10)))
    stage.paint("deck", box(start + 0.02, 0.95, -0.6, 0.6), as_color(np.full(3, 0.16)))


def _draw_cabin(stage: Stage, look: Look) -> None:
    """Roof and pillars."""
    steps = np.linspace(0, 1, 5)
    across = np.linspace(-1, 1, 9)
    sides = [stage.faces(panel, steps, steps) for panel in ("left_glass", "right_glass")]
    ends = [stage.faces(panel, across, steps) for panel in ("windscreen", "rear_window")]
    roof = stage.faces("roof", np.linspace(0, 1, 9), across)
    stage.draw_faces(roof.joined([*sides, *ends]), look.paint, look.gloss)
