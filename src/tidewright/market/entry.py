"""Kernels that Python calls: compiled with all that they call in one go, and optimised once, as a whole."""

from typing import Any, Final

from numba import njit
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import LoweringPass, register_pass
from numba.core.typed_passes import AnnotateTypes


class _Whole(JITCodeLibrary):  # type: ignore[misc]
    """Compiled code whose functions are not optimised one by one before all of them are together.

    numba does both. A kernel's inner functions are in one module from the start, and optimising them twice took a tenth
    of the time of compiling and made nothing faster.
    """

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout


@register_pass(mutates_CFG=False, analysis_only=False)
class _KeepWhole(LoweringPass):  # type: ignore[misc]
    """Say where the code of a kernel goes, just before it is written."""

    _name = "keep_whole"

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        """Give the kernel a library; numba makes one of its own otherwise."""
        state.library = _Whole(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return True


class _Compiler(CompilerBase):  # type: ignore[misc]
    """numba's compiler, with a library of ours."""

    def define_pipelines(self) -> list[Any]:
        """The passes of numba and that one."""
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(_KeepWhole, AnnotateTypes)
        passes.finalize()
        return [passes]


entry: Final = njit(cache=True, _nrt=False, nogil=True, pipeline_class=_Compiler)
