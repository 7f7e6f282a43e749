"""Two pictures drawn together: colours, and which damage each pixel shows."""

from typing import Any

import numpy as np
from PIL import Image, ImageDraw

Array = np.ndarray[Any, np.dtype[Any]]
Color = tuple[int, ...]  # red, green, blue, and opacity if there are four; 0 to 255

NO_DAMAGE = 0


class Canvas:
    """A colour picture and a picture of damage numbers (0 = none), both `size` pixels on either side."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.image = Image.new("RGB", (size, size))
        self.damages = Image.new("L", (size, size))
        self._solid = ImageDraw.Draw(self.image)
        self._blend = ImageDraw.Draw(self.image, "RGBA")
        self._ids = ImageDraw.Draw(self.damages)

    def polygon(self, points: Array, color: Color, damage: int | None = None) -> None:
        """Fills a polygon (n, 2).

        Args:
            points: float (n, 2) pixels; fewer than three draw nothing.
            color: three numbers are opaque, a fourth is the opacity.
            damage: the number it gets in the damage picture; None leaves what is there: paint on a surface.
        """
        if len(points) < 3:
            return
        corners = points.ravel().tolist()
        (self._blend if len(color) == 4 else self._solid).polygon(corners, fill=color)
        if damage is not None:
            self._ids.polygon(corners, fill=damage)

    def line(self, points: Array, color: Color, width: float, damage: int | None = None) -> None:
        """Draws a line through points (n, 2), `width` pixels wide; `damage` as in polygon."""
        corners = points.ravel().tolist()
        thick = max(1, round(width))
        (self._blend if len(color) == 4 else self._solid).line(corners, fill=color, width=thick)
        if damage is not None:
            self._ids.line(corners, fill=damage, width=thick)

    def paste(self, picture: Array) -> None:
        """Replaces the colours by a uint8 picture (size, size, 3); the damage picture stays."""
        self.image.paste(Image.fromarray(picture))


def as_color(values: Array, opacity: float | None = None) -> Color:
    """Turns three numbers in [0, 1], and an opacity in [0, 1], into a colour."""
    color = tuple(int(255 * min(max(float(value), 0.0), 1.0)) for value in values)
    return color if opacity is None else (*color, int(255 * min(max(opacity, 0.0), 1.0)))
