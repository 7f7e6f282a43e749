"""The car's surfaces: from coordinates on a panel to points of the world, pushed in where it was crushed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from carclf.demo.bodies import Body

Array = np.ndarray[Any, np.dtype[Any]]
Surface = Callable[[Array, Array], Array]  # (a, b) of one shape -> (..., 3) metres

SECTION_AT = np.array([0, 0.1, 0.25, 0.45, 0.65, 0.8, 0.9, 0.96, 1.0])  # share of the height from sill to deck
SECTION_WIDTH = np.array([0.93, 0.97, 1.0, 1.0, 0.985, 0.965, 0.93, 0.87, 0.76])  # of the half width


@dataclass(frozen=True)
class Crush:
    """A part of the car pushed in: around `center`, up to `radius`, by `push`, with crumples."""

    center: Array  # float64 (3,) metres
    radius: float  # metres
    push: Array  # float64 (3,) metres
    waves: Array  # float64 (k, 7): direction (3), phase, shift (3) of each crumple


@dataclass(frozen=True)
class Shape:
    """A body and what crushed it. The panels map coordinates to (..., 3) metres, before crushing."""

    body: Body
    crushes: tuple[Crush, ...] = ()

    def deck_height(self, at: Array) -> Array:
        """Height of bonnet, belt line or boot at a fraction of the length."""
        points = np.array(self.body.deck)
        return np.asarray(np.interp(at, points[:, 0], points[:, 1]))

    def half_width(self, at: Array) -> Array:
        """Half the width at a fraction of the length: the corners are round."""
        narrow = 0.15 * np.exp(-at / 0.035) + 0.11 * np.exp(-(1 - at) / 0.035)
        return np.asarray(self.body.width / 2 * (1 - narrow))

    def flank(self, at: Array, rise: Array) -> Array:
        """The left side: fraction of the length, share of the height from sill (0) to deck (1)."""
        front, rear = self.body.lean
        back = np.where(rise < 0.3, 0.07 * (1 - rise / 0.3) ** 2, ((rise - 0.3) / 0.7) ** 2)
        shift_front = np.where(rise < 0.3, back, front * back) * np.exp(-at / 0.05)
        shift_rear = np.where(rise < 0.3, back, rear * back) * np.exp(-(1 - at) / 0.05)
        x = self.body.length * (0.5 - at) - shift_front + shift_rear
        y = self.half_width(at) * np.interp(rise, SECTION_AT, SECTION_WIDTH)
        z = self.body.clearance + rise * (self.deck_height(at) - self.body.clearance)
        return np.stack([x, y, z], axis=-1)

    def left(self, x: Array, z: Array) -> Array:
        """The left side by x and z in metres; beyond its edges the nearest point."""
        at = np.clip(0.5 - x / self.body.length, 0.0, 1.0)
        rise = (z - self.body.clearance) / (self.deck_height(at) - self.body.clearance)
        return self.flank(at, np.clip(rise, 0.0, 1.0))

    def right(self, x: Array, z: Array) -> Array:
        """The right side by x and z in metres."""
        return mirrored(self.left(x, z))

    def front(self, across: Array, rise: Array) -> Array:
        """The front: across from -1 (right) to 1 (left), share of the height."""
        return self._end(across, rise, 0.0, 0.13)

    def rear(self, across: Array, rise: Array) -> Array:
        """The rear: across from -1 (right) to 1 (left), share of the height."""
        return self._end(across, rise, 1.0, -0.09)

    def _end(self, across: Array, rise: Array, at: float, bulge: float) -> Array:
        points = self.flank(np.full_like(across, at), rise)
        points[..., 0] += bulge * (1 - across**2)
        points[..., 1] *= across
        return points

    def deck(self, at: Array, across: Array) -> Array:
        """Bonnet, boot and what the cabin stands on: fraction of the length, across from -1 to 1."""
        points = self.flank(at, np.ones_like(at))
        crown = 1 - across**2
        points[..., 0] += crown * (0.13 * np.exp(-at / 0.03) - 0.09 * np.exp(-(1 - at) / 0.03))
        points[..., 1] *= across
        points[..., 2] += 0.035 * crown * (1 - np.exp(-at / 0.04)) * (1 - np.exp(-(1 - at) / 0.04))
        return points

    def _cabin(self, x_at: Array, rise: Array, across: Array) -> Array:
        """A point of the cabin: fraction of the length, share from belt line to roof, across."""
        belt = self.deck_height(x_at) - 0.01
        half = self.body.width / 2 * (0.88 + (self.body.roof_width - 0.88) * rise)
        z = belt + rise * (self.body.height - 0.03 - belt)
        return np.stack([self.body.length * (0.5 - x_at), half * across, z], axis=-1)

    def windscreen(self, across: Array, rise: Array) -> Array:
        """The windscreen: across from -1 to 1, from its foot (0) to the roof (1)."""
        foot, top, _, _ = self.body.cabin
        bow = 0.02 * across**2 * (1 - rise)
        return self._cabin(foot + (top - foot) * rise + bow, rise, across)

    def rear_window(self, across: Array, rise: Array) -> Array:
        """The rear window, as the windscreen."""
        _, _, top, foot = self.body.cabin
        return self._cabin(foot + (top - foot) * rise, rise, across)

    def left_glass(self, along: Array, rise: Array) -> Array:
        """The cabin's left side: from windscreen (0) to rear window (1), from belt line to roof."""
        foot, top, back, end = self.body.cabin
        start = foot + (top - foot) * rise
        stop = end + (back - end) * rise
        return self._cabin(start + (stop - start) * along, rise, np.ones_like(along))

    def right_glass(self, along: Array, rise: Array) -> Array:
        """The cabin's right side."""
        return mirrored(self.left_glass(along, rise))

    def roof(self, along: Array, across: Array) -> Array:
        """The roof: from the windscreen (0) to the rear window (1), across from -1 to 1."""
        _, top, back, _ = self.body.cabin
        points = self._cabin(top + (back - top) * along, np.ones_like(along), across)
        rise = 0.07 * (1 - 0.5 * across**2) + 0.03 * (1 - across**4)
        points[..., 2] += rise * (1 - (2 * along - 1) ** 2)
        return points

    def crush(self, points: Array) -> tuple[Array, Array]:
        """Pushes points (..., 3) in where the car was crushed.

        Returns:
            The points (..., 3) after it, and which crush (1, 2, ...; 0 = none) each belongs to, (...,) int64.
        """
        owner = np.zeros(points.shape[:-1], np.int64)
        moved = points
        for number, crush in enumerate(self.crushes, start=1):
            share = 1 - np.linalg.norm(points - crush.center, axis=-1) / crush.radius
            share = np.clip(share, 0.0, 1.0)
            weight = (share * (2 - share))[..., None]
            phase = points @ crush.waves[:, :3].T + crush.waves[:, 3]  # (..., k)
            crumple = np.sign(np.sin(phase)) * np.abs(np.sin(phase)) ** 0.5 @ crush.waves[:, 4:]
            moved = moved + weight * (crush.push + crumple)
            owner = np.where(share > 0.12, number, owner)
        return moved, owner


def mirrored(points: Array) -> Array:
    """Returns points (..., 3) on the car's other side."""
    return np.asarray(points * np.array([1.0, -1.0, 1.0]))


def make_quads(surface: Surface, a: Array, b: Array) -> Array:
    """Cuts a surface into quads (n, 4, 3) along the grid lines a (float (k,)) and b (float (m,))."""
    points = surface(*np.meshgrid(a, b, indexing="ij"))
    corners = [points[:-1, :-1], points[1:, :-1], points[1:, 1:], points[:-1, 1:]]
    return np.stack(corners, axis=2).reshape(-1, 4, 3)
