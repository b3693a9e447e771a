"""Functions that kernels call: compiled as their parts, the same from Python, and what goes wrong in them is heard."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numba
import pytest
from numba import njit

from tidewright.market.inner import inlined, inner

compiled = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")


@inlined
def half(value: int) -> int:
    return value // 2


@inner
def steps(value: int, least: int) -> int:
    count = 0
    while value > least:
        value = half(value)
        count += 1
    return count


@inner
def share(part: int, whole: int) -> int:
    return part // whole


@njit  # type: ignore[misc]
def one(value: int) -> int:
    return steps(value, 1) + steps(value, least=2)


@njit  # type: ignore[misc]
def another(value: int) -> int:
    return 10 * one(value) + steps(value, 1)


@njit  # type: ignore[misc]
def divide(part: int, whole: int) -> int:
    return share(part, whole)


def test_inner_functions_are_parts_of_several_kernels_and_of_kernels_that_call_these() -> None:
    assert one(1024) == 19
    assert another(1024) == 200


def test_inner_functions_can_be_called_from_python() -> None:
    assert steps(1024, 1) == 10
    assert half(7) == 3


def test_an_error_in_an_inner_function_reaches_the_caller() -> None:
    assert divide(6, 3) == 2
    with pytest.raises(ZeroDivisionError):
        divide(1, 0)


@compiled
def test_a_number_in_the_source_asks_for_no_code_of_its_own() -> None:
    one(3)
    assert len(steps.typed) == 1


@compiled
def test_a_type_that_does_not_fit_names_the_place() -> None:
    with pytest.raises(numba.TypingError, match=r"test_inner\.py"):
        one("text")


MODULE = """
from numba import njit
from tidewright.market.inner import inlined, inner

@inlined
def twice(value):
    return 2 * value

@inner
def more(value):
    return twice(value) // (value - 5)

@njit(cache=True, _nrt=False)
def entry(value):
    return more(value)
"""
ASK = """
import kept_kernels
assert kept_kernels.entry(8) == 5
try:
    kept_kernels.entry(5)
except ZeroDivisionError:
    print(sum(kept_kernels.entry.stats.cache_hits.values()), len(getattr(kept_kernels.more, "typed", ())))
"""


@compiled
def test_a_call_with_too_few_arguments_names_what_is_missing() -> None:
    with pytest.raises(numba.TypingError, match=r"share: missing a required argument: 'whole'"):

        @njit("int64(int64)")  # type: ignore[misc]
        def kernel(value: int) -> int:
            return share(value)


def test_functions_of_one_name_are_different_ones() -> None:
    def adding(number: int) -> Callable[[int], int]:
        @inner
        def add(value: int) -> int:
            return value + number

        @njit  # type: ignore[misc]
        def kernel(value: int) -> int:
            return add(value)

        return kernel

    assert [adding(number)(10) for number in (1, 2)] == [11, 12]


@compiled
def test_a_kernel_is_kept_with_its_inner_functions(tmp_path: Path) -> None:
    (tmp_path / "kept_kernels.py").write_text(MODULE)
    path = os.pathsep.join([str(tmp_path), *sys.path])
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "kept"), "PYTHONPATH": path}
    answers = [
        subprocess.run([sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert answers == ["0 1\n", "1 0\n"]
