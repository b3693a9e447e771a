"""Memory for the state of kernels."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from tidewright.market.zeros import LARGE, LINE, large_pages, zeros

SMAPS = Path("/proc/self/smaps")


def flags_of(array: np.ndarray) -> list[str]:
    """What the system has been told of the memory of an array."""
    at, found = array.ctypes.data, False
    for line in SMAPS.read_text("utf-8").splitlines():
        if line[:1] in "0123456789abcdef":
            first, last = (int(end, 16) for end in line.split(" ", 1)[0].split("-"))
            found = first <= at < last
        elif found and line.startswith("VmFlags:"):
            return line.split()[1:]
    raise AssertionError("the array lies nowhere")


@pytest.mark.parametrize("rows", [3, LARGE // 16])
def test_zeros_begin_with_a_line_of_the_cache_and_are_zeros(rows):
    array = zeros((rows, 2), np.int64)
    assert array.shape == (rows, 2)
    assert array.ctypes.data % LINE == 0
    assert not array.any()
    large_pages(array)  # nothing changes
    array[:] = 1
    assert array.sum() == 2 * rows


@pytest.mark.skipif(not SMAPS.exists(), reason="no system that tells")
def test_large_ones_are_of_small_pages_unless_large_pages_are_asked_for():
    array = zeros((LARGE,), np.int64)
    if not {"nh", "hg"} & set(flags_of(array)):
        pytest.skip("a system without large pages")
    assert "hg" not in flags_of(array)
    large_pages(array.reshape(2, -1)[1:])
    assert "hg" in flags_of(array)


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is forked there")
def test_what_a_forked_process_writes_is_its_own():
    array = zeros((LARGE,), np.uint8)
    child = os.fork()
    if child == 0:
        array[:] = 1
        os._exit(0)
    os.waitpid(child, 0)
    assert not array.any()
