"""What stands around a car: houses, hedges, walls, trees, marks on the ground; all drawn behind the car."""

from typing import Any

import numpy as np

from carclf.demo.camera import Camera
from carclf.demo.canvas import Canvas, as_color

Array = np.ndarray[Any, np.dtype[Any]]


def _flat(camera: Camera, x0: float, x1: float, y0: float, y1: float) -> Array:
    """The pixels of a rectangle on the ground."""
    return camera.project_polygon(np.array([(x0, y0, 0), (x1, y0, 0), (x1, y1, 0), (x0, y1, 0)], float))


def _upright(x0: float, y0: float, x1: float, y1: float) -> Array:
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])


def _foot(canvas: Canvas, camera: Camera, distance: float) -> float:
    """The pixel row where something at a distance (metres behind the car) meets the ground."""
    ahead = camera.axes[2].copy()
    ahead[2] = 0
    ahead /= np.linalg.norm(ahead)
    reach = float(np.linalg.norm(camera.position[:2])) + distance
    point = camera.position * np.array([1, 1, 0]) + ahead * reach
    return float(camera.project(point)[1])


def buildings(canvas: Canvas, camera: Camera, rng: np.random.Generator) -> None:
    """A row of houses with windows, doors and shops."""
    size, foot = canvas.size, _foot(canvas, camera, 9)
    x = -rng.uniform(0, 0.2) * size
    while x < size:
        width = rng.uniform(0.22, 0.5) * size
        top = foot - rng.uniform(0.35, 0.95) * size
        wall = np.clip(np.array([0.6, 0.52, 0.45]) * rng.uniform(0.5, 1.3) + rng.normal(0, 0.06, 3), 0.1, 0.9)
        canvas.polygon(_upright(x, top, x + width, foot), as_color(wall))
        columns, rows = int(rng.integers(3, 6)), int(rng.integers(3, 7))
        lit = rng.random((columns, rows)) < 0.25
        for i in range(columns):
            for j in range(rows):
                left = x + width * (i + 0.25) / columns
                low = top + (foot - top) * (j + 0.3) / (rows + 0.3)
                glass = as_color(np.array([0.55, 0.6, 0.65]) if lit[i, j] else np.array([0.16, 0.19, 0.22]))
                canvas.polygon(
                    _upright(left, low, left + width * 0.5 / columns, low + (foot - top) * 0.5 / rows), glass
                )
        x += width
    canvas.polygon(_upright(-1, foot, size + 1, foot + 0.03 * size), as_color(np.array([0.52, 0.51, 0.49])))


def road(canvas: Canvas, camera: Camera, rng: np.random.Generator) -> None:
    """Kerbs and lane marks along the car."""
    for side in (-1, 1):
        y = side * rng.uniform(1.5, 2.4)
        canvas.polygon(_flat(camera, -30, 30, y, y + side * 0.14), (150, 148, 142))
        if side == 1:
            canvas.polygon(_flat(camera, -30, 30, y + 0.14, y + 3), (128, 124, 118))
    middle = -rng.uniform(2.8, 3.6)
    for start in np.arange(-14, 14, 4.0):
        canvas.polygon(_flat(camera, start, start + 2.2, middle, middle - 0.13), (212, 210, 202))


def hedge(canvas: Canvas, camera: Camera, rng: np.random.Generator) -> None:
    """A hedge or a low wall, and the roofs behind it."""
    size, foot = canvas.size, _foot(canvas, camera, 8)
    top = min(foot - rng.uniform(0.16, 0.38) * size, camera.horizon() - 0.03 * size)
    if rng.random() < 0.5:
        canvas.polygon(_upright(-1, top, size + 1, foot), (48, 66, 36))
        for _ in range(90):
            x, y, r = rng.uniform(0, size), rng.uniform(top, foot), rng.uniform(0.008, 0.035) * size
            tone = as_color(np.array([0.2, 0.3, 0.13]) * rng.uniform(0.5, 1.5))
            canvas.polygon(_upright(x - r, y - r * 0.8, x + r, y + r * 0.8) + rng.normal(0, r * 0.3, (4, 2)), tone)
        return
    wall = np.full(3, rng.uniform(0.4, 0.7)) * np.array([1, 0.97, 0.92])
    canvas.polygon(_upright(-1, top, size + 1, foot), as_color(wall))
    for i in range(7):
        canvas.polygon(_upright(i * size / 6, top, i * size / 6 + 0.008 * size, foot), as_color(wall * 0.75))
    canvas.polygon(_upright(-1, top, size + 1, top + 0.02 * size), as_color(wall * 1.15))


