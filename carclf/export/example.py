"""Asks the exported model that lies beside this file about photos.

    python example.py photo.jpg …

It needs numpy, Pillow and the model's runtime; carclf need not be installed. Photos are read as in training. For each
one a line of JSON is printed, in the words of carclf's `predict`, and the mask of every segmentation head is written
into the current folder as <photo>_<head>.png: class ids in the colours of the classes.
"""

import argparse
import hashlib
import io
import json
import sys
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Array = np.ndarray[Any, np.dtype[Any]]
Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""Name of an input -> float32 (1, S, S, 3) in [0, 1]; to head -> its answer, (1, C) or (1, h, w, K)."""

LABELS = "labels.json"
ORIENTATION = 0x0112  # the EXIF tag
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def main() -> None:
    """Answers the photos of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path)
    folder = Path(__file__).resolve().parent
    labels = json.loads((folder / LABELS).read_text(encoding="utf-8"))
    run = RUNTIMES[labels["format"]](folder, labels["precision"])
    failed, written = 0, set[str]()
    for photo in parser.parse_args().photos:
        try:
            said, masks = ask(run, labels, photo)
        except Exception as error:  # decoders raise whatever they like on broken bytes
            print(f"{photo}: cannot be read ({error}).", file=sys.stderr)
            failed += 1
            continue
        print(json.dumps(said, ensure_ascii=False))
        for head, mask in masks.items():
            write_mask(free_name(f"{photo.stem}_{head}", written), mask, labels["heads"][head])
    sys.exit(2 if failed else 0)


