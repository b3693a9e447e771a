"""Functions that only kernels call: typed once, and compiled as a part of each kernel that needs them.

numba compiles every jitted function by itself: optimises it together with all that it calls, emits machine code, and
makes it callable from Python. Nearly all functions of the engine are called by other kernels only, so nearly all of
that is thrown away. An inner function is lowered into the module of the kernel that calls it instead, which is
optimised and emitted once.
"""

from collections.abc import Callable
from functools import cache, cached_property, update_wrapper
from inspect import signature
from typing import Any, Final

from numba import config, njit, types
from numba.core import cgutils, typing
from numba.core.compiler import CompilerBase, Flags
from numba.core.compiler_machinery import LoweringPass, PassManager, register_pass
from numba.core.cpu import CPUContext
from numba.core.errors import TypingError
from numba.core.funcdesc import PythonFunctionDescriptor
from numba.core.imputils import lower_constant
from numba.core.ir_utils import build_definitions
from numba.core.lowering import Lower
from numba.core.registry import cpu_target
from numba.core.rewrites import rewrite_registry
from numba.core.ssa import reconstruct_ssa
from numba.core.targetconfig import ConfigStack
from numba.core.typed_passes import (
    IRLegalization,
    NoPythonSupportedFeatureValidation,
    NopythonTypeInference,
    PreLowerStripPhis,
)
from numba.core.untyped_passes import FixupArgs, GenericRewrites, InlineInlinables, ReconstructSSA, TranslateByteCode
from numba.extending import lower_builtin, models, register_model, typeof_impl


def inner(function: Callable[..., Any]) -> Any:
    """Make a function one that kernels can call; from Python it can be called too, and is compiled for that."""
    return function if config.DISABLE_JIT else _Inner(function, False)


def inlined(function: Callable[..., Any]) -> Any:
    """The same for a function whose code is to stand where it is called."""
    return function if config.DISABLE_JIT else _Inner(function, True)


