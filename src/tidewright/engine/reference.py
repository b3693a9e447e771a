"""The state as a kernel sees it: one address, behind which lie all arrays.

A tuple of thirty arrays as an argument is unpacked into hundreds of values at every call between kernels, which costs
minutes of compile time and nanoseconds at every call. A table of addresses and shapes, read where an array is used,
costs neither, and arrays without an owner need no reference counts. The table must outlive the call, and does: the
engine's owner holds it with the arrays.
"""

from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core.imputils import lower_getattr
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, intrinsic, models, register_model
from numba.np.arrayobj import make_array, populate_array

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
}
# Arrays of which no kernel asks the length: their first dimension is said to be 0, and numba's care for indices that
# count from the end, which nothing here uses, folds away. (Elsewhere an index of type uint64 does the same.)
_UNSIZED: Final = frozenset(
    "qty mark tail taken_head epoch reg cfg cfg_f features node node_q resting listed order place "
    "lane lane_f tag alive params target tally recent".split()
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

        outer = dimensions - len(inner)
        shape = [entry(1 + i) for i in range(outer)] + [ir.Constant(word, size) for size in inner]
        item = context.get_abi_sizeof(context.get_data_type(element))
        strides = [ir.Constant(word, item)]
        for size in reversed(shape[1:]):
            strides.insert(0, builder.mul(strides[0], size))
        if name in _UNSIZED:
            shape[0] = ir.Constant(word, 0)
        array = make_array(array_type)(context, builder)
        pointer = builder.inttoptr(entry(0), context.get_data_type(element).as_pointer())
        populate_array(array, pointer, shape, strides, ir.Constant(word, item), None)
        return array._getvalue()


for _name in _ARRAYS:
    _lower(_name)
