"""Draws screws with five kinds of defects in the layout of MVTec AD.

The category `screw` of MVTec AD (Bergmann, Fauser, Sattlegger and Steger, 2019) shows one wood screw a photo, at any
angle on a light ground, and its defects are small. Here a screw is a height above the ground for every pixel, lit from
one side. Lengths are shares of the photo's side; `along` runs down the screw's axis from 0 at the head to the tip,
`across` is 0 on the axis.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from carclf.demo.light import soft_noise

Array = NDArray[Any]
GOOD = "good"
DEFECTS = ("manipulated_front", "scratch_head", "scratch_neck", "thread_side", "thread_top")

_SUPERSAMPLING = 3
_TIP = 0.13  # length of the cone at the end
_RIDGE = 0.46  # height of the thread, in radii of the neck


@dataclass(frozen=True)
class Screw:
    """What tells one screw, and the photo of it, from another."""

    length: float
    radius: float  # of the neck
    head: float  # radius of the head
    head_length: float
    neck_end: float  # where the thread begins
    pitch: float
    turned: float  # turns of the thread about the axis
    angle: float  # radians, of the axis in the photo
    middle: tuple[float, float]  # x, y of the screw's middle


@dataclass(frozen=True)
class Mark:
    """What a defect does to a screw; arrays are (side, side).

    Attributes:
        region: bool, the defect; of it, what lies on the screw, gaps of the thread included, is the mask.
        bend: float, how far the axis is shifted across.
        end: float, where along the axis the screw ends.
        worn: float in [0, 1], how much of the thread's ridges is gone.
        tone: float, brighter or darker by so much.
    """

    region: Array
    bend: Array | float = 0.0
    end: Array | float = 1.0
    worn: Array | float = 0.0
    tone: Array | float = 0.0


@dataclass(frozen=True)
class Frame:
    """The screw's coordinates of every pixel, float32 (side, side), and the way back."""

    screw: Screw
    along: Array
    across: Array

    @property
    def side(self) -> int:
        """Pixels."""
        return len(self.along)

    def to_pixels(self, along: Array, across: Array) -> list[tuple[float, float]]:
        """(x, y) in the drawing of points of the screw."""
        cos, sin = np.cos(self.screw.angle), np.sin(self.screw.angle)
        forward = along - self.screw.length / 2
        x = self.screw.middle[0] + forward * cos - across * sin
        y = self.screw.middle[1] + forward * sin + across * cos
        return list(zip((x * self.side).tolist(), (y * self.side).tolist(), strict=True))


def draw_screws(folder: Path, count: int, seed: int, size: int = 256) -> Path:
    """Draws a category as MVTec AD has it: test/<defect>, test/good, ground_truth/<defect>.

    Args:
        folder: is made; becomes the category.
        count: photos, each of another screw; the five defects and `good` take turns.
        seed: the same seed gives the same bytes; screw i is the same, however many are drawn.
        size: pixels on either side.

    Returns:
        The folder.
    """
    kinds = (*DEFECTS, GOOD)
    for index in range(count):
        kind, number = kinds[index % len(kinds)], index // len(kinds)
        photo, mask = draw_screw(kind, np.random.default_rng([seed, index]), size)
        _save(Image.fromarray(photo), folder / "test" / kind / f"{number:03d}.png")
        if kind != GOOD:
            _save(Image.fromarray(mask), folder / "ground_truth" / kind / f"{number:03d}_mask.png")
    return folder


def draw_screw(kind: str, rng: np.random.Generator, size: int) -> tuple[Array, Array]:
    """Draws one screw of a kind, of DEFECTS or GOOD: uint8 (size, size), the grey photo and its mask of 0 and 255."""
    frame = lay_down(rng, size)
    return photograph(frame, MARKS[kind](frame, rng), rng)


def lay_down(rng: np.random.Generator, size: int) -> Frame:
    """Makes a screw and lays it into a photo of `size` pixels."""
    screw, side = _make_screw(rng), size * _SUPERSAMPLING
    grid = (np.arange(side, dtype=np.float32) + 0.5) / side
    x, y = grid[None, :] - np.float32(screw.middle[0]), grid[:, None] - np.float32(screw.middle[1])
    cos, sin = np.float32(np.cos(screw.angle)), np.float32(np.sin(screw.angle))
    return Frame(screw, x * cos + y * sin + np.float32(screw.length / 2), y * cos - x * sin)


