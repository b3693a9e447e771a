"""Words to the compiler about loops over the few orders of a lane: it would make all of them fit for thousands."""

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


def _plainly(array: Any, row: int, column: int, value: int) -> int:
    """The same for kernels run as plain Python."""
    return int((array[row, column : column + 4] == value).any())


def _nothing() -> None:
    """Kernels run as plain Python need no word about it."""


few = _nothing if config.DISABLE_JIT else _few
among_four = _plainly if config.DISABLE_JIT else _among_four
