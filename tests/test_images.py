import hashlib
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from carclf.errors import PhotoError, RunDirError
from carclf.images import (
    Frame,
    decode_photo,
    find_photos,
    mirror,
    photo_frame,
    photo_sha256,
    photo_size,
    read_full_photo,
    read_photo,
)
from carclf.mask_images import read_mask, resize_mask_probability, write_png


def picture(width: int = 90, height: int = 60, seed: int = 0) -> Image.Image:
    """A smooth picture without any symmetry."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def triangle_resize(values: NDArray[Any], size: int) -> NDArray[np.float64]:
    """A slow loop: antialiased triangle filter along the first axis."""
    length = values.shape[0]
    scale = length / size
    reach = max(scale, 1.0)
    rows = []
    for index in range(size):
        centre = (index + 0.5) * scale
        weights = np.maximum(0.0, 1.0 - np.abs((np.arange(length) + 0.5 - centre) / reach))
        rows.append(np.tensordot(weights / weights.sum(), values, axes=1))
    return np.stack(rows)


@pytest.mark.parametrize("size", [(90, 60), (20, 31), (224, 224)])
def test_resize_equals_a_slow_loop(size: tuple[int, int]) -> None:
    image = picture(*size)
    pixels = np.asarray(image, dtype=np.float64) / 255.0
    expected = triangle_resize(triangle_resize(pixels, 32).swapaxes(0, 1), 32).swapaxes(0, 1)
    decoded = decode_photo(encoded(image), 32)
    assert decoded.dtype == np.float32
    assert decoded.shape == (32, 32, 3)
    np.testing.assert_allclose(decoded, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("sides", "scale"), [((127, 400), 1), ((128, 400), 2), ((255, 300), 2), ((256, 256), 4), ((900, 600), 8)]
)
def test_jpegs_are_decoded_at_the_smallest_scale_that_covers_the_size(sides: tuple[int, int], scale: int) -> None:
    data = encoded(picture(*sides), "JPEG", quality=95)
    reduced = Image.open(io.BytesIO(data))
    reduced.draft("RGB", (sides[0] // scale, sides[1] // scale))
    reduced.load()
    assert reduced.size == (-(-sides[0] // scale), -(-sides[1] // scale))
    np.testing.assert_array_equal(decode_photo(data, 64), decode_photo(encoded(reduced), 64))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_comes_upright(tmp_path: Path, orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(io.BytesIO(encoded(picture(), exif=exif))) as turned:
        upright = ImageOps.exif_transpose(turned)
    path = tmp_path / "turned"
    path.write_bytes(encoded(picture(), kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {})))
    np.testing.assert_array_equal(read_full_photo(path), np.asarray(upright))
    assert photo_size(path) == upright.size
    assert photo_frame(path).stored == picture().size
    np.testing.assert_allclose(read_photo(path, 32), decode_photo(encoded(upright), 32), atol=1e-6)


def test_the_size_of_a_jpeg_is_found_wherever_its_head_ends(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "photo"
    for profile in (b"", b"x" * 600_000):  # a colour profile longer than the head that is read first
        path.write_bytes(encoded(picture(), "JPEG", exif=exif, icc_profile=profile))
        assert photo_frame(path) == Frame(picture().height, picture().width, 6)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_exif_block_does_not_lose_the_photo() -> None:
    whole = encoded(picture(), "JPEG")
    damaged = encoded(picture(), "JPEG", exif=b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff\x00")
    np.testing.assert_array_equal(decode_photo(damaged, 32), decode_photo(whole, 32))


def test_grey_palette_and_one_bit_equal_their_rgb() -> None:
    for mode in ("L", "P", "1"):
        image = picture().convert(mode)
        np.testing.assert_array_equal(decode_photo(encoded(image), 32), decode_photo(encoded(image.convert("RGB")), 32))


def test_cmyk_jpegs_keep_their_colours() -> None:
    image = picture()
    cmyk = decode_photo(encoded(image.convert("CMYK"), "JPEG", quality=100, subsampling=0), 32)
    np.testing.assert_allclose(cmyk, decode_photo(encoded(image), 32), atol=0.03)


def test_sixteen_bit_grey_keeps_its_range() -> None:
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    decoded = decode_photo(encoded(Image.fromarray(ramp)), 64)
    np.testing.assert_allclose(decoded, np.repeat(ramp[:, :, None], 3, axis=-1) / 65535, atol=1e-6)


def test_transparency_lies_over_white() -> None:
    image = picture().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    white = Image.new("RGBA", image.size, "white")
    over_white = Image.alpha_composite(white, image).convert("RGB")
    np.testing.assert_allclose(decode_photo(encoded(image), 32), decode_photo(encoded(over_white), 32), atol=0.006)
    assert decode_photo(encoded(Image.new("RGBA", (9, 9), (0, 0, 0, 0))), 8).min() == 1.0
    transparent = Image.new("P", (9, 9), 0)
    transparent.putpalette([255, 0, 0, 0, 255, 0])
    assert decode_photo(encoded(transparent, transparency=0), 8).min() == 1.0


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_other_formats_are_read(kind: str) -> None:
    decoded = decode_photo(encoded(picture(), kind), 32)
    np.testing.assert_allclose(decoded, decode_photo(encoded(picture()), 32), atol=0.2)


def test_photos_that_cannot_be_read_are_named_with_the_reason(tmp_path: Path) -> None:
    whole = encoded(picture(300, 200), "JPEG")
    cases = {
        "empty.jpg": (b"", r"empty\.jpg: is empty"),
        "cut.jpg": (whole[: len(whole) // 2], r"cut\.jpg: cannot be decoded, it may be cut off"),
        "cut.png": (encoded(picture(300, 200))[:-900], r"cut\.png: cannot be decoded"),
        "text.jpg": (b"not a photo at all", r"text\.jpg: is not a photo that can be read"),
        "phone.heic": (b"\0\0\0\x18ftypheic" + bytes(40), r"phone\.heic: is not a photo .* Convert HEIC"),
    }
    for name, (data, message) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(PhotoError, match=message):
            read_photo(tmp_path / name, 32)
    with pytest.raises(PhotoError, match=r"gone\.jpg: no such file"):
        read_photo(tmp_path / "gone.jpg", 32)
    with pytest.raises(PhotoError, match="cannot be read"):
        read_photo(tmp_path, 32)
    floats = Image.fromarray(np.zeros((4, 4), np.float32))
    with pytest.raises(PhotoError, match="floating-point pixels"):
        decode_photo(encoded(floats, "TIFF"), 32)
    deep = Image.fromarray(np.full((4, 4), 70_000, np.int32))
    with pytest.raises(PhotoError, match="more than 16 bits"):
        decode_photo(encoded(deep, "TIFF"), 32)


def test_find_photos_goes_by_suffix_and_leaves_hidden_files(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "notes.txt", "._a.png", "more/c.jpeg", ".cache/d.jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    found = [path.relative_to(tmp_path).as_posix() for path in find_photos(tmp_path)]
    assert found == ["a.png", "b.JPG", "more/c.jpeg"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(PhotoError, match="holds no photo"):
        find_photos(tmp_path / "empty")
    with pytest.raises(PhotoError, match="no such folder"):
        find_photos(tmp_path / "gone")


def test_mirror_and_hash(tmp_path: Path) -> None:
    image = decode_photo(encoded(picture()), 32)
    flipped = decode_photo(encoded(picture().transpose(Image.Transpose.FLIP_LEFT_RIGHT)), 32)
    np.testing.assert_allclose(mirror(image), flipped, atol=1e-6)
    np.testing.assert_array_equal(mirror(mirror(image[None]))[0], image)
    (tmp_path / "a").write_bytes(b"abc")
    assert photo_sha256(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_mask_probability_comes_back_at_the_photos_size() -> None:
    probability = np.random.default_rng(1).random((14, 14), dtype=np.float32)
    resized = resize_mask_probability(probability, (90, 60))
    assert resized.shape == (60, 90)
    expected = triangle_resize(triangle_resize(probability, 60).T, 90).T
    np.testing.assert_allclose(resized, expected, atol=1e-5)


def test_masks_and_pngs_survive_a_round_trip(tmp_path: Path) -> None:
    mask = np.random.default_rng(2).integers(0, 256, (7, 9), dtype=np.uint8)
    write_png(tmp_path / "new" / "mask.png", mask)
    np.testing.assert_array_equal(read_mask(tmp_path / "new" / "mask.png"), mask)
    indexed = Image.fromarray(mask % 3).convert("P")
    indexed.save(tmp_path / "indexed.png")
    assert read_mask(tmp_path / "indexed.png").shape == (7, 9)
    picture().save(tmp_path / "colours.png")
    with pytest.raises(PhotoError, match="mask of class ids was expected"):
        read_mask(tmp_path / "colours.png")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RunDirError, match="cannot be written"):
        write_png(tmp_path / "file" / "mask.png", mask)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["mask.png"]


def test_pixels_equal_tensorflows(shared_dir: Path) -> None:
    import tensorflow as tf

    for path in find_photos(shared_dir / "data" / "car_damage" / "photos")[::400]:
        with Image.open(path) as image:
            ratio = next(r for r in (8, 4, 2, 1) if min(image.size) // 128 >= r or r == 1)
            if image.mode != "RGB" or image.getexif().get(0x0112, 1) != 1:
                continue
        pixels = tf.io.decode_jpeg(path.read_bytes(), channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")
        expected = tf.image.resize(tf.cast(pixels, tf.float32), (128, 128), antialias=True) / 255.0
        np.testing.assert_allclose(read_photo(path, 128), expected.numpy(), atol=2e-5)


def test_pipes_and_folders_are_no_photos(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    for name in ("pipe.jpg", "folder.jpg"):
        for read in (read_full_photo, photo_frame, photo_sha256):
            with pytest.raises(PhotoError, match=rf"{name}: cannot be read: it is no file"):
                read(tmp_path / name)
