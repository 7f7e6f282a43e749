"""A small labelled set of drawn patches that tests can spoil: photos unlike each other, sharp, bright, labelled."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from carclf.checking.findings import Finding
from carclf.checking.survey import Survey, survey_data
from carclf.config import read_config

SIZE = (160, 120)  # width, height
SEVERITIES = ("minor", "severe", "whole")
SIDES = ("left", "right", "front")


class SmallSet:
    """Photos, labels, masks and a config below one folder, written by `write`."""

    def __init__(self, folder: Path, count: int = 24) -> None:
        self.folder = folder
        self.photos, self.masks = folder / "photos", folder / "masks"
        for path in (self.photos, self.masks):
            path.mkdir(parents=True)
        self.rows: list[dict[str, str]] = []
        for number in range(count):
            severity = SEVERITIES[number % 3]
            side = "NULL" if severity == "whole" else SIDES[number // 3 % 3]
            self.rows.append({"name": f"p{number:02}.png", "damage": severity, "location": side})
            write_photo(self.photos / f"p{number:02}.png", draw_patches(number))
            if severity != "whole":
                write_mask(self.masks / f"p{number:02}.png", value=1 + number % 2)
        self.heads: dict[str, dict[str, Any]] = {
            "severity": {"kind": "categorical", "labels": "severity.txt", "column": "damage", "none_label": "whole"},
            "location": {"kind": "multi_label", "labels": "location.txt"},
            "damage_mask": {
                "kind": "segmentation",
                "labels": "damage_mask.txt",
                "empty_where": {"column": "damage", "value": "whole"},
            },
        }
        self.annotations: list[dict[str, Any]] = [{"format": "masks", "path": "masks", "head": "damage_mask"}]
        self.label_files = {
            "severity": "\n".join(SEVERITIES),
            "location": "left; mirror=right\nright; mirror=left\nfront",
            "damage_mask": "dent; color=200,30,30\nscratch; color=30,30,200",
        }
        self.sections: dict[str, Any] = {
            "cross_validation": {"folds": 2},
            "check": {"rare_photos": 2},
            "workers": 2,
        }

    def write(self) -> Path:
        """Writes the table, the label files and the config; returns the config."""
        with (self.folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        for name, text in self.label_files.items():
            (self.folder / f"{name}.txt").write_text(text + "\n", encoding="utf-8")
        config = {
            "dataset": {"photos": "photos", "labels": "labels.csv", "annotations": self.annotations},
            "backbones": {"none": {"local": "nowhere"}},
            "embedded_fallback": True,  # its vectors group nothing, so pictures alone are compared
            "models": ["none"],
            "heads": self.heads,
        }
        path = self.folder / "config.json"
        path.write_text(json.dumps(config | self.sections), encoding="utf-8")
        return path

    def survey(self) -> Survey:
        """Writes everything and looks at it."""
        return survey_data(read_config(self.write()))

    def row(self, name: str) -> dict[str, str]:
        """The line of a photo."""
        return next(row for row in self.rows if row["name"] == name)

    def annotate(self, regions: Mapping[str, Sequence[tuple[float, float]]]) -> None:
        """Takes VIA polygons of class dent in place of the masks."""
        records = {
            name: {
                "filename": name,
                "regions": [
                    {
                        "shape_attributes": {
                            "name": "polygon",
                            "all_points_x": [x for x, _ in points],
                            "all_points_y": [y for _, y in points],
                        },
                        "region_attributes": {"damage": "dent"},
                    }
                ],
            }
            for name, points in regions.items()
        }
        (self.folder / "via.json").write_text(json.dumps(records), encoding="utf-8")
        self.annotations = [{"format": "via", "path": "via.json", "head": "damage_mask"}]


def draw_patches(seed: int) -> NDArray[np.uint8]:
    """Grey tiles of random brightness: uint8 (height, width, 3); no two seeds look alike to dHash."""
    random = np.random.default_rng(seed)
    tiles = random.integers(0, 256, (9, 12, 3))
    pixels = np.kron(tiles, np.ones((14, 14, 1)))[: SIZE[1], : SIZE[0]]
    return pixels.astype(np.uint8)


def write_photo(path: Path, pixels: NDArray[np.uint8], **options: Any) -> None:
    """Writes RGB pixels in the format of the suffix, or `format`."""
    Image.fromarray(pixels).save(path, **options)


def write_mask(path: Path, value: int = 1, size: tuple[int, int] = SIZE) -> None:
    """Writes a mask with a rectangle of one class id."""
    ids = np.zeros((size[1], size[0]), np.uint8)
    ids[10:30, 20:60] = value
    Image.fromarray(ids).save(path)


def found(survey: Survey, kind: str) -> list[Finding]:
    """The findings of one kind."""
    return [finding for finding in survey.findings if finding.kind == kind]


def the(survey: Survey, kind: str) -> Finding:
    """The only finding of a kind."""
    findings = found(survey, kind)
    assert len(findings) == 1, f"{kind}: {findings}; all: {[(each.kind, each.text) for each in survey.findings]}"
    return findings[0]
