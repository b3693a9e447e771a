"""Mistakes in a user's strategy, told with file and line."""

import ast
import inspect
import linecache
import textwrap
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, TracebackType
from typing import Any, Self

from tidewright.market.errors import UsageError
from tidewright.strategies.declaration import Declaration


class StrategyError(UsageError):
    """A user's strategy cannot be loaded or compiled, or did what no strategy may."""


def located(where: Declaration | None, line: int, path: Path | None = None) -> str:
    """``file.py, line 12 ("source text")``."""
    file = path or Path(where.function.__code__.co_filename if where is not None else "?")
    text = linecache.getline(str(file), line).strip()
    return f"{file}, line {line}" + (f" ({text[:100]})" if text else "")


class blamed:
    """While code of a user's runs: any error it raises becomes a :class:`StrategyError` with the user's line.

    Errors of users' code are of any class. None is swallowed here: each is raised again, in words.

    Parameters
    ----------
    who
        The strategy's file, or its declaration.
    """

    def __init__(self, who: Path | Declaration) -> None:
        self._file = who if isinstance(who, Path) else Path(who.function.__code__.co_filename)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        """Raise again."""
        if not isinstance(error, Exception | SystemExit) or isinstance(error, StrategyError):
            return
        raise StrategyError(sentence(error, self._file)) from error


class Caught:
    """Keeps the error that a user's code raises, to be told by the caller; it may be of any class."""

    error: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> bool:
        """Keep it."""
        if isinstance(error, Exception):
            self.error = error
        return isinstance(error, Exception)


def sentence(error: BaseException, file: Path) -> str:
    """An error raised by code of a user's, with the innermost line of the user's file."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{located(None, error.lineno or 1, Path(error.filename))}: {error.msg}"
    line = line_of(error.__traceback__, file)
    where = located(None, line, file) if line else str(file)
    said = str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
    return f"{where}: {said}"


def line_of(trace: TracebackType | None, file: Path) -> int:
    """The innermost line of a file in a traceback, 0 if there is none."""
    lines = [frame.lineno for frame in traceback.extract_tb(trace) if Path(frame.filename) == file]
    return next((line for line in reversed(lines) if line), 0)


def return_line(function: Any) -> int:
    """Line of a function's only ``return``, else of its ``def``."""
    top = _parsed(function)
    if top is None:
        return int(function.__code__.co_firstlineno)
    found = [node.lineno for node in _own(top) if isinstance(node, ast.Return)]
    return found[0] if len(found) == 1 else top.lineno


def name_line(function: Any, name: str) -> int:
    """First line of a function's module that reads a name, in the function itself if it does; else its ``def``."""
    top = _parsed(function)
    if top is None:
        return int(function.__code__.co_firstlineno)
    try:
        whole: ast.AST = ast.parse("".join(linecache.getlines(function.__code__.co_filename)))
    except SyntaxError:  # edited while it was loaded
        whole = top
    for place in (top, whole):
        found = [node.lineno for node in ast.walk(place) if isinstance(node, ast.Name) and node.id == name]
        if found:
            return min(found)
    return top.lineno


def _parsed(function: Any) -> ast.FunctionDef | None:
    """A function's syntax tree with the line numbers of its file; ``None`` if its source is not there."""
    try:
        top = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, SyntaxError):
        return None
    assert isinstance(top, ast.FunctionDef)
    return ast.increment_lineno(top, function.__code__.co_firstlineno - 1)


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes under a function, those of functions within it left out."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.Lambda):
            yield child
            yield from _own(child)


def interpretable(function: Any, made: dict[int, Any] | None = None) -> Any:
    """A function with every jitted helper it finds in its module as plain Python, so that errors have lines."""
    made = {} if made is None else made
    plain = getattr(function, "py_func", function)
    if id(plain) in made:
        return made[id(plain)]
    space = dict(plain.__globals__)
    copy = FunctionType(plain.__code__, space, plain.__name__, plain.__defaults__, plain.__closure__)
    made[id(plain)] = copy
    for name in plain.__code__.co_names:
        value = space.get(name)
        if hasattr(value, "py_func"):
            space[name] = interpretable(value, made)
    return copy
