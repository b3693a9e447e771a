"""Calling a strategy that is not compiled into the engine: through the address of a C function, one indirect call.

The engine's kernels stay in the disk cache whatever a user writes, because the user's code is data to them: the number
of a custom strategy is the address of a block of integers whose first is the address of a C function. The function
answers with two counts; what it finds wrong it notes in the block and answers none, since nothing can be raised
through a C call.
"""

from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic, overload
from numba.np.arrayobj import make_array

from tidewright.market.tape import F64, I64
from tidewright.strategies.view import Quotes, View

FIRST_ADDRESS: Final = 4096  # no block lies in the first page; strategies of the engine's own have small numbers

# The block, int64: where the function is, and the first fault since it was last looked at.
B_FUNCTION: Final = 0
B_FAULT: Final = 1
B_INDEX: Final = 2  # which quote of its side
B_VALUE: Final = 3  # the offending number
B_COUNT: Final = 4  # decisions at fault
ENOUGH: Final = 10  # after so many it is not called until they are looked at: each may have taken its time
B_VIEW: Final = 5  # the view's fields as 8 bytes each, then the parameters likewise
VIEW_FIELDS: Final = len(View._fields)
FLOAT_FIELDS: Final = tuple(View.__annotations__[name] is float for name in View._fields)
B_PARAMS: Final = B_VIEW + VIEW_FIELDS

NO_FAULT: Final = 0
RAISED: Final = 1
BIDS: Final = 2  # count out of range
ASKS: Final = 3
BID_PRICE: Final = 4  # not a positive number of ticks
BID_QTY: Final = 5
ASK_PRICE: Final = 6
ASK_QTY: Final = 7

LARGEST: Final = 1 << 53  # ticks and lots of one quote: whole numbers a float64 can tell apart
LARGEST_WORTH: Final = float(1 << 57)  # tick*lots: sums of a side's quotes stay within int64


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def clear(quotes: Quotes, most: int) -> None:
    """Empty what may be counted: what another lane left is not seen, and what is not written does not pass."""
    for k in range(most):  # one array after the other: four short fills
        quotes.bid_price[k] = 0
    for k in range(most):
        quotes.bid_qty[k] = 0
    for k in range(most):
        quotes.ask_price[k] = 0
    for k in range(most):
        quotes.ask_qty[k] = 0


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def find_fault(quotes: Quotes, bids: int, asks: int, most: int) -> tuple[int, int, int]:
    """What is wrong with a strategy's answer: fault, which quote, and the value; NO_FAULT if nothing is."""
    if bids < 0 or bids > most:
        return BIDS, 0, bids
    if asks < 0 or asks > most:
        return ASKS, 0, asks
    for k in range(bids):
        price, qty = quotes.bid_price[k], quotes.bid_qty[k]
        if price <= 0 or price > LARGEST:
            return BID_PRICE, k, price
        if qty <= 0 or qty > LARGEST or np.float64(price) * np.float64(qty) > LARGEST_WORTH:
            return BID_QTY, k, qty
    for k in range(asks):
        price, qty = quotes.ask_price[k], quotes.ask_qty[k]
        if price <= 0 or price > LARGEST:
            return ASK_PRICE, k, price
        if qty <= 0 or qty > LARGEST or np.float64(price) * np.float64(qty) > LARGEST_WORTH:
            return ASK_QTY, k, qty
    return NO_FAULT, 0, 0


@njit(cache=True, _nrt=False)  # type: ignore[misc]
def note_fault(block: I64, seen: I64, row: I64, fault: int, index: int, value: int) -> None:
    """Note a fault with the view and the parameters it came from, if it is the first; count it in any case."""
    block[B_COUNT] += 1
    if block[B_FAULT] != NO_FAULT:
        return
    block[B_FAULT] = fault
    block[B_INDEX] = index
    block[B_VALUE] = value
    for i in range(VIEW_FIELDS):
        block[B_VIEW + i] = seen[i]
    for i in range(len(row)):
        block[B_PARAMS + i] = row[i]


def counts_of(answer: tuple[int, int]) -> tuple[int, int]:
    """How many bids and asks a strategy says it wrote; compiles for two whole numbers only."""
    return answer


def are_counts(kind: Any) -> bool:
    """Whether a type is that of two whole numbers."""
    return isinstance(kind, types.BaseTuple) and len(kind) == 2 and all(isinstance(p, types.Integer) for p in kind)


@overload(counts_of, strict=False)  # type: ignore[misc]
def _counts_of(answer: Any) -> Any:
    if are_counts(answer):
        return lambda answer: (np.int64(answer[0]), np.int64(answer[1]))
    return None


@intrinsic  # type: ignore[misc]
def _call(typing_context: Any, block: Any, view: Any, params: Any, quotes: Any) -> Any:
    """Call the function of a block; how many bids and asks it wrote."""
    if not (isinstance(params, types.Array) and params.layout == "C" and params.dtype == types.float64):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word, double = ir.IntType(64), ir.DoubleType()
        table = builder.inttoptr(arguments[0], word.as_pointer())
        seen = cgutils.alloca_once(builder, ir.ArrayType(word, VIEW_FIELDS))
        for i, is_float in enumerate(FLOAT_FIELDS):
            value = builder.extract_value(arguments[1], i)
            value = context.cast(builder, value, view.types[i], types.float64 if is_float else types.int64)
            stored = builder.bitcast(value, word) if is_float else value
            builder.store(stored, cgutils.gep_inbounds(builder, seen, 0, i))
        data = [make_array(params)(context, builder, arguments[2]).data]
        for i, kind in enumerate(quotes.types):
            data.append(make_array(kind)(context, builder, builder.extract_value(arguments[3], i)).data)
        passed = [
            table,
            builder.bitcast(seen, word.as_pointer()),
            builder.bitcast(seen, double.as_pointer()),
            builder.bitcast(data[0], word.as_pointer()),
            *data,
        ]
        kind = ir.FunctionType(word, [value.type for value in passed])
        function = builder.inttoptr(builder.load(table), kind.as_pointer())
        counts = builder.call(function, passed)
        bids = builder.and_(counts, ir.Constant(word, 0xFFFFFFFF))
        return context.make_tuple(builder, signature.return_type, [bids, builder.ashr(counts, ir.Constant(word, 32))])

    return types.UniTuple(types.int64, 2)(types.int64, view, params, quotes), generate


PLAIN: Final[dict[int, Any]] = {}  # (view, row, quotes) functions by address of block, for NUMBA_DISABLE_JIT=1


def _call_plain(block: int, view: View, params: F64, quotes: Quotes) -> tuple[int, int]:
    counts: tuple[int, int] = PLAIN[block](view, params, quotes)
    return counts


call = _call_plain if config.DISABLE_JIT else _call
"""Call the function behind the address of a block; for :mod:`tidewright.strategies.dispatch`."""
