"""Compiling a user's function to a C function, once for each content of its file."""

import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Final, NamedTuple

import numpy as np
from numba import carray, cfunc, config, njit, typeof, types
from numba.core.caching import NullCache
from numba.core.dispatcher import Dispatcher

from tidewright.strategies import custom_call as at
from tidewright.strategies.custom_check import check
from tidewright.strategies.custom_errors import Caught, StrategyError, located, return_line
from tidewright.strategies.custom_loops import counted
from tidewright.strategies.custom_source import Sources
from tidewright.strategies.custom_words import in_words
from tidewright.strategies.declaration import Declaration
from tidewright.strategies.view import MAX_LEVELS, Quotes, View, new_quotes

_INTS: Final = types.CPointer(types.int64)
_FLOATS: Final = types.CPointer(types.float64)
_SIGNATURE: Final = types.int64(_INTS, _INTS, _FLOATS, _INTS, _FLOATS, _INTS, _INTS, _INTS, _INTS)

_NAME: Final = "tidewright_strategy_call_"

# carray gives the memory of the caller as arrays; nothing is copied.
_TEMPLATE: Final = '''"""How the engine calls a strategy of a user's file. Generated; may be deleted at any time."""


def call(block, seen, seen_f, row, row_f, bid_price, bid_qty, ask_price, ask_qty):
    i, f, p = carray(seen, {fields}), carray(seen_f, {fields}), carray(row_f, {count})
    view = View({view})
    if not p[{base_quantity}] / view.lot >= 1.0 - 1e-9:
        return int64(0)
    if carray(block, {block})[{faults}] >= {enough}:
        return int64(0)
    params = Params({params})
    quotes = Quotes(
        carray(bid_price, {levels}), carray(bid_qty, {levels}), carray(ask_price, {levels}), carray(ask_qty, {levels})
    )
    most = int64({most})
    clear(quotes, most)
    bids, asks, fault, index, value = int64(0), int64(0), int64(0), int64(0), int64(0)
    try:
        bids, asks = counts_of(quote(view, params, quotes))
    except Exception:
        fault = int64({raised})
    if fault == 0:
        fault, index, value = find_fault(quotes, bids, asks, most)
    if fault != 0:
        note_fault(carray(block, {block}), carray(seen, {fields}), carray(row, {count}), fault, index, value)
        return int64(0)
    return bids | asks << 32
'''


class Compiled(NamedTuple):
    """A strategy that is compiled.

    Attributes
    ----------
    address
        Of the C function.
    function
        What was compiled: the user's function with loops that end, see :mod:`tidewright.strategies.custom_loops`.
    keep
        What must be kept alive.
    """

    address: int
    function: FunctionType
    keep: Any


def compiled(declaration: Declaration, module: ModuleType, digest: str, files: Mapping[Path, bytes]) -> Compiled:
    """Compile a strategy, or load it from the disk cache.

    Parameters
    ----------
    module
        The user's file, loaded.
    files
        What it and the user's modules it imports held when they were read.
    digest
        Changes with everything that the compiled code depends on: names it in the disk cache.

    Raises
    ------
    StrategyError
        If the function cannot be compiled, with file and line.
    """
    sources = Sources(files)
    check(declaration, sources)
    function = counted(declaration.function, sources)
    name = f"{_NAME}{digest}"
    text = _text(declaration)
    path = _kept(name, text)
    quote = njit(boundscheck=True)(function)
    generated = ModuleType(name)
    # numba finds a module by name when it loads compiled code.
    sys.modules[name] = generated
    space = generated.__dict__
    space.update(
        View=View,
        Quotes=Quotes,
        Params=declaration.row_type,
        quote=quote,
        carray=carray,
        int64=np.int64,
        clear=at.clear,
        counts_of=at.counts_of,
        find_fault=at.find_fault,
        note_fault=at.note_fault,
    )
    exec(compile(text, path or f"<{name}>", "exec"), space)
    _forget_caches(module)
    _compile_parts(len(declaration.names))
    before = config.BOUNDSCHECK
    config.BOUNDSCHECK = 1  # of helpers too: what a strategy writes must stay within its buffers
    try:
        with Caught() as caught:
            made = cfunc(_SIGNATURE, cache=path is not None)(space["call"])
        if caught.error is not None:
            _explain(declaration, quote, sources)
            raise StrategyError(in_words(declaration, caught.error, sources)) from caught.error
    finally:
        config.BOUNDSCHECK = before
    return Compiled(int(made.address), function, made)


def _compile_parts(parameters: int) -> None:
    """Compile, or load, what calls share; before bounds are checked everywhere, which these do not need."""
    quotes, seen, row = new_quotes(), np.zeros(at.VIEW_FIELDS, np.int64), np.zeros(parameters, np.int64)
    at.clear(quotes, 0)
    at.find_fault(quotes, 0, 0, 0)
    at.note_fault(np.zeros(at.B_PARAMS + parameters, np.int64), seen, row, 0, 0, 0)


def _explain(declaration: Declaration, quote: Dispatcher, sources: Sources) -> None:
    """Compile the user's function alone, so that what is wrong with it is told in its own lines."""
    buffer = types.Array(types.int64, 1, "C")
    params = typeof(declaration.params())
    view = types.NamedTuple([types.float64 if f else types.int64 for f in at.FLOAT_FIELDS], View)
    arguments = (view, params, types.NamedUniTuple(buffer, len(Quotes._fields), Quotes))
    with Caught() as caught:
        quote.compile(arguments)
    if caught.error is not None:
        raise StrategyError(in_words(declaration, caught.error, sources)) from None
    result = quote.overloads[arguments].signature.return_type
    if not at.are_counts(result):
        shown = re.sub(r"Literal\[int\]\((-?\d+)\)", r"\1", str(result)).partition("(func=")[0]
        line = return_line(declaration.function)
        raise StrategyError(
            f"{located(declaration, line)}: {declaration.name} must return how many bids and how many asks it wrote, "
            f"two whole numbers; it returns {shown}"
        )


def _kept(name: str, text: str) -> Path | None:
    """The file of the generated code, beside which numba keeps what it compiles; ``None``: there is no cache."""
    if not config.CACHE_DIR:
        return None
    path = Path(config.CACHE_DIR) / "custom" / f"{name}.py"
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        number, temporary = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError:
        return None
    return path


def _forget_caches(module: ModuleType) -> None:
    """A helper that numba keeps on disk by itself was compiled without bounds checks, and may be stale."""
    for value in vars(module).values():
        if isinstance(value, Dispatcher) and not value.__module__.startswith("tidewright."):
            vars(value)["_cache"] = NullCache()


def _text(declaration: Declaration) -> str:
    names = declaration.names
    view = ", ".join(f"{'f' if is_float else 'i'}[{i}]" for i, is_float in enumerate(at.FLOAT_FIELDS))
    return _TEMPLATE.format(
        fields=at.VIEW_FIELDS,
        count=len(names),
        view=view,
        params=", ".join(f"p[{i}]" for i in range(len(names))),
        base_quantity=names.index("base_quantity"),
        levels=MAX_LEVELS,
        most=f"min(int64(p[{names.index('levels')}]), {MAX_LEVELS})" if "levels" in names else MAX_LEVELS,
        raised=at.RAISED,
        faults=at.B_COUNT,
        enough=at.ENOUGH,
        block=at.B_PARAMS + len(names),
    )
