"""What the language has no words for: loops over a lane's few orders, which the compiler would make fit for thousands,
and searches in long arrays, eight places at a time.
"""

from typing import Any

from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array


@intrinsic  # type: ignore[misc]
def _few(typing_context: Any) -> Any:
    """Say that the loop it is called in runs a few times: no instruction, but one that vectors cannot hold."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = builder.asm(ir.FunctionType(ir.VoidType(), []), "", "", [], True)
        word.attributes.add("nounwind")
        # It touches no memory of ours: else arrays' addresses would be read again. (llvmlite knows older words only.)
        set.add(word.attributes, "memory(inaccessiblemem: readwrite)")
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic  # type: ignore[misc]
def _among_four(typing_context: Any, array: Any, row: Any, column: Any, value: Any) -> Any:
    """Not 0 if one of four int64 in a row of an array, from a column on, is the value."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        held = make_array(signature.args[0])(context, builder, value=arguments[0])
        word, four = ir.IntType(64), ir.VectorType(ir.IntType(64), 4)
        place = builder.ptrtoint(held.data, word)
        for index, number in enumerate(arguments[1:3]):
            place = builder.add(place, builder.mul(number, builder.extract_value(held.strides, index)))
        there = builder.load(builder.inttoptr(place, four.as_pointer()), align=8)
        each = builder.insert_element(ir.Constant(four, ir.Undefined), arguments[3], ir.Constant(ir.IntType(32), 0))
        each = builder.shuffle_vector(each, each, ir.Constant(ir.VectorType(ir.IntType(32), 4), [0] * 4))
        equal = builder.bitcast(builder.icmp_signed("==", there, each), ir.IntType(4))
        return builder.zext(equal, word)

    return types.int64(array, types.int64, types.int64, types.int64), generate


def _last_of_eight(array: Any, first: Any, whole: bool) -> Any:
    """Type and code of a search among eight elements; ``whole``: int64 over 0, else bytes with bit 0 set."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        held = make_array(signature.args[0])(context, builder, value=arguments[0])
        word, eight = ir.IntType(64), ir.VectorType(ir.IntType(64 if whole else 8), 8)
        place = builder.gep(held.data, [arguments[1]])
        there = builder.load(builder.bitcast(place, eight.as_pointer()), align=8 if whole else 1)
        zero = ir.Constant(eight, None)
        if whole:
            found = builder.icmp_signed(">", there, zero)
        else:
            ones = ir.Constant(eight, [1] * 8)
            found = builder.icmp_signed("!=", builder.and_(there, ones), zero)
        mask = builder.zext(builder.bitcast(found, ir.IntType(8)), word)
        return builder.sub(ir.Constant(word, 63), builder.ctlz(mask, ir.Constant(ir.IntType(1), 0)))

    return types.int64(array, types.int64), generate


@intrinsic  # type: ignore[misc]
def _last_held(typing_context: Any, array: Any, first: Any) -> Any:
    """Which of the eight int64 from an index on is the last over 0, 0 to 7; -1: none is."""
    return _last_of_eight(array, first, True)


@intrinsic  # type: ignore[misc]
def _last_marked(typing_context: Any, array: Any, first: Any) -> Any:
    """Which of the eight bytes from an index on is the last whose bit 0 is set, 0 to 7; -1: none is."""
    return _last_of_eight(array, first, False)


def _plainly(array: Any, row: int, column: int, value: int) -> int:
    """The same for kernels run as plain Python."""
    return int((array[row, column : column + 4] == value).any())


def _plainly_held(array: Any, first: int) -> int:
    """The same for kernels run as plain Python."""
    return max((place for place in range(8) if array[first + place] > 0), default=-1)


def _plainly_marked(array: Any, first: int) -> int:
    """The same for kernels run as plain Python."""
    return max((place for place in range(8) if array[first + place] & 1), default=-1)


def _nothing() -> None:
    """Kernels run as plain Python need no word about it."""


few = _nothing if config.DISABLE_JIT else _few
among_four = _plainly if config.DISABLE_JIT else _among_four
last_held = _plainly_held if config.DISABLE_JIT else _last_held
last_marked = _plainly_marked if config.DISABLE_JIT else _last_marked
