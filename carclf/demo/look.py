"""What tells two cars of one kind apart: paint, trim, rims, lights, plate."""

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

PAINTS = np.array([
    (0.88, 0.88, 0.87), (0.82, 0.82, 0.80), (0.06, 0.06, 0.07), (0.12, 0.12, 0.14), (0.62, 0.64, 0.66),
    (0.72, 0.73, 0.74), (0.35, 0.37, 0.39), (0.62, 0.08, 0.08), (0.45, 0.06, 0.09), (0.10, 0.20, 0.48),
    (0.08, 0.12, 0.28), (0.25, 0.45, 0.65), (0.12, 0.28, 0.18), (0.80, 0.62, 0.10), (0.78, 0.35, 0.10),
    (0.55, 0.47, 0.36), (0.30, 0.20, 0.14), (0.42, 0.50, 0.40),
])  # fmt: skip
PLATES = ((0.92, 0.92, 0.90), (0.90, 0.80, 0.30), (0.85, 0.90, 0.95))


@dataclass(frozen=True)
class Look:
    """The parts of a car's looks that all its photos share; colours are float64 (3,) in [0, 1]."""

    paint: Array
    gloss: float
    trim: Array  # bumpers and sills: the paint, or dark plastic
    rim: Array
    spokes: int
    plate: Array
    tint: float  # of the windows: 0 clear, 1 dark
    lamp_height: float  # shares of the height from sill to deck
    lamp_width: float  # share of the half width
    grille: float  # share of the half width
    letters: tuple[bool, ...]  # the strokes of the number plate
    tin_rear: bool  # the last side window is closed with tin


def make_look(rng: np.random.Generator, delivery: bool) -> Look:
    """Draws the looks of a car; only a `delivery` van may have closed rear windows."""
    paint = np.clip(PAINTS[rng.integers(len(PAINTS))] * rng.uniform(0.88, 1.1) + rng.normal(0, 0.015, 3), 0.03, 0.93)
    plastic = np.full(3, rng.uniform(0.08, 0.2))
    return Look(
        paint=paint,
        gloss=float(rng.uniform(0.55, 1.0)),
        trim=plastic if rng.random() < 0.4 else paint * 0.93,
        rim=np.full(3, rng.uniform(0.45, 0.85) if rng.random() < 0.8 else 0.14),
        spokes=int(rng.integers(5, 11)),
        plate=np.array(PLATES[rng.integers(len(PLATES))]),
        tint=float(rng.uniform(0.15, 0.9)),
        lamp_height=float(rng.uniform(0.15, 0.26)),
        lamp_width=float(rng.uniform(0.26, 0.42)),
        grille=float(rng.uniform(0.3, 0.52)),
        letters=tuple(bool(stroke) for stroke in rng.random(9) < 0.7),
        tin_rear=delivery and bool(rng.random() < 0.5),
    )
