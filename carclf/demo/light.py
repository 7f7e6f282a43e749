"""Light on surfaces, and what lens, sensor and file format add to a picture."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Light:
    """The light of a scene; colours are float64 (3,) in [0, 1]."""

    direction: Array  # towards the sun or lamp, length 1
    sun: float  # 0 = overcast or indoors
    sky: Array
    ground: Array
    brightness: float = 1.0


def shade(light: Light, paint: Array, normals: Array, towards: Array, gloss: float) -> Array:
    """Returns the colours (n, 3) in [0, 1] of faces.

    Args:
        light: where it comes from.
        paint: float (3,) or (n, 3), the colour of the material.
        normals: float (n, 3), outward, length 1.
        towards: float (n, 3), from the face to the camera, length 1.
        gloss: 0 (dull) to 1 (clear coat, glass).
    """
    up = normals[:, 2:]
    diffuse = np.clip(normals @ light.direction, 0, None)[:, None] * light.sun
    ambient = light.sky * (0.5 + 0.5 * up) + 0.6 * light.ground * (0.5 - 0.5 * up)
    facing = np.clip((normals * towards).sum(1), 0, 1)[:, None]
    bounce = 2 * facing * normals - towards
    open_sky = np.clip(bounce[:, 2:] * 6 + 0.3, 0, 1)
    mirrored = open_sky * light.sky * (0.75 + 0.4 * np.clip(bounce[:, 2:], 0, 1)) + (1 - open_sky) * light.ground * 0.5
    fresnel = gloss * (0.10 + 0.55 * (1 - facing) ** 4)
    glint = gloss * light.sun * np.clip(bounce @ light.direction, 0, 1)[:, None] ** 30 * 0.8
    color = paint * (0.95 * ambient + 0.85 * diffuse) * (1 - fresnel) + mirrored * fresnel + glint
    return np.asarray(np.clip(color * light.brightness, 0, 1))


def normals_of(quads: Array) -> Array:
    """Returns the normals (n, 3), length 1, of quads (n, 4, 3), by the turn of their corners."""
    cross = np.cross(quads[:, 2] - quads[:, 0], quads[:, 3] - quads[:, 1])
    length = np.linalg.norm(cross, axis=1, keepdims=True)
    return np.asarray(cross / np.maximum(length, 1e-9))


def soft_noise(size: int, cells: int, rng: np.random.Generator) -> Array:
    """Returns smooth noise, float32 (size, size) about 0, with `cells` bumps on either side."""
    coarse = Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))


def take_picture(picture: Image.Image, size: int, rng: np.random.Generator) -> Array:
    """Turns a drawing into a photo: exposure, colour cast, falling light, blur, noise, JPEG.

    Args:
        picture: the drawing, any size.
        size: pixels on either side of the photo.
        rng: draws the camera's faults.

    Returns:
        uint8 (size, size, 3).
    """
    small = picture.resize((size, size), Image.Resampling.BOX)
    if rng.random() < 0.35:
        small = small.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 0.9)) * size / 224))
    image = np.asarray(small, dtype=np.float32) / 255
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    tilt = rng.normal(0, 0.09, 2).astype(np.float32)
    vignette = np.float32(rng.uniform(0, 0.16)) * (ramp[:, None] ** 2 + ramp**2)
    gain = np.float32(rng.uniform(0.9, 1.3)) * (1 + tilt[0] * ramp[:, None] + tilt[1] * ramp - vignette)
    cast = rng.normal(1, 0.035, 3).astype(np.float32)
    image = np.clip(image * gain[..., None] * cast, 0, 1) ** np.float32(rng.uniform(0.8, 1.12))
    strength = np.float32(abs(rng.normal(0, 0.014)) + 0.003)
    image = image + strength * rng.standard_normal((size, size, 1), dtype=np.float32)
    photo = Image.fromarray((np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8))
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=int(rng.integers(45, 93)))
    with Image.open(file) as decoded:
        return np.array(decoded)
