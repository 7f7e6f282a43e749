"""Several backbones joined into one: their vectors and maps side by side, of the same photo at the same size.

What one network does not see another may. Everything else takes the joined one for a backbone like any other.
"""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carclf.backbone import Backbone
from carclf.engines import PRECISION, Run
from carclf.errors import BackboneError, raise_all
from carclf.hub import Source

JOINED = "joined"
"""What stands for its source."""


def join_sources(name: str, parts: Sequence[tuple[Source, tuple[float, float]]]) -> Source:
    """Where the parts of a joined backbone were found, as one source.

    Args:
        name: the joined backbone's name in the config.
        parts: each part's source and the values that it takes for black and white. Both are in the hash of the joined
            one, whose own input range is always [0, 1].
    """
    sources = tuple(source for source, _ in parts)
    facts = [[source.sha256, *map(float, input_range)] for source, input_range in parts]
    return Source(
        name=name,
        source=JOINED,
        where=" + ".join(f"{source.name} ({source.source}: {source.where})" for source in sources),
        folder=Path(),
        sha256=sha256(json.dumps(facts).encode()).hexdigest(),
        seen_drawn_cars=any(source.seen_drawn_cars for source in sources),
        parts=sources,
    )


def join_backbones(source: Source, parts: Sequence[Backbone]) -> Backbone:
    """Joins loaded backbones of one image size and grid into one.

    Its vector holds the plain vectors of all parts, then the cells of all parts; a map holds the channels of all
    parts, part after part. Levels that a part lacks are left out.

    Args:
        source: what join_sources made of the parts' sources.
        parts: at least two, loaded with the same image size and grid.

    Raises:
        BackboneError: if maps of one level differ in height or width, which no network could read; names them.
    """
    levels = [level for level in parts[0].map_shapes if all(level in part.map_shapes for part in parts)]
    raise_all(BackboneError, [problem for level in levels if (problem := _differing_sides(source, parts, level))])
    warnings = [f"{part.source.name}: {part.range_warning}" for part in parts if part.range_warning]
    return Backbone(
        source=source,
        image_size=parts[0].image_size,
        input_range=(0.0, 1.0),
        engine=_said_once([part.engine for part in parts]),
        engine_version=_said_once([part.engine_version for part in parts]),
        precision=PRECISION,
        grid=parts[0].grid,
        num_features=sum(part.num_features for part in parts),
        map_shapes={level: _joined_shape(parts, level) for level in levels},
        range_warning=" ".join(warnings),
        run=_joined_run(tuple(parts), levels),
        parts=tuple(parts),
    )


def _differing_sides(source: Source, parts: Sequence[Backbone], level: str) -> str:
    sides = [part.map_shapes[level][:2] for part in parts]
    if len(set(sides)) == 1:
        return ""
    given = ", ".join(f"{h} × {w} in {part.source.name}" for part, (h, w) in zip(parts, sides, strict=True))
    return (
        f"backbone {source.name}: its parts have maps {level} of different sizes: {given}. "
        f"Set another backbones.{source.name}.image_size, or join others."
    )


def _joined_shape(parts: Sequence[Backbone], level: str) -> tuple[int, int, int]:
    height, width, _ = parts[0].map_shapes[level]
    return height, width, sum(part.map_shapes[level][2] for part in parts)


def _said_once(values: Sequence[str]) -> str:
    """The value that all parts share, or every part's, in their order."""
    return values[0] if len(set(values)) == 1 else " + ".join(values)


def _joined_run(parts: tuple[Backbone, ...], levels: Sequence[str]) -> Run:
    def run(images: NDArray[np.float32], maps: bool) -> dict[str, Any]:
        seen = [part.extract(images, maps) for part in parts]  # each stretches the photos to its own range
        plain = [vectors[:, : part.num_plain] for part, (vectors, _) in zip(parts, seen, strict=True)]
        cells = [vectors[:, part.num_plain :] for part, (vectors, _) in zip(parts, seen, strict=True)]
        outputs = {"vector": np.concatenate([*plain, *cells], axis=1)}  # (b, num_plain of all + cells of all)
        for level in levels if maps else ():
            outputs[level] = np.concatenate([each[level] for _, each in seen], axis=3)  # (b, h, w, channels of all)
        return outputs

    return run
