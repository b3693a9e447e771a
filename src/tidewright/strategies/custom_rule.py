"""A user's strategy at work: the block its calls go through, and what went wrong in them told with the line."""

import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
from numba import config

from tidewright.market.tape import F64, I64
from tidewright.strategies import custom_call as at
from tidewright.strategies.custom_errors import Caught, StrategyError, interpretable, line_of, located, return_line
from tidewright.strategies.custom_loops import ENDLESS
from tidewright.strategies.declaration import Declaration
from tidewright.strategies.view import MAX_LEVELS, Quotes, View, new_quotes

_SAID: Final = {
    at.BIDS: "returned {value} bids, but 0 to {most} may be quoted",
    at.ASKS: "returned {value} asks, but 0 to {most} may be quoted",
    at.BID_PRICE: "wrote {value} as price of bid {index}, but {price}",
    at.BID_QTY: "wrote {value} as quantity of bid {index}, but {quantity}",
    at.ASK_PRICE: "wrote {value} as price of ask {index}, but {price}",
    at.ASK_QTY: "wrote {value} as quantity of ask {index}, but {quantity}",
}
_PRICE: Final = "a price is a whole number of ticks, 1 to 2^53"
_QUANTITY: Final = "a quantity is a whole number of lots, at least 1, and at most 2^57 tick*lots are quoted at a price"
_ARRAY: Final = {at.BID_PRICE: "bid_price", at.BID_QTY: "bid_qty", at.ASK_PRICE: "ask_price", at.ASK_QTY: "ask_qty"}
_WORDS: Final = {"price": "price", "qty": "quantity"}
_NOT_A_NUMBER: Final = np.iinfo(np.int64).min  # what x86 makes of a NaN or an infinity