def photograph(frame: Frame, mark: Mark, rng: np.random.Generator) -> tuple[Array, Array]:
    """Takes the photo of a screw with a defect; returns it and its mask, as `draw_screw` does."""
    size = frame.side // _SUPERSAMPLING
    picture = _light(frame, _height(frame, mark), mark, rng)
    small = picture.resize((size, size), Image.Resampling.BOX).convert("L")
    blurred = small.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 0.6)) * size / 256))
    values = np.asarray(blurred) + rng.uniform(2, 4) * rng.standard_normal((size, size))
    region = mark.region & (np.abs(frame.across - mark.bend) < _hull(frame)[0])
    drawn = Image.fromarray(region.astype(np.uint8) * 255).resize((size, size), Image.Resampling.BOX)
    mask = np.where(np.asarray(drawn) >= 128, 255, 0).astype(np.uint8)
    return np.round(np.clip(values, 0, 255)).astype(np.uint8), mask


def _save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def _make_screw(rng: np.random.Generator) -> Screw:
    """A screw that, with its shadow, is within the photo at any angle."""
    length, radius = rng.uniform(0.66, 0.76), rng.uniform(0.043, 0.049)
    middle = 0.5 + rng.uniform(-0.05, 0.05, 2)
    return Screw(
        length=length,
        radius=radius,
        head=radius * rng.uniform(1.9, 2.1),
        head_length=rng.uniform(0.085, 0.1),
        neck_end=length * rng.uniform(0.36, 0.42),
        pitch=rng.uniform(0.031, 0.036),
        turned=rng.uniform(),
        angle=rng.uniform(0, 2 * np.pi),
        middle=(float(middle[0]), float(middle[1])),
    )


def _height(frame: Frame, mark: Mark) -> Array:
    """How far the upper surface lies above the axis: float32 (side, side); 0 beside the screw."""
    screw = frame.screw
    across = frame.across - mark.bend
    outer, ridges = _hull(frame)
    around = np.arcsin(np.clip(across / np.maximum(outer, 1e-6), -1, 1)) / (2 * np.pi)  # of a turn
    phase = (frame.along / screw.pitch - around + screw.turned) % 1
    crest = np.clip(1.15 - 2.6 * np.abs(phase - 0.5), 0, 1) * (1 - mark.worn)
    radius = outer - ridges * (1 - crest)
    squared = np.where(frame.along <= mark.end, radius**2 - across**2, 0)
    return np.asarray(np.sqrt(np.maximum(squared, 0)), np.float32)


def _hull(frame: Frame) -> tuple[Array, Array]:
    """The screw's radius with its ridges, and their height: float32 (side, side); 0 before and behind the screw."""
    screw, radius, core = frame.screw, frame.screw.radius, 0.76 * frame.screw.radius
    rim, neck, cone = screw.head_length, screw.neck_end, screw.length - _TIP
    places = [0, 0.008, 0.026, rim, rim + 0.015, neck, neck + 0.02, cone, screw.length - 0.02, screw.length]
    radii = [0.93 * screw.head, screw.head, screw.head, 1.05 * radius, radius, radius, core, core, 0.3 * core, 0]
    body = np.interp(frame.along, places, radii, left=0, right=0)
    ends = [neck, neck + 0.03, cone, screw.length - 0.01]
    ridges = _RIDGE * radius * np.interp(frame.along, ends, [0, 1, 1, 0.1], left=0, right=0)
    return (body + ridges).astype(np.float32), ridges.astype(np.float32)


def _light(frame: Frame, height: Array, mark: Mark, rng: np.random.Generator) -> Image.Image:
    """Lights the surface from one side, over its shadow on the ground: a picture of floats in [0, 255]."""
    side = frame.side
    from_left, from_top = np.array([0.55, 0.6]) + rng.normal(0, 0.05, 2)
    slope_y, slope_x = np.gradient(height * side)
    steep = np.sqrt(1 + slope_x**2 + slope_y**2)
    facing = (from_left * slope_x + from_top * slope_y + 0.62) / steep  # of the normal towards the lamp
    upward = 1 / steep
    metal = 0.2 + 0.26 * np.clip(facing, 0, 1) + 0.5 * np.clip(facing, 0, 1) ** 14 + 0.12 * upward
    lathe = np.interp(frame.along, np.linspace(0, 1, 400), rng.normal(0, 0.018, 400))
    metal = metal + lathe + 0.02 * soft_noise(side, 60, rng) + mark.tone
    ramp = np.linspace(-1, 1, side, dtype=np.float32)
    tilt = rng.normal(0, 0.02, 2)
    ground = rng.uniform(0.72, 0.8) + tilt[0] * ramp + tilt[1] * ramp[:, None] + 0.006 * soft_noise(side, 12, rng)
    cast = np.roll((height > 0).astype(np.uint8) * 255, (round(0.016 * side), round(0.014 * side)), (0, 1))
    shadow = Image.fromarray(cast).filter(ImageFilter.GaussianBlur(0.012 * side))
    ground = ground * (1 - 0.4 / 255 * np.asarray(shadow))
    gain = rng.uniform(0.9, 1.1)
    return Image.fromarray((255 * np.clip(np.where(height > 0, metal * gain, ground), 0, 1)).astype(np.float32))


