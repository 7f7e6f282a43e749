"""The windows of the cabin."""

from typing import Any

import numpy as np

from carclf.demo.canvas import as_color
from carclf.demo.light import normals_of, shade
from carclf.demo.look import Look
from carclf.demo.outline import circle, quad
from carclf.demo.stage import Stage

Array = np.ndarray[Any, np.dtype[Any]]


def end_window(panel: str) -> Array:
    """The outline (4, 2) of the windscreen or rear window on its panel."""
    low = 0.06 if panel == "windscreen" else 0.16
    return quad((-0.92, low), (0.92, low), (0.90, 0.93), (-0.90, 0.93))


def side_windows(panes: int) -> list[Array]:
    """The outlines (4, 2) of the panes on a side of the cabin, front to rear."""
    edges = np.linspace(0.035, 0.965, panes + 1)
    gap = 0.014
    outlines = []
    for i in range(panes):
        a0, a1 = edges[i] + gap, edges[i + 1] - gap
        outlines.append(quad((a0, 0.10), (a1, 0.10), (a1, 0.86), (a0, 0.86)))
    return outlines


def draw_glass(stage: Stage, look: Look) -> None:
    """All windows that the camera sees, with what one sees through and in them."""
    for panel in ("windscreen", "rear_window"):
        if stage.sees(panel, 0.0, 0.5):
            _pane(stage, look, panel, end_window(panel))
            if panel == "windscreen":
                stage.stroke(panel, quad((-0.75, 0.07), (-0.15, 0.12)), (10, 10, 12, 200), 0.02)
                stage.stroke(panel, quad((0.05, 0.07), (0.7, 0.12)), (10, 10, 12, 200), 0.02)
    for panel in ("left_glass", "right_glass"):
        if stage.sees(panel, 0.5, 0.5):
            for i, outline in enumerate(side_windows(stage.shape.body.windows)):
                if not (look.tin_rear and i > 0):
                    _pane(stage, look, panel, outline)


def _pane(stage: Stage, look: Look, panel: str, outline: Array) -> None:
    """A window: a rubber rim, bands from dark to the mirrored sky, a head-rest behind."""
    middle = outline.mean(0)
    stage.paint(panel, middle + (outline - middle) * 1.06, (12, 12, 14))
    corners = stage.surface(panel)(outline[:, 0], outline[:, 1])[None]
    normal = normals_of(corners) * np.sign((normals_of(corners) * (corners.mean(1) - [0, 0, 0.7])).sum())
    towards = stage.camera.position - corners.mean(1)
    towards /= np.linalg.norm(towards)
    base = np.array([0.13, 0.15, 0.16]) * (1.3 - look.tint)
    color = shade(stage.light, base, normal, towards, 1.0)[0]
    bands = 4
    for i in range(bands):
        low, high = i / bands, (i + 1) / bands
        band = np.array([
            outline[0] + (outline[3] - outline[0]) * low, outline[1] + (outline[2] - outline[1]) * low,
            outline[1] + (outline[2] - outline[1]) * high, outline[0] + (outline[3] - outline[0]) * high,
        ])  # fmt: skip
        stage.paint(panel, band, as_color(color * (0.62 + 0.16 * i) + 0.05 * stage.light.sky * i / bands))
    if look.tint < 0.65:
        size = (outline.max(0) - outline.min(0)) / 2
        seats = [middle[0]] if "glass" in panel else [middle[0] - size[0] * 0.5, middle[0] + size[0] * 0.5]
        for a in seats:
            width = min(size[0] * 0.35, 0.16)
            seat = circle(a, middle[1] - size[1] * 0.55, width, size[1] * 0.75, 10)
            seat[:, 1] = np.maximum(seat[:, 1], outline[:, 1].min())
            stage.paint(panel, seat, (8, 8, 10, int(150 * (1 - look.tint))))
    glare = np.array([
        outline[0] + (outline[1] - outline[0]) * 0.55, outline[0] + (outline[1] - outline[0]) * 0.75,
        outline[3] + (outline[2] - outline[3]) * 0.95, outline[3] + (outline[2] - outline[3]) * 0.72,
    ])  # fmt: skip
    stage.paint(panel, glare, (255, 255, 255, 28))
