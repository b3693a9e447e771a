"""Asking the processor for a line of memory before it is needed; changes nothing but time."""

from typing import Any

from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array


@intrinsic  # type: ignore[misc]
def _fetch(typing_context: Any, array: Any, row: Any, column: Any) -> Any:
    """Fetch the line in which a column of a row of an array lies; without columns, an element."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        held = make_array(signature.args[0])(context, builder, value=arguments[0])
        word, byte = ir.IntType(64), ir.IntType(8).as_pointer()
        place = builder.ptrtoint(held.data, word)
        for index, number in enumerate(arguments[1 : 1 + signature.args[0].ndim]):
            place = builder.add(place, builder.mul(number, builder.extract_value(held.strides, index)))
        kind = ir.FunctionType(ir.VoidType(), [byte, ir.IntType(32), ir.IntType(32), ir.IntType(32)])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        flags = [ir.Constant(ir.IntType(32), value) for value in (0, 3, 1)]  # to read, keep close, data
        builder.call(function, [builder.inttoptr(place, byte), *flags])
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64), generate


def _nothing(array: Any, row: int, column: int) -> None:
    """Kernels run as plain Python have nothing to fetch."""


fetch = _nothing if config.DISABLE_JIT else _fetch
