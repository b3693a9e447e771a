"""The state as a kernel sees it: one address, behind which lie all arrays.

A tuple of thirty arrays as an argument is unpacked into hundreds of values at every call between kernels, which costs
minutes of compile time and nanoseconds at every call. A table of addresses and shapes, read where an array is used,
costs neither, and arrays without an owner need no reference counts. The table must outlive the call, and does: the
engine's owner holds it with the arrays.
"""

from functools import partial, reduce
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core.imputils import lower_getattr
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, intrinsic, models, register_model

from tidewright.engine import layout as at
from tidewright.engine.layout import State
from tidewright.market.tape import I64

_ENTRY: Final = 4  # int64 of the table an array takes: address and up to three dimensions

# Array: element type, dimensions, and those of the inner dimensions that never change.
_ARRAYS: Final[dict[str, tuple[Any, int, tuple[int, ...]]]] = {
    "qty": (types.int64, 1, ()),
    "mark": (types.uint8, 1, ()),
    "tail": (types.int64, 1, ()),
    "taken_head": (types.int32, 1, ()),
    "epoch": (types.int32, 1, ()),
    "reg": (types.int64, 1, ()),
    "cfg": (types.int64, 1, ()),
    "cfg_f": (types.float64, 1, ()),
    "features": (types.float64, 1, ()),
    "node": (types.int32, 2, (at.NODE_FIELDS,)),
    "node_q": (types.float64, 2, (at.NODE_Q_FIELDS,)),
    "resting": (types.int32, 1, ()),
    "listed": (types.int32, 1, ()),
    "order": (types.int64, 2, (at.ORDER_FIELDS,)),
    "place": (types.int32, 2, (at.PLACE_FIELDS,)),
    "lane": (types.int64, 2, (at.LANE_FIELDS,)),
    "lane_f": (types.float64, 2, (at.LANE_F_FIELDS,)),
    "tag": (types.int64, 2, (at.TAG_FIELDS,)),
    "alive": (types.int32, 2, ()),
    "params": (types.float64, 2, ()),
    "msg": (types.int32, 1, ()),
    "batch": (types.int64, 2, (at.BATCH_FIELDS,)),
    "call": (types.int64, 2, (at.CALL_FIELDS,)),
    "waiting": (types.int64, 2, (2,)),
    "known": (types.int64, 2, (at.KNOWN_FIELDS,)),
    "taken": (types.int64, 2, (at.TAKEN_FIELDS,)),
    "capture": (types.int64, 2, (at.CAPTURE_FIELDS,)),
    "log": (types.int64, 2, (at.LOG_FIELDS,)),
    "curve_ts": (types.int64, 1, ()),
    "curve": (types.float64, 2, ()),
    "target": (types.int64, 2, (at.TARGET_WIDTH,)),
    "stop": (types.int64, 2, (at.STOP_FIELDS,)),
    "latency": (types.int64, 2, (at.LATENCY_FIELDS,)),
    "tally": (types.float64, 1, ()),
    "recent": (types.int64, 2, ()),
    "priced": (types.int64, 2, (at.PRICED_FIELDS,)),
    "funding": (types.int64, 2, (at.PAID_FIELDS,)),
}
# Arrays of which no kernel asks the length: their first dimension is said to be 0, and numba's care for indices that
# count from the end, which nothing here uses, folds away. (Elsewhere an index of type uint64 does the same.)
_UNSIZED: Final = frozenset(
    "qty mark tail taken_head epoch reg cfg cfg_f features node node_q resting listed order place "
    "lane lane_f tag alive params target tally recent priced funding".split()
)
_PLACES: Final = {name: index for index, name in enumerate(_ARRAYS)}
assert tuple(_ARRAYS) == State._fields


