"""Decides what happened to a car: kinds of damage, where, how bad; and how bad it looks in all.

Every damage has a grade from its kind and its extent. The severity of a photo is the sum of the grades of
what can be seen on it: below MODERATE it is minor, from SEVERE on it is severe, with a little noise at both
borders, as annotators have.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from carclf.demo.bodies import Body
from carclf.demo.shape import Crush, Shape

Array = np.ndarray[Any, np.dtype[Any]]

SEVERITIES = ("minor", "moderate", "severe", "whole")
LOCATIONS = ("front", "rear", "side")
KINDS = ("dent", "scratch", "glass", "missing", "crushed")
MODERATE, SEVERE = 1.0, 2.15  # sums of grades
BORDER_NOISE = 0.09  # standard deviation of the sum that is compared with them

# What can happen to each part, and how likely each kind is when the damage is to be minor, moderate, severe.
KIND_CHANCES = {
    "minor": (0.44, 0.42, 0.14, 0.0, 0.0),
    "moderate": (0.30, 0.20, 0.18, 0.20, 0.12),
    "severe": (0.12, 0.10, 0.16, 0.22, 0.40),
}
COUNTS = {"minor": (1, 1, 1, 2), "moderate": (1, 1, 2, 2, 3), "severe": (1, 2, 2, 3, 3, 4)}
GRADES = {"minor": (0.0, MODERATE), "moderate": (MODERATE, SEVERE), "severe": (SEVERE, 99.0)}


@dataclass(frozen=True)
class Damage:
    """One damage. `a`, `b` are coordinates on `panel`; `size` is in metres: radius or length."""

    kind: str  # of KINDS
    form: str  # what the painter draws: dent, scratch, crack, shatter, lamp, bumper, door, bonnet, crush
    panel: str  # the method of Shape
    a: float
    b: float
    size: float
    grade: float
    seed: int  # of its shape: the same in all photos of the car

    @property
    def location(self) -> str:
        """The part of the car it counts for."""
        if self.panel in ("left", "right", "left_glass", "right_glass"):
            return "side"
        if self.panel == "deck":
            return "front" if self.a < 0.5 else "rear"
        return "front" if self.panel in ("front", "windscreen") else "rear"


def plan_damages(severity: str, body: Body, rng: np.random.Generator) -> tuple[Damage, ...]:
    """Draws damages whose grades sum to `severity` (minor, moderate, severe); those that crush come first."""
    low, high = GRADES[severity]
    place = str(rng.choice(["front", "rear", "left", "right"], p=[0.34, 0.24, 0.21, 0.21]))
    for _ in range(40):
        damages = [
            _make_damage(severity, place if i == 0 or rng.random() < 0.72 else _next_to(place, rng), body, rng)
            for i in range(int(rng.choice(COUNTS[severity])))
        ]
        if low <= sum(damage.grade for damage in damages) < high:
            break
    return tuple(sorted(damages, key=lambda damage: damage.form != "crush"))


def grade_severity(grades: float, rng: np.random.Generator) -> str:
    """Names the severity of a sum of grades: 0 is whole; the borders are a little noisy."""
    if grades <= 0:
        return "whole"
    judged = grades + float(rng.normal(0, BORDER_NOISE))
    return "minor" if judged < MODERATE else "moderate" if judged < SEVERE else "severe"


def _next_to(place: str, rng: np.random.Generator) -> str:
    return str(rng.choice(["left", "right"] if place in ("front", "rear") else ["front", "rear"]))


def _make_damage(severity: str, place: str, body: Body, rng: np.random.Generator) -> Damage:
    kind = str(rng.choice(KINDS, p=KIND_CHANCES[severity]))
    seed = int(rng.integers(2**31))
    if kind == "glass":
        return _glass(place, body, seed, rng)
    if kind == "missing":
        return _missing(place, body, seed, rng)
    panel, a, b = _spot(place, body, rng)
    if kind == "scratch":
        size = float(rng.uniform(0.4, 1.0) if severity == "minor" else rng.uniform(0.5, 1.5))
        return Damage(kind, "scratch", panel, a, b, size, 0.2 + 0.5 * size, seed)
    if kind == "dent":
        size = float(rng.uniform(0.11, 0.25) if severity == "minor" else rng.uniform(0.2, 0.46))
        return Damage(kind, "dent", panel, a, b, size, 0.25 + 2.6 * size, seed)
    size = float(rng.uniform(0.45, 0.75) if severity == "moderate" else rng.uniform(0.65, 1.25))
    panel = place  # a crushed bonnet counts as a crushed front
    a = a if panel in ("left", "right") else float(rng.uniform(-0.9, 0.9))
    b = b if panel in ("left", "right") else float(rng.uniform(0.4, 0.8))
    return Damage(kind, "crush", panel, a, b, size, 0.75 + 1.6 * size, seed)


def _spot(place: str, body: Body, rng: np.random.Generator) -> tuple[str, float, float]:
    """A place for a dent or a scratch: panel, a, b; not behind a wheel."""
    if place in ("front", "rear"):
        if place == "front" and rng.random() < 0.25:
            return "deck", float(rng.uniform(0.04, body.cabin[0] * 0.75)), float(rng.uniform(-0.7, 0.7))
        return place, float(rng.uniform(-0.85, 0.85)), float(rng.uniform(0.12, 0.88))
    while True:
        x = float(rng.uniform(-0.44, 0.44)) * body.length
        z = float(rng.uniform(body.clearance + 0.16, body.deck[2][1] - 0.10))
        hubs = [body.length * (0.5 - axle) for axle in body.axles]
        if all(np.hypot(x - hub, z - body.wheel_radius) > 1.35 * body.wheel_radius for hub in hubs):
            return place, x, z


def _glass(place: str, body: Body, seed: int, rng: np.random.Generator) -> Damage:
    if place in ("front", "rear"):
        pane = "windscreen" if place == "front" else "rear_window"
        a, b = float(rng.uniform(-0.6, 0.6)), float(rng.uniform(0.3, 0.75))
        chance = rng.random()
        if chance < 0.28:
            return Damage("glass", "lamp_glass", place, float(rng.choice([-1, 1])), 0.8, 0.2, 0.75, seed)
        if chance < 0.72:
            size = float(rng.uniform(0.15, 0.55))
            return Damage("glass", "crack", pane, a, b, size, 0.45 + 1.3 * size, seed)
        return Damage("glass", "shatter", pane, a, b, 0.7, 1.9, seed)
    pane, number = f"{place}_glass", int(rng.integers(min(body.windows, 2)))
    return Damage("glass", "shatter", pane, (number + 0.5) / body.windows, 0.5, 0.4, 1.3, seed)


def _missing(place: str, body: Body, seed: int, rng: np.random.Generator) -> Damage:
    if place in ("left", "right"):
        door = int(rng.integers(len(body.doors) - 1))
        x = body.length * (0.5 - (body.doors[door] + body.doors[door + 1]) / 2)
        return Damage("missing", "door", place, x, float(door), 0.5, 2.2, seed)
    chance = rng.random()
    if chance < 0.42:
        return Damage("missing", "lamp", place, float(rng.choice([-1, 1])), 0.8, 0.2, 1.05, seed)
    if chance < 0.85 or place == "rear":
        return Damage("missing", "bumper", place, 0.0, 0.25, 0.8, 1.7, seed)
    return Damage("missing", "bonnet", "deck", body.cabin[0] / 2, 0.0, 0.7, 2.0, seed)


def make_shape(body: Body, damages: tuple[Damage, ...]) -> Shape:
    """Returns the body, pushed in where damages crush it; crush i belongs to damage i (counted from 1)."""
    shape = Shape(body)
    return Shape(body, tuple(_make_crush(shape, damage) for damage in damages if damage.form == "crush"))


def _make_crush(shape: Shape, damage: Damage) -> Crush:
    rng = np.random.default_rng(damage.seed)
    surface = getattr(shape, damage.panel)
    center = surface(np.array([damage.a]), np.array([damage.b]))[0]
    inward = {"left": (0, -1, 0), "right": (0, 1, 0), "front": (-1, 0, 0.18), "rear": (1, 0, 0.15)}[damage.panel]
    depth = float(rng.uniform(0.28, 0.42)) * damage.size
    turns = rng.standard_normal((6, 3))
    turns *= rng.uniform(8, 20, (6, 1)) / np.linalg.norm(turns, axis=1, keepdims=True)
    shifts = rng.normal(0, 0.022 + 0.016 * damage.size, (6, 3))
    waves = np.concatenate([turns, rng.uniform(0, 6.28, (6, 1)), shifts], axis=1)
    push = np.array(inward, float) * depth + rng.normal(0, 0.03, 3)
    return Crush(center, damage.size, push, waves)