class CustomRule:
    """One user of a compiled strategy: an engine or an executor. Faults of one are not seen by another.

    Parameters
    ----------
    address
        Of the compiled C function; 0: there is none, kernels run as plain Python.
    function
        What was compiled, to be run again as plain Python; ``None``: as declared.
    keep
        Held as long as this is, so that the code stays in memory.
    """

    def __init__(self, declaration: Declaration, address: int = 0, function: Any = None, keep: Any = None) -> None:
        self._declaration, self._keep = declaration, keep
        self._function = function or declaration.function
        self._endless: tuple[str, int] | None = None
        self._block: I64 = np.zeros(at.B_PARAMS + len(declaration.names), np.int64)
        self._block[at.B_FUNCTION] = address
        if config.DISABLE_JIT:
            at.PLAIN[self.number] = self._call_plain

    @property
    def number(self) -> int:
        """What stands for the strategy in a call of ``dispatch.quote``, as long as this object lives."""
        return int(self._block.ctypes.data)

    def check(self) -> None:
        """Raise if a call since the last look was at fault.

        Raises
        ------
        StrategyError
            With the line, what it saw and its parameters.
        """
        told = self.take_fault()
        if told:
            raise StrategyError(told)

    def take_fault(self) -> str:
        """What was wrong with the first call at fault since the last look; empty if none was."""
        block = self._block
        if block[at.B_FAULT] == at.NO_FAULT:
            return ""
        kept = block.copy()
        block[at.B_FAULT : at.B_VIEW] = 0
        return self._tell(kept)

    def _tell(self, block: I64) -> str:
        declaration = self._declaration
        file = Path(declaration.function.__code__.co_filename)
        view, params = self._seen(block)
        fault, index = int(block[at.B_FAULT]), int(block[at.B_INDEX])
        known = self._endless if fault == at.RAISED else None
        said, line = known or self._again(view, params, fault, index, file)
        if said.endswith(ENDLESS):  # finding out takes a second: a session asks at every decision
            self._endless = said, line
        if not said and fault in _ARRAY and not line and block[at.B_VALUE] == 0:
            said = f"counted {_ARRAY[fault][:3]} {index}, but wrote no {_WORDS[_ARRAY[fault][4:]]} for it"
        if not said:
            most = int(params.levels) if "levels" in declaration.names else MAX_LEVELS
            value = int(block[at.B_VALUE])
            shown = f"{value} (what NaN or infinity becomes)" if value == _NOT_A_NUMBER else value
            template = _SAID.get(fault, "raised an error that plain Python does not raise")
            said = template.format(value=shown, index=index, most=most, price=_PRICE, quantity=_QUANTITY)
        where = located(None, line or return_line(declaration.function), file)
        given = ", ".join(f"{name} {value:g}" for name, value in zip(declaration.names, params, strict=True))
        count = int(block[at.B_COUNT])
        least = "at least " if count >= at.ENOUGH else ""
        more = f"; {least}{count} decisions were at fault" if count > 1 else ""
        return (
            f"{where}: {declaration.name} {said}; at {view.now_ns} ns with position {view.position} lots, mid2 "
            f"{view.mid2}, volatility {view.volatility:g} and {given}{more}"
        )

    def _seen(self, block: I64) -> tuple[View, Any]:
        """View and parameters of the first fault."""
        words = block[at.B_VIEW : at.B_PARAMS]
        fields = zip(words.tolist(), words.view(np.float64).tolist(), at.FLOAT_FIELDS, strict=True)
        view = View(*(real if is_float else whole for whole, real, is_float in fields))
        row = block[at.B_PARAMS :].view(np.float64).tolist()
        return view, self._declaration.row_type(*row)

    def _again(self, view: View, params: Any, fault: int, index: int, file: Path) -> tuple[str, int]:
        """Run the same call as plain Python: what it raises, if it does, and the line."""
        quotes, lines = _watched()
        divide: Any = "raise" if fault == at.RAISED else "ignore"  # as numba does: a division by zero is an error
        answer = None
        with Caught() as caught, np.errstate(divide=divide, over="ignore", invalid="ignore"):
            answer = interpretable(self._function)(view, params, quotes)
        if (error := caught.error) is not None:
            return f"raised {type(error).__name__}: {error}", line_of(error.__traceback__, file)
        if not isinstance(answer, tuple):
            return f"returned {answer!r}, but how many bids and asks it wrote is asked for", 0
        return "", lines.get((_ARRAY.get(fault, ""), index), 0)

    def _call_plain(self, view: View, row: F64, quotes: Quotes) -> tuple[int, int]:
        """The same as the compiled call, for kernels run as plain Python: errors are raised where they happen."""
        params = self._declaration.row_type(*row.tolist())
        if not params.base_quantity / view.lot >= 1.0 - 1e-9:
            return 0, 0
        most = int(params.levels) if "levels" in self._declaration.names else MAX_LEVELS
        at.clear(quotes, most)
        bids, asks = self._declaration.function(view, params, quotes)
        fault, index, value = at.find_fault(quotes, bids, asks, most)
        if fault != at.NO_FAULT:
            words = [
                np.float64(x).view(np.int64) if is_float else np.int64(x)
                for x, is_float in zip(view, at.FLOAT_FIELDS, strict=True)
            ]
            at.note_fault(self._block, np.array(words, np.int64), row.view(np.int64), fault, index, value)
            return 0, 0
        return bids, asks


class _Watched(np.ndarray[Any, Any]):
    """Remembers which line wrote an entry."""

    where: dict[tuple[str, int], int]
    name: str

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(index, value)
        line = sys._getframe(1).f_lineno
        written = range(*index.indices(len(self))) if isinstance(index, slice) else [int(index) % len(self)]
        for place in written:
            self.where[self.name, place] = line


def _watched() -> tuple[Quotes, dict[tuple[str, int], int]]:
    """Fresh buffers, and the lines that wrote their entries."""
    lines: dict[tuple[str, int], int] = {}
    arrays = []
    for name, plain in zip(Quotes._fields, new_quotes(), strict=True):
        array = plain.view(_Watched)
        array.where, array.name = lines, name
        arrays.append(array)
    return Quotes(*arrays), lines