def bays(canvas: Canvas, camera: Camera, rng: np.random.Generator) -> None:
    """The white lines of parking bays."""
    paint = as_color(np.array([0.85, 0.85, 0.8]) if rng.random() < 0.75 else np.array([0.85, 0.7, 0.2]), 0.8)
    gap = rng.uniform(1.25, 1.5)
    for i in range(-3, 4):
        y = (2 * i + 1) * gap
        canvas.polygon(_flat(camera, -2.9, 2.9, y - 0.06, y + 0.06), paint)
    canvas.polygon(_flat(camera, -3.0, -2.85, -9, 9), paint)


def posts(canvas: Canvas, camera: Camera, rng: np.random.Generator) -> None:
    """Lamp posts and the dim shapes of cars parked far away."""
    size, foot = canvas.size, _foot(canvas, camera, 7)
    for _ in range(int(rng.integers(0, 3))):
        x, width = rng.uniform(0, size), rng.uniform(0.2, 0.3) * size
        tone = np.clip(rng.uniform(0.12, 0.7) + rng.normal(0, 0.08, 3), 0.05, 0.8)
        body = np.array(
            [
                (0, 0),
                (0.02, -0.16),
                (0.2, -0.2),
                (0.32, -0.34),
                (0.7, -0.34),
                (0.84, -0.2),
                (0.99, -0.17),
                (1, 0),
            ]
        )
        canvas.polygon(np.array([x, foot]) + body * width, as_color(tone))
        canvas.polygon(
            np.array([x, foot]) + np.array([(0.27, -0.2), (0.35, -0.31), (0.68, -0.31), (0.76, -0.2)]) * width,
            (35, 40, 45),
        )
        for hub in (0.2, 0.8):
            canvas.polygon(np.array([x + hub * width, foot]) + _upright(-0.08, -0.07, 0.08, 0.05) * width, (20, 20, 22))
    if rng.random() < 0.5:
        x = rng.uniform(0, size)
        canvas.polygon(_upright(x, -1, x + 0.012 * size, foot), (88, 90, 92))


def hall(canvas: Canvas, camera: Camera, rng: np.random.Generator) -> None:
    """A garage: back wall, roller shutter, shelves, lamps."""
    size, foot = canvas.size, _foot(canvas, camera, 4)
    wall = np.array([0.62, 0.60, 0.56]) * rng.uniform(0.6, 1.15)
    for i in range(10):
        y0, y1 = foot * i / 10 - 1, foot * (i + 1) / 10
        canvas.polygon(_upright(-1, y0, size + 1, y1), as_color(wall * (0.72 + 0.3 * i / 10)))
    left = rng.uniform(0, 0.55) * size
    shutter = np.full(3, rng.uniform(0.35, 0.75))
    top = foot - rng.uniform(0.5, 0.75) * size
    for i in range(14):
        y = top + (foot - top) * i / 14
        canvas.polygon(
            _upright(left, y, left + 0.45 * size, y + (foot - top) / 14),
            as_color(shutter * (0.9 if i % 2 else 1.0)),
        )
    x = (left + 0.55 * size) % (0.8 * size)
    for i in range(3):
        y = foot - (0.18 + 0.14 * i) * size
        canvas.polygon(_upright(x, y, x + 0.24 * size, y + 0.015 * size), (70, 62, 55))
        for j in range(4):
            box = np.clip(rng.uniform(0.1, 0.7, 3), 0, 1)
            high = rng.uniform(0.04, 0.11) * size
            canvas.polygon(_upright(x + j * 0.06 * size, y - high, x + (j * 0.06 + 0.045) * size, y), as_color(box))
    for i in range(2):
        x = rng.uniform(0.05, 0.7) * size
        canvas.polygon(
            _upright(x, 0.02 * size * (i + 1), x + 0.26 * size, 0.02 * size * (i + 1) + 0.018 * size),
            (250, 250, 240),
        )


