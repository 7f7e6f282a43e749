"""How the C library of Linux keeps free memory: by itself glibc does it so that a service looks as if it leaked.

- It gives up to eight heaps to each core, and the threads take turns: each grows to what the largest photo took.
- Once a buffer of up to 32 MB was freed, it takes such buffers from the heaps, too. What is freed within a heap stays
  with the process: after 4,000 broken photos, whose heads claim large pictures, 70 MB of 430.

Here there are few heaps, and every large buffer is memory of its own, which is given back when it is freed.
"""

import ctypes
import os
import sys
from contextlib import suppress

HEAPS = 2  # one for each batch that is answered
LARGE_BUFFER = 2**20  # bytes; pixels and masks of photos are larger, what lives long is smaller
_OPTIONS = {  # glibc's own variables -> numbers of the same options, from malloc.h
    "MALLOC_ARENA_MAX": (-8, HEAPS),
    "MALLOC_MMAP_THRESHOLD_": (-3, LARGE_BUFFER),
}


def bound_heaps() -> None:
    """Sets both, before threads are started; leaves what a variable sets, and does nothing without glibc."""
    if sys.platform != "linux":
        return
    for variable, (option, number) in _OPTIONS.items():
        if variable not in os.environ:
            with suppress(AttributeError, OSError):
                ctypes.CDLL(None).mallopt(option, number)