def _mark_nothing(frame: Frame, rng: np.random.Generator) -> Mark:
    return Mark(np.zeros(frame.along.shape, bool))


def _mark_front(frame: Frame, rng: np.random.Generator) -> Mark:
    """The tip is bent to a side or blunted."""
    screw = frame.screw
    if rng.random() < 0.6:
        start = screw.length - rng.uniform(0.09, 0.11)
        beyond = np.maximum(frame.along - start, 0)
        bend = rng.choice([-1, 1]) * rng.uniform(4.0, 5.5) * beyond**2
        return Mark(frame.along > start + 0.015, bend=bend)
    end = screw.length - rng.uniform(0.05, 0.065)
    jagged = 0.008 * soft_noise(frame.side, 50, rng)
    region = frame.along > end - 0.035
    flat = 0.12 * (frame.along > end - 0.02 + jagged)
    return Mark(region & (frame.along < end + 0.012), end=end + jagged, worn=region * 0.8, tone=flat)


def _mark_head(frame: Frame, rng: np.random.Generator) -> Mark:
    """The head's side is scratched."""
    return _scratch(frame, (rng.uniform(0.03, 0.045), frame.screw.head * rng.uniform(-0.4, 0.4)), rng)


def _mark_neck(frame: Frame, rng: np.random.Generator) -> Mark:
    """The neck is scratched."""
    screw = frame.screw
    place = rng.uniform(screw.head_length + 0.05, screw.neck_end - 0.05), screw.radius * rng.uniform(-0.35, 0.35)
    return _scratch(frame, place, rng)


def _scratch(frame: Frame, place: tuple[float, float], rng: np.random.Generator) -> Mark:
    """Some strokes side by side about a place (along, across), bright with a dark edge."""
    strokes, edges = (Image.new("L", (frame.side, frame.side)) for _ in range(2))
    width = max(1, round(0.0035 * frame.side))
    slant, bow = rng.uniform(-1.0, 1.0), rng.uniform(-0.01, 0.01)
    for number in range(rng.integers(3, 6)):
        turn = slant + rng.normal(0, 0.12)
        down = np.linspace(-0.5, 0.5, 6) * rng.uniform(0.045, 0.085)
        aside = 0.008 * (number - 2) + bow * np.cos(40 * down) + rng.normal(0, 0.0015, 6)
        down = down + rng.normal(0, 0.009)
        points = frame.to_pixels(
            place[0] + down * np.cos(turn) - aside * np.sin(turn),
            place[1] + down * np.sin(turn) + aside * np.cos(turn),
        )
        ImageDraw.Draw(strokes).line(points, fill=255, width=width)
        ImageDraw.Draw(edges).line([(x + width, y + width) for x, y in points], fill=255, width=width)
    reach = 2 * round(0.006 * frame.side) + 1  # the gaps between strokes belong to the scratch, too
    closed = strokes.filter(ImageFilter.MaxFilter(reach))
    tone = 0.42 * np.asarray(strokes, np.float32) / 255 - 0.28 * np.asarray(edges, np.float32) / 255
    return Mark(np.asarray(closed) > 0, tone=tone)


def _mark_side(frame: Frame, rng: np.random.Generator) -> Mark:
    """The ridges are knocked off where the thread is seen against the ground."""
    screw = frame.screw
    half = rng.uniform(1.5, 2.2) * screw.pitch
    place = rng.uniform(screw.neck_end + 0.03 + half, screw.length - _TIP - half)
    outward = frame.across * rng.choice([-1, 1])
    region = (np.abs(frame.along - place) < half) & (outward > 0.6 * screw.radius)
    rough = 0.5 + 0.2 * soft_noise(frame.side, 90, rng)
    return Mark(region, worn=region * np.clip(0.75 + 0.3 * rough, 0, 1), tone=region * 0.12 * rough)


def _mark_top(frame: Frame, rng: np.random.Generator) -> Mark:
    """The ridges are ground down where the thread faces the camera."""
    screw = frame.screw
    half = rng.uniform(1.2, 1.7) * screw.pitch
    place = rng.uniform(screw.neck_end + 0.03 + half, screw.length - _TIP - half)
    aside = screw.radius * rng.uniform(-0.25, 0.25)
    wobble = 1 + 0.12 * soft_noise(frame.side, 30, rng)
    region = ((frame.along - place) / half) ** 2 + ((frame.across - aside) / (0.75 * screw.radius)) ** 2 < wobble
    tone = region * (0.08 + 0.07 * soft_noise(frame.side, 100, rng))
    return Mark(region, worn=region * 0.75, tone=tone)


MARKS: dict[str, Callable[[Frame, np.random.Generator], Mark]] = {
    "manipulated_front": _mark_front,
    "scratch_head": _mark_head,
    "scratch_neck": _mark_neck,
    "thread_side": _mark_side,
    "thread_top": _mark_top,
    GOOD: _mark_nothing,
}
