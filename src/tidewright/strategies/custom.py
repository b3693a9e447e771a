"""Strategies of a user's own, in a file of theirs: found by reference, loaded once, compiled when first needed."""

import ast
import hashlib
import importlib.util
import platform
import sys
import sysconfig
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Final

import llvmlite
import numba
import numpy as np

import tidewright
from tidewright._cache import source_hash
from tidewright.market.errors import NotFoundError
from tidewright.strategies.custom_errors import StrategyError, blamed
from tidewright.strategies.custom_rule import CustomRule
from tidewright.strategies.declaration import Declaration

_PACKAGE: Final = Path(tidewright.__file__).parent
_FOREIGN: Final = tuple(
    Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
_COMPILING: Final = threading.Lock()


@dataclass(slots=True)
class CustomStrategy:
    """A declared strategy of a file, as it was when the file was read.

    Attributes
    ----------
    name
        The reference, ``/absolute/path/file.py:name``.
    digest
        Changes with all that the compiled code depends on: the file, the user's modules it imports and the constants
        in them, and the versions of Python, numba, numpy and Tidewright.
    """

    name: str
    declaration: Declaration
    digest: str
    module: ModuleType = field(repr=False)
    files: dict[Path, bytes] = field(repr=False)
    _compiled: Any = field(default=None, repr=False)  # a custom_compile.Compiled

    def bind(self) -> CustomRule:
        """A rule for one engine or executor; compiles at the first call.

        Raises
        ------
        StrategyError
            If the function cannot be compiled, with file and line.
        """
        if numba.config.DISABLE_JIT:
            return CustomRule(self.declaration)
        with _COMPILING:  # the threads of a sweep bind the same strategy at the same time
            if self._compiled is None:
                from tidewright.strategies.custom_compile import compiled

                self._compiled = compiled(self.declaration, self.module, self.digest, self.files)
            return CustomRule(self.declaration, self._compiled.address, self._compiled.function, self._compiled)


def is_reference(name: str) -> bool:
    """Whether a strategy's name refers to a file: ``FILE.py`` or ``FILE.py:NAME``."""
    return name.endswith(".py") or ".py:" in name


_LOADED: Final[dict[Path, dict[str, CustomStrategy]]] = {}


def load(reference: str, *, refresh: bool = False) -> CustomStrategy:
    """The strategy of a reference. A process reads a file once: what runs does not change under an edit.

    Parameters
    ----------
    reference
        ``FILE.py:NAME``, or ``FILE.py`` of a file with one strategy.
    refresh
        Read the file again if it, or a module of the user's that it imports, has changed since.

    Raises
    ------
    NotFoundError
        If there is no such file.
    StrategyError
        If the file cannot be read or run, or has no such strategy.
    """
    text, _, name = reference.rpartition(".py")
    path, name = Path(f"{text}.py").expanduser().absolute(), name.removeprefix(":")
    if path in _LOADED and not (refresh and _changed(path)):
        return _chosen(path, name)
    _LOADED[path] = _read(path)
    return _chosen(path, name)


def _chosen(path: Path, name: str) -> CustomStrategy:
    there = _LOADED[path]
    if not there:
        raise StrategyError(
            f"{path} declares no strategy: decorate a function of it with @tw.strategy(parameters=[...])"
        )
    if not name and len(there) > 1:
        raise StrategyError(f"{path} declares {', '.join(there)}: choose one, {path.name}:NAME")
    if name and name not in there:
        raise StrategyError(f"{path} declares no strategy {name!r}; it declares {', '.join(there)}")
    return there[name or next(iter(there))]


def _changed(path: Path) -> bool:
    loaded = next(iter(_LOADED[path].values()), None)
    if loaded is None:
        return True
    for file, before in loaded.files.items():
        if _bytes(file) != before:
            if file != path:
                raise StrategyError(f"{file}, which {path.name} imports, was edited: start Python anew to use it")
            return True
    return False


def _read(path: Path) -> dict[str, CustomStrategy]:
    if not path.is_file():
        raise NotFoundError(f"no strategy file is at {path}")
    source = _bytes(path)
    # By content, not by place: compiled code from the cache looks for its module under the name it had.
    name = f"tidewright_strategy_{hashlib.sha256(source).hexdigest()[:16]}"
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    folder = str(path.parent)
    sys.path.insert(0, folder)  # a neighbour is imported as from a script
    try:
        with blamed(path):
            exec(compile(source, str(path), "exec"), module.__dict__)
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
    files = {path: source}
    digest = _digest(module, files)
    found = {}
    for value in vars(module).values():
        if isinstance(value, Declaration) and Path(value.function.__code__.co_filename) == path:
            key = hashlib.sha256(f"{digest} {value.name} {value.parameters}".encode()).hexdigest()[:16]
            found[value.name] = CustomStrategy(f"{path}:{value.name}", value, key, module, files)
    return found


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StrategyError(f"strategy file {path} cannot be read: {error.strerror}") from None


# -- what compiled code depends on ------------------------------------------------------------------------------------


@cache
def _versions() -> str:
    parts = (*platform.python_version_tuple()[:2], numba.__version__, llvmlite.__version__, np.__version__)
    return " ".join((*parts, source_hash(_PACKAGE)))


def _digest(module: ModuleType, files: dict[Path, bytes]) -> str:
    """Hash of a user's modules, their sources and their constants; their sources are added to ``files``."""
    digest = hashlib.sha256(_versions().encode())
    for own in _modules(module, {}):
        file = Path(str(own.__file__))
        files.setdefault(file, _bytes(file))
        digest.update(files[file])
        for name, value in sorted(vars(own).items()):
            # A constant need not come from the text: it may be read from the environment or another file.
            if not name.startswith("__"):
                digest.update(name.encode() + b"".join(_constants(value)))
    return digest.hexdigest()


def _modules(module: ModuleType, seen: dict[str, ModuleType]) -> Iterator[ModuleType]:
    """A module of the user's and those it imports, without the libraries."""
    file = getattr(module, "__file__", None)
    if module.__name__ in seen or file is None or not _is_own(Path(file)):
        return
    seen[module.__name__] = module
    yield module
    if not file.endswith(".py"):
        return
    package = module.__dict__.get("__package__") or ""
    for node in ast.walk(ast.parse(_bytes(Path(file)))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(base, package) if node.level else base
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            neighbour = Path(file).parent / f"{name}.py"
            if name in sys.modules:
                if neighbour.is_file() and _file(sys.modules[name]) != neighbour:
                    raise StrategyError(
                        f"{file} imports {name}, but another {name} is loaded already, from "
                        f"{_file(sys.modules[name])}: give one of them another name"
                    )
                yield from _modules(sys.modules[name], seen)


def _file(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return None if file is None else Path(file)


def _is_own(file: Path) -> bool:
    resolved = file.resolve()
    return not any(resolved.is_relative_to(folder) for folder in (_PACKAGE, *_FOREIGN))


def _constants(value: Any) -> Iterator[bytes]:
    """What of a module's value numba compiles in as a constant, as bytes; also from the closures of functions."""
    if isinstance(value, bool | int | float | complex | str | bytes | np.generic) or value is None:
        yield repr(value).encode()
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype}{value.shape}".encode() + value.tobytes()
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _constants(part)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _constants((key, part))
    elif isinstance(plain := getattr(value, "py_func", value), FunctionType):
        for cell in plain.__closure__ or ():
            if not isinstance(cell.cell_contents, FunctionType | ModuleType):
                yield from _constants(cell.cell_contents)
