"""Kinds of cars: their measures, as tables.

The shipped demo and the training of the embedded backbone share none of them.
"""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Body:
    """The measures of a car. Fractions run from 0 at the front bumper to 1 at the rear bumper."""

    name: str
    length: float  # metres, like all lengths
    width: float
    height: float
    clearance: float  # from the ground to the sill
    wheel_radius: float
    axles: tuple[float, float]  # fractions: front, rear wheel
    deck: tuple[tuple[float, float], ...]  # (fraction, height): bonnet, belt line, boot
    cabin: tuple[
        float, float, float, float
    ]  # fractions: foot and top of the windscreen, top and foot of the rear window
    doors: tuple[float, ...]  # fractions of the gaps between doors
    windows: int  # panes on either side; the last may be tin in a delivery van
    lean: tuple[float, float] = (0.2, 0.12)  # how far the front's and the rear's upper edge stand back
    roof_width: float = 0.74  # of the width
    bed: bool = False  # an open load bed behind the cabin


DEMO_BODIES = (
    Body("sedan", 4.6, 1.8, 1.45, 0.22, 0.32, (0.19, 0.79),
         ((0, 0.70), (0.06, 0.78), (0.28, 0.93), (0.6, 0.95), (0.84, 0.99), (0.97, 0.96), (1, 0.90)),
         (0.27, 0.42, 0.68, 0.86), (0.30, 0.51, 0.70), 3),
    Body("hatchback", 4.0, 1.75, 1.5, 0.22, 0.31, (0.19, 0.83),
         ((0, 0.72), (0.06, 0.80), (0.25, 0.95), (0.6, 0.98), (1, 1.02)),
         (0.24, 0.41, 0.84, 0.985), (0.28, 0.55, 0.78), 3, (0.2, 0.06)),
    Body("suv", 4.6, 1.9, 1.75, 0.30, 0.38, (0.19, 0.80),
         ((0, 0.90), (0.05, 1.0), (0.27, 1.10), (0.6, 1.12), (1, 1.15)),
         (0.26, 0.38, 0.88, 0.985), (0.29, 0.50, 0.71), 4, (0.15, 0.06), 0.78),
    Body("van", 4.9, 1.95, 2.05, 0.26, 0.34, (0.17, 0.79),
         ((0, 0.86), (0.05, 1.0), (0.16, 1.18), (0.5, 1.2), (1, 1.2)),
         (0.13, 0.29, 0.95, 0.99), (0.20, 0.40, 0.66), 3, (0.2, 0.03), 0.86),
    Body("pickup", 5.2, 1.9, 1.78, 0.34, 0.39, (0.17, 0.79),
         ((0, 0.92), (0.04, 1.02), (0.27, 1.12), (0.6, 1.14), (1, 1.12)),
         (0.26, 0.37, 0.58, 0.625), (0.29, 0.45, 0.60), 2, (0.12, 0.04), 0.78, True),
    Body("coupe", 4.4, 1.84, 1.29, 0.17, 0.33, (0.19, 0.80),
         ((0, 0.60), (0.07, 0.70), (0.32, 0.86), (0.6, 0.90), (0.86, 0.94), (0.98, 0.90), (1, 0.84)),
         (0.31, 0.47, 0.62, 0.90), (0.34, 0.62), 2, (0.26, 0.14), 0.70),
)  # fmt: skip

PRETRAIN_BODIES = (
    Body("wagon", 4.75, 1.82, 1.48, 0.21, 0.32, (0.18, 0.77),
         ((0, 0.70), (0.06, 0.78), (0.27, 0.93), (0.6, 0.96), (1, 1.0)),
         (0.26, 0.40, 0.86, 0.985), (0.29, 0.49, 0.68), 4, (0.2, 0.08)),
    Body("minivan", 4.5, 1.85, 1.68, 0.23, 0.33, (0.18, 0.81),
         ((0, 0.76), (0.06, 0.88), (0.18, 1.02), (0.6, 1.06), (1, 1.08)),
         (0.16, 0.37, 0.90, 0.985), (0.24, 0.46, 0.68), 4, (0.24, 0.06), 0.78),
    Body("crossover", 4.3, 1.83, 1.6, 0.27, 0.35, (0.19, 0.81),
         ((0, 0.82), (0.05, 0.92), (0.27, 1.02), (0.6, 1.05), (1, 1.10)),
         (0.26, 0.41, 0.80, 0.97), (0.29, 0.52, 0.73), 3, (0.17, 0.10), 0.76),
    Body("microcar", 2.9, 1.6, 1.52, 0.20, 0.29, (0.17, 0.84),
         ((0, 0.74), (0.08, 0.86), (0.22, 0.96), (0.6, 1.0), (1, 1.02)),
         (0.19, 0.42, 0.86, 0.985), (0.26, 0.68), 2, (0.2, 0.05), 0.8),
    Body("offroader", 4.2, 1.8, 1.85, 0.38, 0.40, (0.17, 0.80),
         ((0, 1.0), (0.04, 1.08), (0.3, 1.12), (0.6, 1.14), (1, 1.16)),
         (0.30, 0.35, 0.95, 0.985), (0.33, 0.56, 0.74), 3, (0.05, 0.02), 0.88),
    Body("limousine", 5.3, 1.88, 1.46, 0.20, 0.33, (0.17, 0.82),
         ((0, 0.72), (0.05, 0.80), (0.25, 0.94), (0.6, 0.97), (0.86, 0.99), (0.98, 0.95), (1, 0.90)),
         (0.25, 0.37, 0.71, 0.84), (0.28, 0.48, 0.69), 4, (0.16, 0.1)),
)  # fmt: skip


def vary_body(body: Body, rng: np.random.Generator) -> Body:
    """Returns the body with measures a few percent off, as makers differ."""
    scale = rng.uniform(0.95, 1.05, 5)
    lift = float(rng.uniform(-0.04, 0.05))
    deck = tuple((at, height + lift * (0.4 + at)) for at, height in body.deck)
    foot, top, back, end = body.cabin
    return replace(
        body,
        length=body.length * float(scale[0]),
        width=body.width * float(scale[1]),
        height=body.height + lift + 0.05 * float(scale[2] - 1) * body.height,
        wheel_radius=body.wheel_radius * float(scale[3]),
        deck=deck,
        cabin=(foot, top + float(rng.uniform(-0.015, 0.02)), back - float(rng.uniform(0, 0.025)), end),
        lean=(body.lean[0] * float(rng.uniform(0.6, 1.3)), body.lean[1] * float(rng.uniform(0.6, 1.3))),
    )
