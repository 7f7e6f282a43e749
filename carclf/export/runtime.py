"""What runs an exported model: the same for every format."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Images = Mapping[str, NDArray[np.float32]]
"""name of an input (whole_graph.input_name) -> float32 (1, S, S, 3) in [0, 1]"""
Run = Callable[[Images], dict[str, NDArray[Any]]]
"""Answers one photo: head -> float32 (1, …). One thread at a time may call it."""
