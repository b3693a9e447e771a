"""Zeros for the state of kernels."""

import math
import mmap
from typing import Any, Final

import numpy as np
import numpy.typing as npt

LINE: Final = 64  # bytes of a line of the processor's cache
LARGE: Final = 1 << 20  # bytes


def zeros(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Zeros that begin where a line of the processor's cache does.

    Large ones come straight from the system, of which only what is touched is ever made: memory that the process used
    before would have to be wiped, and a window of prices is mostly empty.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size >= LARGE:
        return np.frombuffer(mmap.mmap(-1, size), dtype).reshape(shape)
    memory = np.zeros(size + LINE, np.uint8)
    skip = -memory.ctypes.data % LINE
    return memory[skip : skip + size].view(dtype).reshape(shape)