def tiles(canvas: Canvas, camera: Camera, rng: np.random.Generator) -> None:
    """The joints of a floor."""
    step = rng.uniform(0.9, 1.6)
    for i in range(-5, 6):
        canvas.polygon(_flat(camera, i * step, i * step + 0.03, -6, 6), (0, 0, 0, 70))
        canvas.polygon(_flat(camera, -6, 6, i * step, i * step + 0.03), (0, 0, 0, 70))


def trees(canvas: Canvas, camera: Camera, rng: np.random.Generator) -> None:
    """A line of leafy trees, and hills."""
    size, foot = canvas.size, _foot(canvas, camera, 14)
    top = camera.horizon() / size
    hills = np.array(
        [(x, size * (top - 0.06 - 0.05 * np.sin(x * 7 + rng.uniform(0, 0.5)))) for x in np.linspace(0, 1, 12)]
    )
    hills[:, 0] *= size
    canvas.polygon(np.concatenate([hills, [(size, foot), (0, foot)]]), (112, 138, 120))
    for _ in range(int(rng.integers(2, 7))):
        x, height = rng.uniform(0, size), rng.uniform(0.25, 0.6) * size
        canvas.polygon(_upright(x - 0.01 * size, foot - height * 0.5, x + 0.01 * size, foot), (66, 52, 40))
        for _ in range(14):
            middle = np.array([x, foot - height * 0.7]) + rng.normal(0, 0.17, 2) * height
            angle = np.linspace(0, 2 * np.pi, 9, endpoint=False)
            leaf = np.stack([np.cos(angle), np.sin(angle)], 1) * height * rng.uniform(0.1, 0.22)
            canvas.polygon(middle + leaf, as_color(np.array([0.18, 0.32, 0.12]) * rng.uniform(0.6, 1.4)))


def blades(canvas: Canvas, camera: Camera, rng: np.random.Generator) -> None:
    """Tufts of grass."""
    spots = np.column_stack([rng.uniform(-7, 7, (160, 2)), np.zeros(160)])
    tips = spots + np.column_stack([rng.normal(0, 0.06, (160, 2)), rng.uniform(0.08, 0.2, 160)])
    seen = camera.depth(spots) > 1.0
    tones = rng.uniform(0.6, 1.5, 160)
    for a, b, tone in zip(camera.project(spots[seen]), camera.project(tips[seen]), tones[seen], strict=True):
        canvas.line(np.array([a, b]), as_color(np.array([0.25, 0.4, 0.14]) * tone), 2)


def backdrop(canvas: Canvas, camera: Camera, rng: np.random.Generator) -> None:
    """A photographer's seamless paper."""
    size, foot = canvas.size, _foot(canvas, camera, 3)
    tone = np.clip(rng.uniform(0.3, 0.9) + rng.normal(0, 0.05, 3), 0.1, 0.95)
    for i in range(16):
        y0, y1 = (foot + 0.1 * size) * i / 16 - 1, (foot + 0.1 * size) * (i + 1) / 16
        canvas.polygon(_upright(-1, y0, size + 1, y1), as_color(tone * (0.8 + 0.25 * np.sin(np.pi * i / 16))))


