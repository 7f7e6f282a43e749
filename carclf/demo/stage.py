"""What is needed to draw one car: canvas, camera, shape and light; panels by name."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from carclf.demo.camera import Camera
from carclf.demo.canvas import Canvas, Color, as_color
from carclf.demo.light import Light, normals_of, shade
from carclf.demo.shape import Shape, Surface, make_quads

Array = np.ndarray[Any, np.dtype[Any]]

# The coordinates at a panel's edges: nothing on it is drawn beyond them. The sides know their own.
_SPAN, _SHARE = (-1.0, 1.0), (0.0, 1.0)
LIMITS = {
    "front": (_SPAN, _SHARE), "rear": (_SPAN, _SHARE), "deck": (_SHARE, _SPAN), "roof": (_SHARE, _SPAN),
    "windscreen": (_SPAN, _SHARE), "rear_window": (_SPAN, _SHARE),
    "left_glass": (_SHARE, _SHARE), "right_glass": (_SHARE, _SHARE),
}  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """One car before one camera."""

    canvas: Canvas
    camera: Camera
    shape: Shape
    light: Light

    @cached_property
    def pixels_per_metre(self) -> float:
        """The scale at the middle of the car."""
        depth = float(self.camera.depth(np.array([0.0, 0.0, 0.7])))
        return self.camera.focal / depth

    def surface(self, panel: str) -> Surface:
        """Returns the surface of a panel."""
        found: Surface = getattr(self.shape, panel)
        return found

    def scale(self, panel: str, a: float, b: float) -> Array:
        """Returns how many metres one unit of a and one of b are at a point of a panel, (2,)."""
        step = 0.01
        points = self.surface(panel)(np.array([a, a + step, a]), np.array([b, b, b + step]))
        lengths = np.linalg.norm(points[1:] - points[0], axis=1) / step
        return np.asarray(np.maximum(lengths, 0.05))

    def place(self, panel: str, a: Array, b: Array) -> Array:
        """Returns the points (n, 3) at panel coordinates a, b (n,), where crushing has left them."""
        (a0, a1), (b0, b1) = LIMITS.get(panel, ((-9.0, 9.0), (-9.0, 9.0)))
        points = self.surface(panel)(np.clip(a, a0, a1).astype(float), np.clip(b, b0, b1).astype(float))
        moved, _ = self.shape.crush(points)
        return moved

    def pixels(self, panel: str, a: Array, b: Array) -> Array:
        """Returns the pixels (n, 2) of panel coordinates a, b (n,)."""
        return self.camera.project(self.place(panel, a, b))

    def sees(self, panel: str, a: float, b: float) -> bool:
        """Says if the camera looks at the outside of a panel at a point of it."""
        step = 0.02
        points = self.surface(panel)(np.array([a, a + step, a]), np.array([b, b, b + step]))
        normal = np.cross(points[1] - points[0], points[2] - points[0])
        outward = points[0] - np.array([0.0, 0.0, 0.45 * self.shape.body.height])
        outward[0] *= 0.9 if panel in ("front", "rear", "windscreen", "rear_window") else 0.15
        side = np.sign(normal @ outward)
        return bool(side * normal @ (self.camera.position - points[0]) > 0)

    def paint(self, panel: str, outline: Array, color: Color, damage: int | None = None) -> None:
        """Fills an outline (n, 2) given in panel coordinates."""
        self.canvas.polygon(self.pixels(panel, outline[:, 0], outline[:, 1]), color, damage)

    def stroke(self, panel: str, path: Array, color: Color, metres: float, damage: int | None = None) -> None:
        """Draws a path (n, 2) in panel coordinates, `metres` wide."""
        width = metres * self.pixels_per_metre
        self.canvas.line(self.pixels(panel, path[:, 0], path[:, 1]), color, width, damage)

    def faces(self, panel: str, a: Array, b: Array) -> "Faces":
        """Cuts a panel into faces along grid lines a (k,) and b (m,), crushed as it is."""
        return self.cut(self.surface(panel), a, b)

    def cut(self, surface: Surface, a: Array, b: Array) -> "Faces":
        """Cuts any surface into faces."""
        quads = make_quads(surface, a, b)
        outward = quads.mean(1) - np.array([0.0, 0.0, 0.45 * self.shape.body.height])
        turn = np.sign((normals_of(quads) * outward).sum())
        moved, owner = self.shape.crush(quads)
        return Faces(moved, normals_of(moved) * turn, owner.max(1))

    def draw_faces(self, faces: "Faces", paint: Array, gloss: float) -> None:
        """Draws the faces that look at the camera, far ones first, each with the damage that crushed it."""
        middle = faces.quads.mean(1)
        towards = self.camera.position - middle
        towards /= np.linalg.norm(towards, axis=1, keepdims=True)
        front = np.flatnonzero((faces.normals * towards).sum(1) > 0)
        order = front[np.argsort(-np.linalg.norm(middle[front] - self.camera.position, axis=1), kind="stable")]
        material = np.broadcast_to(paint, faces.normals.shape)[order]
        colors = shade(self.light, material, faces.normals[order], towards[order], gloss)
        corners = self.camera.project(faces.quads[order])
        for polygon, color, damage in zip(corners, colors, faces.owner[order], strict=True):
            self.canvas.polygon(polygon, as_color(color), int(damage))

    def tone(self, color: Array, panel: str, a: float, b: float) -> Array:
        """Returns a colour (3,) as the light falls on a panel at a point, dull."""
        step = 0.03
        points = self.surface(panel)(np.array([a, a + step, a]), np.array([b, b, b + step]))
        normal = np.cross(points[1] - points[0], points[2] - points[0])
        normal /= np.linalg.norm(normal) + 1e-9
        outward = points[0] - np.array([0.0, 0.0, 0.6])
        normal *= np.sign(normal @ outward) or 1.0
        towards = self.camera.position - points[0]
        towards /= np.linalg.norm(towards)
        return np.asarray(shade(self.light, color, normal[None], towards[None], 0.15)[0])


@dataclass(frozen=True)
class Faces:
    """Quads (n, 4, 3) with outward normals (n, 3) and the damage (n,) that crushed each (0 = none)."""

    quads: Array
    normals: Array
    owner: Array

    def joined(self, others: "list[Faces]") -> "Faces":
        """Returns these faces and the others as one."""
        every = [self, *others]
        return Faces(
            np.concatenate([f.quads for f in every]),
            np.concatenate([f.normals for f in every]),
            np.concatenate([f.owner for f in every]),
        )
