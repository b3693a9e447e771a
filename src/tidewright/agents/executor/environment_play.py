"""A step of many cohorts in one call: each is steered, replays the market up to its next decision, and is looked at.

With few lanes a cohort, calling three kernels for each from Python, one thread at a time, takes as long as a quarter of
what they do. What a cohort is made of is told by address, a row of numbers each.
"""

import ctypes
from typing import Any, Final

import numpy as np
from numba import carray, config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from tidewright.agents.executor.environment import F32, Bool
from tidewright.agents.executor.environment_kernel import FLOW, hear, look, shape
from tidewright.agents.executor.state import MEMORY
from tidewright.engine.kernel import run
from tidewright.engine.layout import CFG_CYCLE, CFG_FEED, LOOK, NEVER, NEXT_DECISION, ROWS
from tidewright.engine.reference import state_at
from tidewright.market.tape import F64, I64

# What a row says of a cohort, int64; addresses are of arrays that live as long as its episode.
ENGINE: Final = 0  # address of its engine's state
LANES: Final = 1
FIRST: Final = 2  # of its lanes among all
COLUMNS: Final = 3  # addresses of the tape's six columns
COUNT: Final = 9  # rows of the tape
ROW: Final = 10  # first row not yet read
HEARD: Final = 11  # first row of which the trades are not yet taken in; -1: nobody listens
LEFT: Final = 12  # decisions until the episode is cut
STATUS: Final = 13  # LOOK, or what stopped the engine before its next decision
READY: Final = 14  # 0: its quantities are not fixed yet, so that it is left to be looked at
REMEMBERED: Final = 15  # address of what is remembered of its lanes
TRADES: Final = 16  # address of what is heard of trades
OBSERVATION: Final = 17  # address of what its lanes see
FIELDS: Final = 18

_COLUMN: Final = types.Array(types.int64, 1, "C", readonly=True)
_BYTES: Final = types.Array(types.uint8, 1, "C", readonly=True)
_TAKEN: Final = (types.int64, _COLUMN, _COLUMN, _BYTES, _BYTES, _COLUMN, _COLUMN, types.int64, types.int64)
_GIVEN: Final = types.UniTuple(types.int64, 2)


def replay_at() -> int:
    """Address of the compiled replay, for :func:`play`; 0: kernels run as plain Python.

    A kernel that called it by name would have all of it compiled again as a part of itself.
    """
    if config.DISABLE_JIT:
        return 0
    run.compile(_TAKEN)
    compiled = run.overloads[_TAKEN]
    return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))


@intrinsic  # type: ignore[misc]
def _pointer(typing_context: Any, address: Any) -> Any:
    """A pointer from an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), generate


@intrinsic  # type: ignore[misc]
def _call(
    typing_context: Any, at: Any, engine: Any, ts: Any, ts_local: Any, kind: Any, flags: Any, price: Any, qty: Any,
    row: Any, until: Any,
) -> Any:  # fmt: skip
    """What stands at an address, called as :func:`tidewright.engine.kernel.run`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        calls = context.call_conv
        there = builder.inttoptr(arguments[0], calls.get_function_type(_GIVEN, _TAKEN).as_pointer())
        status, given = calls.call_function(builder, there, _GIVEN, _TAKEN, arguments[1:])
        with cgutils.if_unlikely(builder, status.is_error):
            calls.return_status_propagate(builder, status)
        return given

    column, octets = types.Array(types.int64, 1, "C"), types.Array(types.uint8, 1, "C")
    taken = (types.int64, types.int64, column, column, octets, octets, column, column, types.int64, types.int64)
    return _GIVEN(*taken), generate


def _plain_pointer(address: int) -> Any:
    return ctypes.c_void_p(address)


def _plain_call(at: int, *taken: Any) -> tuple[int, int]:
    return run(*taken)  # type: ignore[no-any-return]


def _plain_array(pointer: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(pointer.value), dtype).reshape(shape)


pointer, call, array = (_plain_pointer, _plain_call, _plain_array) if config.DISABLE_JIT else (_pointer, _call, carray)


@njit(cache=True, nogil=True)  # type: ignore[misc]
def play(
    replay: int,
    table: I64,
    most: int,
    ruin: float,
    continuous: F32,
    discrete: I64,
    seen: F32,
    led_to: F32,
    terms: F32,
    ruined: Bool,
    scratch: F64,
) -> int:
    """Take a decision in each of some cohorts and run to the next.

    Parameters
    ----------
    replay
        See :func:`replay_at`.
    table
        Shape (cohorts, FIELDS), int64; overwritten.
    most
        Levels a side.
    ruin
        See :func:`tidewright.agents.executor.environment_kernel.look`.
    continuous, discrete
        Actions of all lanes, see :func:`tidewright.agents.executor.environment_kernel.steer`.
    seen, led_to, terms, ruined
        What all lanes see, what their actions led to, parts of the reward, and who is ruined; written for the cohorts
        that were looked at.
    scratch
        Shape (8,), float64: room to work in.

    Returns
    -------
    int
        How many cohorts are at the end of their episode, or were not looked at: their status is not LOOK, or they were
        not ready.
    """
    waiting = 0
    for cohort in range(len(table)):
        row = table[cohort]
        lanes, first, rows = row[LANES], row[FIRST], row[COUNT]
        engine = state_at(row[ENGINE])
        for lane in range(lanes):
            shape(engine.params[lane], continuous[first + lane], discrete[first + lane], most)
        ts = array(pointer(row[COLUMNS]), (rows,), np.int64)
        ts_local = array(pointer(row[COLUMNS + 1]), (rows,), np.int64)
        kind = array(pointer(row[COLUMNS + 2]), (rows,), np.uint8)
        flags = array(pointer(row[COLUMNS + 3]), (rows,), np.uint8)
        price = array(pointer(row[COLUMNS + 4]), (rows,), np.int64)
        qty = array(pointer(row[COLUMNS + 5]), (rows,), np.int64)
        start = row[ROW]
        status, reached = call(replay, row[ENGINE], ts, ts_local, kind, flags, price, qty, start, np.int64(-NEVER))
        engine.reg[ROWS] += reached - start
        row[STATUS], row[ROW] = status, reached
        row[LEFT] -= 1
        if status != LOOK or row[READY] == 0:
            waiting += 1
            continue
        flow = array(pointer(row[TRADES]), (FLOW,), np.float64)
        if row[HEARD] >= 0:
            until = engine.reg[NEXT_DECISION] - engine.cfg[CFG_CYCLE]
            row[HEARD] = hear(ts, ts_local, kind, flags, qty, row[HEARD], until, engine.cfg[CFG_FEED], flow)
        memory = array(pointer(row[REMEMBERED]), (lanes, MEMORY), np.float64)
        own = array(pointer(row[OBSERVATION]), (2, lanes, seen.shape[1]), np.float32)
        stop = first + lanes
        look(row[ENGINE], np.int64(0), ruin, memory, scratch, flow, own, terms[first:stop], ruined[first:stop])
        for lane in range(lanes):
            for k in range(seen.shape[1]):
                seen[first + lane, k] = own[0, lane, k]
                led_to[first + lane, k] = own[1, lane, k]
        if row[LEFT] <= 0:
            waiting += 1
    return waiting
