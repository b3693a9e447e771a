"""Zeros for the state of kernels."""

import math
import mmap
from contextlib import suppress
from typing import Any, Final

import numpy as np
import numpy.typing as npt

LINE: Final = 64  # bytes of a line of the processor's cache
LARGE: Final = 1 << 20  # bytes


def zeros(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Zeros that begin where a line of the processor's cache does.

    Large ones come straight from the system, of which only what is touched is ever made: memory that the process used
    before would have to be wiped, and a window of prices is mostly empty. So they are of small pages, also where the
    system would make large ones, unless :func:`large_pages` asks for these.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size >= LARGE:
        memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        _advise(memory, "MADV_NOHUGEPAGE")
        return np.frombuffer(memory, dtype).reshape(shape)
    spare = np.zeros(size + LINE, np.uint8)
    skip = -spare.ctypes.data % LINE
    return spare[skip : skip + size].view(dtype).reshape(shape)


def large_pages(array: npt.NDArray[Any]) -> None:
    """Ask for large pages under a large array of :func:`zeros`: made 512 times as seldom, found faster, and 2 MB each.

    Changes nothing but time and memory, and nothing at all on a system that has none.
    """
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    if isinstance(base, mmap.mmap):
        _advise(base, "MADV_HUGEPAGE")


def _advise(memory: mmap.mmap, advice: str) -> None:
    """Tell the system, if it can be told, and has a kernel that listens."""
    with suppress(AttributeError, OSError):
        memory.madvise(getattr(mmap, advice))