class _Inner:
    """An inner function and what it is for the types it was called with."""

    def __init__(self, function: Callable[..., Any], inlined: bool) -> None:
        update_wrapper(self, function)
        self.py_func = function
        self.signature = signature(function)
        self.inlined = inlined
        self.kind = _InnerType(self)
        self.typed: dict[tuple[Any, ...], Any] = {}
        lower_builtin(self, types.VarArg(types.Any))(self.call)

    @cached_property
    def alone(self) -> Any:
        """The function as a kernel of its own."""
        return njit(cache=True, _nrt=False)(self.py_func)

    def __call__(self, *values: Any) -> Any:
        return self.alone(*values)

    def restype(self, kinds: tuple[Any, ...]) -> Any:
        """Type of the result for types of arguments."""
        if kinds not in self.typed:
            flags = _Flags()
            cpu_target.options.parse_as_flags(flags, {"nopython": True, "_nrt": False, "boundscheck": None})
            pipeline = _Typing(*_contexts(), None, kinds, None, flags, {})
            self.typed[kinds] = pipeline.compile_extra(self.py_func)
        return self.typed[kinds].return_type

    def call(self, context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """Write a call into the function that is being lowered; before the first of its module, the function itself."""
        state = self.typed[signature.args]
        described = state.described
        callee = context.declare_function(builder.module, described)
        if callee.is_declaration:
            library = context.active_code_library
            with ConfigStack().enter(state.flags.copy()), state.targetctx.push_code_library(library):
                lower = _LowerInto(state.targetctx, library, described, state.func_ir, state.metadata)
                lower.into(builder.module, self.inlined)
        status, result = context.call_conv.call_function(
            builder, callee, described.restype, described.argtypes, arguments
        )
        with cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return result


class _InnerType(types.Callable, types.Opaque):  # type: ignore[misc]
    """numba's type of an inner function."""

    def __init__(self, function: _Inner) -> None:
        self.function = function
        super().__init__(f"inner({function.py_func.__module__}.{function.py_func.__qualname__})")

    @property
    def key(self) -> Any:
        """What tells it from others, which may have its name."""
        return self.function

    def get_call_type(self, context: Any, args: Any, kws: Any) -> Any:
        """Signature of a call. A number in the source is one like others: it asks for no code of its own."""
        try:
            positional = self.function.signature.bind(*args, **kws).args
        except TypeError as error:
            raise TypingError(f"{self.function.py_func.__name__}: {error}") from None
        kinds = tuple(types.unliteral(each) for each in positional)
        return typing.signature(self.function.restype(kinds), *kinds).replace(pysig=self.function.signature)

    def get_call_signatures(self) -> tuple[list[Any], bool]:
        """Signatures known: any may come."""
        return [], True

    def get_impl_key(self, sig: Any) -> Any:
        """What the code is registered under."""
        return self.function


register_model(_InnerType)(models.OpaqueModel)


@typeof_impl.register(_Inner)  # type: ignore[misc]
def _typeof(value: Any, context: Any) -> Any:
    return value.kind


@lower_constant(_InnerType)  # type: ignore[misc]
def _no_value(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    return context.get_dummy_value()


class _Flags(Flags):  # type: ignore[misc]
    """All inner functions have the same flags; numba asks whether two are the same a hundred thousand times."""

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Flags) or super().__eq__(other)


class _Operation(types.Function):  # type: ignore[misc]
    """An operation that is asked once which signature fits some types: lowering asks what typing has asked before."""

    def __init__(self, templates: Any) -> None:
        super().__init__(templates)
        self.known: dict[Any, Any] = {}

    def get_call_type(self, context: Any, args: Any, kws: Any) -> Any:
        """Signature of a call."""
        if kws:
            return super().get_call_type(context, args, kws)
        if args not in self.known:
            self.known[args] = super().get_call_type(context, args, kws)
        return self.known[args]


register_model(_Operation)(models.OpaqueModel)


class _Remembering(typing.Context):  # type: ignore[misc]
    """A typing context that is asked once which signature fits an operation of some types: numba tries all it knows."""

    def __init__(self, context: Any) -> None:
        self.__dict__.update(context.__dict__)  # its tables are the same ones
        self.known: dict[tuple[Any, ...], Any] = {}
        self.operations: dict[Any, Any] = {}

    def refresh(self) -> None:
        """Nothing: the context of the kernel that is compiled has been refreshed."""

    def resolve_value_type(self, val: Any) -> Any:
        """Type of a value of the module or the language."""
        kind = super().resolve_value_type(val)
        if type(kind) is not types.Function:
            return kind
        if kind not in self.operations:
            self.operations[kind] = _Operation(kind.templates)
        return self.operations[kind]

    def resolve_function_type(self, func: Any, args: Any, kws: Any) -> Any:
        """Signature of a call."""
        if kws or (isinstance(func, types.Type) and not isinstance(func, types.Function)):
            return super().resolve_function_type(func, args, kws)
        found = self.known.get((func, args))
        if found is None:
            found = super().resolve_function_type(func, args, kws)
            if found is not None:
                self.known[func, args] = found
        return found


class _Target(CPUContext):  # type: ignore[misc]
    """A target context that is asked once for the code of an operation of some types, and for code that it has not.

    numba looks through all its registries again for what it has not, and asks each time what has whether it wants to
    know the place in the source.
    """

    def __init__(self, context: Any, typing_context: _Remembering) -> None:
        self.__dict__.update(context.__dict__)
        self.typing_context = typing_context
        self.known: dict[tuple[Any, ...], Any] = {}
        self.missing: set[tuple[Any, ...]] = set()

    def refresh(self) -> None:
        """Nothing: the context of the kernel that is compiled has been refreshed."""

    def get_function(self, fn: Any, sig: Any, _firstcall: bool = True) -> Any:
        """Code of an operation."""
        key = fn, sig.args, sig.return_type, sig.recvr
        found = self.known.get(key)
        if found is None:
            if key in self.missing:
                raise NotImplementedError(f"No definition for lowering {fn}{sig}")
            try:
                found = self.known[key] = super().get_function(fn, sig, _firstcall)
            except NotImplementedError:
                self.missing.add(key)
                raise
        return found


@cache
def _contexts() -> tuple[_Remembering, _Target]:
    """The contexts of all inner functions."""
    remembering = _Remembering(cpu_target.typing_context)
    return remembering, _Target(cpu_target.target_context, remembering)


@register_pass(mutates_CFG=True, analysis_only=False)
class _Rewrites(GenericRewrites):  # type: ignore[misc]
    """numba's rewriting of blocks; like the two passes below without reckoning who lives how long, four times over.

    Only lowering needs to know, and :class:`numba.core.typed_passes.IRLegalization` reckons it once more before that.
    """

    _name = "rewrite_inner"

    def run_pass(self, state: Any) -> bool:
        """Each block as long as a rewrite finds something in it."""
        blocks = state.func_ir.blocks
        for kind in rewrite_registry.rewrites["before-inference"]:
            rewrite = kind(state)
            waiting = list(blocks.items())
            while waiting:
                label, block = waiting.pop()
                if rewrite.match(state.func_ir, block, state.typemap, state.calltypes):
                    blocks[label] = rewrite.apply()
                    waiting.append((label, blocks[label]))
        return True


@register_pass(mutates_CFG=False, analysis_only=False)
class _Versions(ReconstructSSA):  # type: ignore[misc]
    """A variable for each assignment."""

    _name = "versions_inner"

    def run_pass(self, state: Any) -> bool:
        """Of functions whose variables have no types from outside."""
        state.func_ir = reconstruct_ssa(state.func_ir)
        state.func_ir._definitions = build_definitions(state.func_ir.blocks)
        return True


@register_pass(mutates_CFG=False, analysis_only=False)
class _StripPhis(PreLowerStripPhis):  # type: ignore[misc]
    """Variables that are assigned where control comes from."""

    _name = "strip_phis_inner"

    def run_pass(self, state: Any) -> bool:
        """Of functions that are no generators."""
        state.func_ir = self._strip_phi_nodes(state.func_ir)
        state.func_ir._definitions = build_definitions(state.func_ir.blocks)
        return True


@register_pass(mutates_CFG=False, analysis_only=False)
class _Describe(LoweringPass):  # type: ignore[misc]
    """The last pass: what is known of the function is kept until a call of it is lowered."""

    _name = "describe_inner"

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        """Keep the state as the result of the compilation."""
        state.described = PythonFunctionDescriptor.from_specialized_function(
            state.func_ir,
            state.typemap,
            state.return_type,
            state.calltypes,
            mangler=state.targetctx.mangler,
            inline=False,
            noalias=False,
            abi_tags=[state.flags.get_mangle_string()],
        )
        state.cr = state
        return False


_PASSES: Final = (  # numba's own, but for those that seek what no kernel has: closures, contexts, vector expressions
    TranslateByteCode,
    FixupArgs,
    _Rewrites,
    InlineInlinables,
    _Versions,
    NopythonTypeInference,
    _StripPhis,
    NoPythonSupportedFeatureValidation,
    IRLegalization,
    _Describe,
)


class _Typing(CompilerBase):  # type: ignore[misc]
    """numba's compiler as far as types."""

    def define_pipelines(self) -> list[Any]:
        """The passes."""
        passes = PassManager("inner")
        for each in _PASSES:
            passes.add_pass(each, each.__name__)
        passes.finalize()
        return [passes]


class _LowerInto(Lower):  # type: ignore[misc]
    """Lowers a function into another one's module, seen by nobody else."""

    inlined = False

    def into(self, module: Any, inlined: bool) -> None:
        """Lower into a module."""
        self.module = module
        self.inlined = inlined
        self.emit_environment_object()
        self.lower_normal_function(self.fndesc)

    def setup_function(self, fndesc: Any) -> None:
        """Begin the function."""
        super().setup_function(fndesc)
        self.function.linkage = "internal"
        if self.inlined:
            self.function.attributes.add("alwaysinline")
