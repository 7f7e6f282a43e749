"""A pinhole camera: points of the car's world (metres) to pixels.

The world's x axis points to the car's front, y to its left, z up; the car stands on z = 0, its middle at
x = y = 0.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

NEAR = 0.3  # metres: what is nearer to the lens is cut off


@dataclass(frozen=True)
class Camera:
    """Where the camera stands and how it maps points to pixels."""

    position: Array  # float64 (3,), metres
    axes: Array  # float64 (3, 3): rows right, up, forward
    focal: float  # pixels
    size: int  # pixels on either side

    def project(self, points: Array) -> Array:
        """Maps points (..., 3) in metres to pixels (..., 2), y down."""
        seen = (points - self.position) @ self.axes.T  # (..., 3): right, up, depth
        depth = np.maximum(seen[..., 2:], NEAR)
        return np.asarray(self.size / 2 + self.focal * seen[..., :2] / depth * np.array([1.0, -1.0]))

    def depth(self, points: Array) -> Array:
        """Returns the distance (...,) of points (..., 3) along the line of sight, metres."""
        return np.asarray((points - self.position) @ self.axes[2])

    def project_polygon(self, corners: Array) -> Array:
        """Projects a polygon (n, 3) after cutting off what lies behind the lens; (m, 2), m may be 0."""
        depth = self.depth(corners)
        if (depth >= NEAR).all():
            return self.project(corners)
        kept: list[Array] = []
        for i in range(len(corners)):
            here, there = depth[i], depth[(i + 1) % len(corners)]
            if here >= NEAR:
                kept.append(corners[i])
            if (here >= NEAR) != (there >= NEAR):
                share = (NEAR - here) / (there - here)
                kept.append(corners[i] + share * (corners[(i + 1) % len(corners)] - corners[i]))
        return self.project(np.array(kept)) if len(kept) > 2 else np.zeros((0, 2))

    def horizon(self) -> float:
        """Returns the pixel row of the horizon in the middle column."""
        ahead = self.axes[2].copy()
        ahead[2] = 0.0
        return float(self.project(self.position + 1000.0 * ahead / np.linalg.norm(ahead))[1])


def make_camera(position: Array, target: Array, roll: float, size: int) -> Camera:
    """Returns a camera at `position`, looking at `target`, turned by `roll` radians; focal length 1 pixel."""
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    up = np.cross(right, forward)
    turned = np.array([np.cos(roll) * right + np.sin(roll) * up, np.cos(roll) * up - np.sin(roll) * right, forward])
    return Camera(position, turned, 1.0, size)