def ask(run: Run, labels: Mapping[str, Any], photo: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """Returns what is said of one photo, and head -> uint8 (height, width), its mask at the photo's own size."""
    data = photo.read_bytes()
    size = photo_size(data)
    answers = run({each["name"]: read_photo(data, each["shape"][1])[None] for each in labels["inputs"]})
    heads: dict[str, Any] = {}
    masks: dict[str, Array] = {}
    for name, head in labels["heads"].items():
        answer = np.asarray(answers[head["output"]])[0]
        if head["kind"] == "segmentation":
            masks[name] = decide_mask(answer, size, head["thresholds"])
            heads[name] = say_mask(answer, masks[name], head)
            if head["tile"] and max(size) > head["tile"]:
                print(f"{photo}, {name}: looked at as a whole; carclf looks at it in tiles.", file=sys.stderr)
        else:
            heads[name] = say_labels(answer, head)
    said = {"photo": str(photo), "photo_sha256": hashlib.sha256(data).hexdigest()}
    return said | {"model": labels["model"], "model_sha256": labels["model_sha256"], "heads": heads}, masks


# -- a photo: the same pixels as in training


def read_photo(data: bytes, side: int) -> Array:
    """Returns the bytes of a photo as float32 (side, side, 3), RGB in [0, 1]."""
    image = Image.open(io.BytesIO(data))
    turn = UPRIGHT.get(orientation(image))
    image.draft(None, (side, side))  # a JPEG at the smallest scale of 1/1 to 1/8 that still covers side × side
    image.load()
    channels, white = split_channels(image if turn is None else image.transpose(turn))
    resized = [np.asarray(channel.resize((side, side), Image.Resampling.BILINEAR)) for channel in channels]
    return np.clip(np.stack(resized, axis=-1) / np.float32(white), 0, 1)


def photo_size(data: bytes) -> tuple[int, int]:
    """Returns (width, height) of a photo held upright."""
    image = Image.open(io.BytesIO(data))
    return image.size[::-1] if orientation(image) >= 5 else image.size


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none, it is damaged, or Pillow turns the photo by itself."""
    try:
        given = image.getexif().get(ORIENTATION, 1)
        return int(given) if given in UPRIGHT and image.format != "TIFF" else 1
    except Exception:  # damaged EXIF data; the pixels may still be whole
        return 1


def split_channels(image: Image.Image) -> tuple[list[Image.Image], float]:
    """Red, green and blue as images of floats, and the value of white; transparency over white."""
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.float32) / np.float32(65535)
        return [Image.fromarray(grey)] * 3, 1.0
    if not (image.has_transparency_data or image.mode in ("RGBa", "La")):
        return [channel.convert("F") for channel in image.convert("RGB").split()], 255.0
    pixels = np.asarray(image.convert("RGBA")).astype(np.float32) / np.float32(255)
    over_white = pixels[:, :, :3] * pixels[:, :, 3:] + (1 - pixels[:, :, 3:])
    return [Image.fromarray(np.ascontiguousarray(over_white[:, :, i])) for i in range(3)], 1.0


# -- what is said


def say_labels(probabilities: Array, head: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of a classification head; probabilities: float32 (C,)."""
    names, wide = head["classes"], probabilities.astype(np.float64)
    shares = {name: round(float(value), 6) for name, value in zip(names, probabilities, strict=True)}
    if head["kind"] == "categorical":
        best = int(probabilities.argmax())
        said = give("label", names[best], float(wide[best]), head["min_probability"])
    else:
        on = probabilities >= np.array(head["thresholds"])
        all_right = float(np.where(on, wide, 1 - wide).prod())
        said = give("labels", [names[i] for i in np.flatnonzero(on)], all_right, head["min_probability"])
    return {"kind": head["kind"], **said, "probabilities": shares}


def say_mask(grid: Array, mask: Array, head: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of a segmentation head but for its regions; grid: float32 (h, w, K), mask: uint8 (height, width)."""
    pixels = [int(np.count_nonzero(mask == index)) for index in range(1, len(head["classes"]) + 1)]
    percent = {name: 100 * count / mask.size for name, count in zip(head["classes"], pixels, strict=True)}
    confidence = mask_confidence(grid[..., : len(percent)], np.array(head["thresholds"]))
    said = give("damaged_percent", round(sum(percent.values()), 2), confidence, head["min_probability"])
    return {"kind": "segmentation", **said, "percent": {name: round(share, 2) for name, share in percent.items()}}


def give(key: str, answer: Any, confidence: float, least: float) -> dict[str, Any]:
    """An answer and how sure it is; null and the reason where that is not sure enough."""
    told = confidence >= least and least < 1
    said = {key: answer if told else None, "confidence": round(confidence, 6)}
    return said if told else said | {"reason": reason(confidence, least)}


def reason(confidence: float, least: float) -> str:
    """Why there is no answer, with as many digits as it takes to see it."""
    if least >= 1:
        return "min_probability 1 leaves every photo to people"
    digits = next(n for n in range(2, 7) if n == 6 or f"{confidence:.{n}f}" != f"{least:.{n}f}")
    return f"its confidence {confidence:.{digits}f} is below min_probability {least:.{digits}f}"


def mask_confidence(probabilities: Array, thresholds: Array) -> float:
    """The mean probability of the cells that are given a class; where none is, the background's where it is least."""
    ratios = probabilities / thresholds.astype(np.float32)
    highest = np.arange(len(thresholds)) == ratios.argmax(axis=-1)[..., None]
    marked = highest & (ratios > 1)
    if marked.any():
        return float(probabilities[marked].mean(dtype=np.float64))
    return float(np.clip(1 - probabilities.sum(axis=-1, dtype=np.float64).max(), 0, 1))


def decide_mask(grid: Array, size: tuple[int, int], thresholds: list[float]) -> Array:
    """The class of every pixel, uint8 (height, width): the one highest over its threshold, 0 where none is above.

    Args:
        grid: float32 (h, w, K), the first of K are the probabilities of the classes.
        size: (width, height) of the photo.
        thresholds: of the classes.
    """
    highest, mask = np.ones(size[::-1], np.float32), np.zeros(size[::-1], np.uint8)
    for index, threshold in enumerate(thresholds):
        small = Image.fromarray(np.ascontiguousarray(grid[..., index], dtype=np.float32))
        large = np.asarray(small.resize(size, Image.Resampling.BILINEAR))
        ratio = np.clip(large, 0, 1) / np.float32(threshold)
        above = ratio > highest
        mask[above] = index + 1
        highest[above] = ratio[above]
    return mask


def free_name(stem: str, written: set[str]) -> Path:
    """The path of a mask: <stem>.png, or <stem>_2.png and so on where another photo of this run has that name."""
    names = (f"{stem}{'' if number == 1 else f'_{number}'}.png" for number in count(1))
    name = next(each for each in names if each.lower() not in written)
    written.add(name.lower())
    return Path(name)


def write_mask(path: Path, mask: Array, head: Mapping[str, Any]) -> None:
    """Writes class ids as an indexed PNG in the colours of the classes; the background is black."""
    image = Image.fromarray(mask)
    image.putpalette([value for color in [[0, 0, 0], *head["colors"].values()] for value in color])
    image.save(path)


# -- the runtimes; each needs only its own


def open_onnx(folder: Path, precision: str) -> Run:
    """Runs model.onnx with ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda images: dict(zip(names, session.run(names, dict(images)), strict=True))


def open_openvino(folder: Path, precision: str) -> Run:
    """Runs model.xml with OpenVINO, which would choose bfloat16 by itself where the processor has it."""
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32"}
    program = openvino.Core().compile_model(folder / "model.xml", "CPU", settings)
    names = [port.get_any_name() for port in program.outputs]
    return lambda images: dict(zip(names, program(dict(images)).values(), strict=True))


def open_litert(folder: Path, precision: str) -> Run:
    """Runs model.tflite with LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(folder / "model.tflite")).get_signature_runner()
    return lambda images: dict(runner(**images))


RUNTIMES: dict[str, Callable[[Path, str], Run]] = {
    "onnx": open_onnx,
    "openvino": open_openvino,
    "litert": open_litert,
}

if __name__ == "__main__":
    main()