def firs(canvas: Canvas, camera: Camera, rng: np.random.Generator) -> None:
    """Fir trees in the snow."""
    size, foot = canvas.size, _foot(canvas, camera, 12)
    for _ in range(int(rng.integers(5, 14))):
        x, height = rng.uniform(0, size), rng.uniform(0.2, 0.6) * size
        tone = as_color(np.array([0.14, 0.22, 0.18]) * rng.uniform(0.7, 1.5))
        for j in range(4):
            low, wide = foot - height * j * 0.22, height * (0.26 - 0.055 * j)
            canvas.polygon(np.array([(x - wide, low), (x + wide, low), (x, low - height * 0.4)]), tone)


def dunes(canvas: Canvas, camera: Camera, rng: np.random.Generator) -> None:
    """Sand hills in layers."""
    size, foot = canvas.size, _foot(canvas, camera, 16)
    x = np.linspace(0, 1, 16)
    for i in range(3):
        wave = 0.05 * np.sin(x * rng.uniform(3, 9) + rng.uniform(0, 6)) + 0.16 - 0.05 * i
        line = np.column_stack([x * size, camera.horizon() - (wave - 0.05) * size])
        canvas.polygon(
            np.concatenate([line, [(size, foot + 2), (0, foot + 2)]]),
            as_color(np.array([0.80, 0.64, 0.44]) * (0.8 + 0.1 * i)),
        )


def bricks(canvas: Canvas, camera: Camera, rng: np.random.Generator) -> None:
    """A brick wall."""
    size, foot = canvas.size, _foot(canvas, camera, 4)
    canvas.polygon(_upright(-1, -1, size + 1, foot), (150, 140, 130))
    high, wide = 0.035 * size, 0.1 * size
    base = np.array([0.5, 0.25, 0.2]) * rng.uniform(0.7, 1.3)
    for j in range(int(foot / high) + 1):
        for i in range(-1, 11):
            x = (i + 0.5 * (j % 2)) * wide
            tone = as_color(base * rng.uniform(0.85, 1.15))
            canvas.polygon(_upright(x, foot - (j + 1) * high, x + wide * 0.93, foot - j * high - high * 0.12), tone)


def cobbles(canvas: Canvas, camera: Camera, rng: np.random.Generator) -> None:
    """Stone setts."""
    for _ in range(150):
        x, y = rng.uniform(-6, 6, 2)
        canvas.polygon(_flat(camera, x, x + 0.3, y, y + 0.2), as_color(np.full(3, rng.uniform(0.2, 0.6)), 0.35))


def containers(canvas: Canvas, camera: Camera, rng: np.random.Generator) -> None:
    """Stacked freight containers."""
    size, foot = canvas.size, _foot(canvas, camera, 9)
    high = rng.uniform(0.16, 0.26) * size
    for j in range(int(rng.integers(1, 4))):
        x = -rng.uniform(0, 0.4) * size
        while x < size:
            width = rng.uniform(0.35, 0.6) * size
            tone = np.clip(rng.uniform(0.1, 0.6, 3), 0, 1)
            canvas.polygon(_upright(x, foot - (j + 1) * high, x + width, foot - j * high), as_color(tone))
            for k in range(12):
                rib = x + width * k / 12
                canvas.polygon(
                    _upright(rib, foot - (j + 0.95) * high, rib + width / 30, foot - (j + 0.05) * high),
                    as_color(tone * 0.75),
                )
            x += width * 1.02


def slabs(canvas: Canvas, camera: Camera, rng: np.random.Generator) -> None:
    """Concrete slabs with stains."""
    for i in range(-3, 4):
        canvas.polygon(_flat(camera, -9, 9, i * 3.0, i * 3.0 + 0.05), (0, 0, 0, 90))
        canvas.polygon(_flat(camera, i * 3.0, i * 3.0 + 0.05, -9, 9), (0, 0, 0, 90))
    for _ in range(4):
        x, y = rng.uniform(-4, 4, 2)
        canvas.polygon(_flat(camera, x, x + rng.uniform(0.3, 1.5), y, y + rng.uniform(0.2, 0.8)), (20, 18, 16, 60))