def table(state: State) -> I64:
    """Addresses and shapes of a state's arrays; valid while the state lives and none of its arrays is replaced."""
    entries = np.zeros(len(_ARRAYS) * _ENTRY, np.int64)
    for name, (element, dimensions, inner) in _ARRAYS.items():
        array = getattr(state, name)
        assert array.ndim == dimensions and array.flags.c_contiguous and array.dtype == np.dtype(str(element)), name
        assert array.shape[dimensions - len(inner) :] == inner, name
        first = _PLACES[name] * _ENTRY
        entries[first] = array.ctypes.data
        entries[first + 1 : first + 1 + dimensions] = array.shape
    if config.DISABLE_JIT:
        _INTERPRETED[int(entries.ctypes.data)] = state
    return entries


class StateType(types.Type):  # type: ignore[misc]
    """Numba's type of a state behind an address."""

    def __init__(self) -> None:
        super().__init__(name="tidewright_engine_state")


STATE_TYPE: Final = StateType()


@register_model(StateType)
class _StateModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, ir.IntType(64))


_INTERPRETED: Final[dict[int, State]] = {}  # states by address, for kernels run as plain Python (NUMBA_DISABLE_JIT=1)


@intrinsic  # type: ignore[misc]
def _state_at(typing_context: Any, address: Any) -> Any:
    """The state behind the address of a table (int64)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return arguments[0]

    return STATE_TYPE(types.int64), generate


state_at = _INTERPRETED.__getitem__ if config.DISABLE_JIT else _state_at
"""The state behind the address of a table; for kernels."""


@infer_getattr
class _StateAttributes(AttributeTemplate):  # type: ignore[misc]
    key = StateType

    def generic_resolve(self, kind: Any, name: str) -> Any:
        if name not in _ARRAYS:
            return None
        element, dimensions, _ = _ARRAYS[name]
        return types.Array(element, dimensions, "C")


def _product(builder: Any, one: Any, other: Any) -> Any:
    """Product of two int64 of the code or numbers known now."""
    if isinstance(one, int) and isinstance(other, int):
        return one * other
    one, other = (ir.Constant(ir.IntType(64), each) if isinstance(each, int) else each for each in (one, other))
    return builder.mul(one, other)


def _pack(builder: Any, kind: Any, parts: list[Any]) -> Any:
    """A struct or array of parts: a constant, but for those that are not known now."""
    values = [
        _pack(builder, each, part)
        if isinstance(part, list)
        else ir.Constant(each, part)
        if part is None or isinstance(part, int)
        else part
        for each, part in zip(kind.elements, parts, strict=True)
    ]
    known = [value if isinstance(value, ir.Constant) else ir.Constant(value.type, ir.Undefined) for value in values]
    whole = ir.Constant(kind, known)
    for place, value in enumerate(values):
        if not isinstance(value, ir.Constant):
            whole = builder.insert_value(whole, value, place)
    return whole


def _lower(name: str) -> None:
    element, dimensions, inner = _ARRAYS[name]
    array_type = types.Array(element, dimensions, "C")

    @lower_getattr(StateType, name)  # type: ignore[misc]
    def generate(context: Any, builder: Any, kind: Any, value: Any) -> Any:
        word = ir.IntType(64)
        entries = builder.inttoptr(value, word.as_pointer())

        def entry(offset: int) -> Any:
            place = builder.gep(entries, [ir.Constant(word, _PLACES[name] * _ENTRY + offset)])
            loaded = builder.load(place)
            # A table never changes while a kernel runs, so it need not be read again after a store.
            loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
            return loaded

        item = context.get_abi_sizeof(context.get_data_type(element))
        outer = range(dimensions - len(inner))
        shape: list[Any] = [0 if i == 0 and name in _UNSIZED else entry(1 + i) for i in outer] + list(inner)
        strides: list[Any] = [item]
        for size in reversed(shape[1:]):
            strides.insert(0, _product(builder, strides[0], size))
        count = reduce(partial(_product, builder), shape)
        pointer = builder.inttoptr(entry(0), context.get_data_type(element).as_pointer())
        return _pack(builder, context.get_value_type(array_type), [None, None, count, item, pointer, shape, strides])


for _name in _ARRAYS:
    _lower(_name)
