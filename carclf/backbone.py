"""A frozen backbone: photos -> vector and feature maps P2 … P5, through one engine, chosen by a rule.

Example:
    source = find_backbone("mobilenet", local=Path("keras/models/mobilenet"))
    backbone = load_backbone(source, image_size=224)
    vectors, maps = backbone.extract(images, maps=True)
"""

import logging
import math
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from carclf.engines import PRECISION, EngineError, Run
from carclf.errors import BackboneError, did_you_mean, raise_all
from carclf.hub import EMBEDDED, Source
from carclf.networks import Network, NetworkRequest, load_openvino_network, load_tensorflow_network

LOG = logging.getLogger(__name__)
ENGINES = ("auto", "openvino", "tensorflow")
SMALLEST_IMAGE = 32
"""Pixels; below, the map P5 would have no pixel left."""


@dataclass(frozen=True)
class Backbone:
    """A loaded backbone; its weights never change.

    Attributes:
        source: where it was found, its sha256 and whether it has seen drawn cars.
        image_size: pixels on each side of the photos it takes.
        input_range: what [0, 1] is stretched to before the network; [0, 1] of a joined one, whose parts stretch.
        engine: "openvino" or "tensorflow"; of a joined one whose parts differ in it, one after the other.
        engine_version: the version of that engine, or of those engines.
        precision: "f32".
        grid: (rows, columns) of the cells whose means are appended to the vector, or None.
        num_features: D, the length of the vector.
        map_shapes: level -> (height, width, channels).
        range_warning: why input_range looks wrong and which range fits, or "".
        parts: the backbones that were joined, () of a single one.
    """

    source: Source
    image_size: int
    input_range: tuple[float, float]
    engine: str
    engine_version: str
    precision: str
    grid: tuple[int, int] | None
    num_features: int
    map_shapes: dict[str, tuple[int, int, int]]
    range_warning: str
    run: Run = field(repr=False)
    parts: tuple["Backbone", ...] = ()

    @property
    def num_plain(self) -> int:
        """Length of the vector's part before the cells of the grid: what the SavedModels themselves give."""
        if self.parts:
            return sum(part.num_plain for part in self.parts)
        if self.grid is None:
            return self.num_features
        channels = self.map_shapes[max(self.map_shapes)][2]
        return self.num_features - self.grid[0] * self.grid[1] * channels

    def extract(
        self, images: NDArray[np.float32], maps: bool
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """Runs the network over a batch; a photo's result depends on nothing but the photo.

        Args:
            images: float32 (b, S, S, 3), RGB, in [0, 1].
            maps: whether the feature maps are wanted.

        Returns:
            The vectors, float32 (b, D), and level -> float32 (b, h, w, c), empty without maps.

        Raises:
            BackboneError: if the images have another shape than the network takes.
        """
        expected = (self.image_size, self.image_size, 3)
        if images.ndim != 4 or images.shape[1:] != expected:
            raise BackboneError(
                f"backbone {self.source.name}: images of shape {images.shape} were given, (batch, "
                f"{self.image_size}, {self.image_size}, 3) was expected."
            )
        if not len(images):
            empty = np.zeros((0, self.num_features), np.float32)
            return empty, {k: np.zeros((0, *s), np.float32) for k, s in self.map_shapes.items()} if maps else {}
        low, high = self.input_range
        scaled = images.astype(np.float32, copy=False)
        if (low, high) != (0.0, 1.0):
            scaled = scaled * np.float32(high - low) + np.float32(low)
        outputs = self.run(scaled, maps)
        return outputs.pop("vector"), outputs


@dataclass(frozen=True)
class LoadOptions:
    """What seldom differs between loads.

    Attributes:
        grid: (rows, columns) of the cells of the deepest map whose means are appended to the vector; None = none.
        threads: photos in the network at once; None = one for each core. Never changes a result.
        cache_dir: where the converted network is kept, so that the next load takes no TensorFlow; None =
            nowhere.
    """

    grid: tuple[int, int] | None = None
    threads: int | None = None
    cache_dir: Path | None = None


def load_backbone(
    source: Source,
    image_size: int = 224,
    input_range: tuple[float, float] = (0.0, 1.0),
    engine: str = "auto",
    options: LoadOptions | None = None,
) -> Backbone:
    """Loads a backbone for one image size.

    Args:
        source: what find_backbone found; loading a SavedModel runs its code, so it must be trusted.
        image_size: pixels on each side.
        input_range: the values that the network takes for black and white.
        engine: "openvino", "tensorflow", or "auto": OpenVINO if it converts the network and agrees with
            TensorFlow to 1e-4 on a first batch of drawn pictures, else TensorFlow, with one line that says
            why.
        options: grid, threads, and where the converted network is kept.

    Raises:
        BackboneError: for a wrong range or engine, or a network that cannot be used.
    """
    options = options or LoadOptions()
    input_range = range_of(source, input_range)
    _check_arguments(source, image_size, input_range, engine)
    threads = options.threads or os.cpu_count() or 1
    request = NetworkRequest(
        folder=source.folder,
        sha256=source.sha256,
        image_size=image_size,
        input_range=(float(input_range[0]), float(input_range[1])),
        grid=options.grid,
        trusted_range=source.input_range is not None,
    )
    if engine != "tensorflow":
        try:
            network, run = load_openvino_network(request, options.cache_dir, threads)
            return _make_backbone(source, request, "openvino", network, run)
        except EngineError as error:
            if engine == "openvino":
                raise
            LOG.warning("backbone %s: runs in TensorFlow, because %s", source.name, error)
    network, run = load_tensorflow_network(request, threads)
    return _make_backbone(source, request, "tensorflow", network, run)


def range_of(source: Source, given: tuple[float, float]) -> tuple[float, float]:
    """The values that a backbone takes for black and white.

    Where the embedded one stands in, they are its own: those given describe the backbone that was not found.
    """
    return source.input_range if source.source == EMBEDDED and source.input_range is not None else given


def _make_backbone(source: Source, request: NetworkRequest, engine: str, network: Network, run: Run) -> Backbone:
    if network.range_warning:
        LOG.warning("backbone %s: %s", source.name, network.range_warning)
    return Backbone(
        source=source,
        image_size=request.image_size,
        input_range=request.input_range,
        engine=engine,
        engine_version=network.engine_version,
        precision=PRECISION,
        grid=request.grid,
        num_features=network.num_features,
        map_shapes=network.map_shapes,
        range_warning=network.range_warning,
        run=run,
    )


def _check_arguments(source: Source, image_size: int, input_range: tuple[float, float], engine: str) -> None:
    problems = []
    where = f"backbone {source.name}"
    if engine not in ENGINES:
        known = ", ".join(ENGINES)
        guess = did_you_mean(engine, ENGINES)
        problems.append(f'{where}: engine "{engine}" is not known.{guess} Known ones: {known}.')
    low, high = input_range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        problems.append(f"{where}: input_range must be two increasing numbers such as [0, 1], not [{low:g}, {high:g}].")
    elif source.input_range is not None and tuple(input_range) != source.input_range:
        built_for = f"[{source.input_range[0]:g}, {source.input_range[1]:g}]"
        problems.append(f"{where}: input_range is [{low:g}, {high:g}], but it was built for {built_for}. Set that.")
    if image_size < SMALLEST_IMAGE:
        problems.append(f"{where}: image_size must be at least {SMALLEST_IMAGE} pixels, not {image_size}.")
    raise_all(BackboneError, problems)
