"""Outlines and paths in the coordinates of a panel: float (n, 2)."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def box(a0: float, a1: float, b0: float, b1: float, steps: int = 5) -> Array:
    """A rectangle whose sides along a have `steps` points, so that it bends with its panel."""
    a = np.linspace(a0, a1, steps)
    return np.concatenate([np.stack([a, np.full(steps, b0)], 1), np.stack([a[::-1], np.full(steps, b1)], 1)])


def quad(*corners: tuple[float, float]) -> Array:
    """The polygon through the corners."""
    return np.array(corners, dtype=float)


def circle(a: float, b: float, radius_a: float, radius_b: float, steps: int = 18) -> Array:
    """An ellipse."""
    angle = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    return np.stack([a + radius_a * np.cos(angle), b + radius_b * np.sin(angle)], 1)


def blob(radius_a: float, radius_b: float, rough: float, rng: np.random.Generator, steps: int = 18) -> Array:
    """A roundish outline about the origin, `rough` (0 to 1) uneven and turned by chance."""
    angle = np.linspace(0, 2 * np.pi, steps, endpoint=False)
    radius = np.ones(steps)
    for waves in (2, 3, 4, 5):
        radius += rough * rng.normal(0, 0.35) * np.cos(waves * angle + rng.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.45, 1.5)
    return np.stack([radius_a * radius * np.cos(angle), radius_b * radius * np.sin(angle)], 1)


def ragged(start: Array, stop: Array, wobble: float, steps: int, rng: np.random.Generator) -> Array:
    """A path from start to stop (both (2,)) that strays by about `wobble`."""
    share = np.linspace(0, 1, steps)[:, None]
    path = np.asarray(start) + share * (np.asarray(stop) - np.asarray(start))
    path[1:-1] += rng.normal(0, wobble, (steps - 2, 2))
    return np.asarray(path)
