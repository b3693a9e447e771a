"""What cannot be compiled, looked for in the source of a user's functions first, to be told in plain words."""

import ast
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Final

from tidewright.strategies.custom_errors import StrategyError, located
from tidewright.strategies.custom_source import Sources
from tidewright.strategies.declaration import Declaration

_READ_ONLY: Final = "{what} cannot be set, for {name} is read-only: keep what you work out in a variable of your own"
_ARRAYS: Final = "{what} cannot be set: write to the entries of an array of {name}, as in quotes.bid_price[0] = ..."

Found = Iterator[tuple[int, str]]


def check(declaration: Declaration, sources: Sources) -> None:
    """Look at a strategy and the helpers it reaches.

    Raises
    ------
    StrategyError
        At the first thing that numba never compiles, with file and line, and what to do instead.
    """
    for function in sources.reached(declaration.function):
        tree = sources.tree(function)
        if tree is None:
            continue
        arguments = [each.arg for each in tree.args.args] if function is declaration.function else []
        found = sorted({*_mistakes(tree), *_written(tree, arguments), *_called(tree, function)})
        if found:
            line, said = found[0]
            raise StrategyError(f"{located(None, line, Path(function.__code__.co_filename))}: {said}")


def _mistakes(tree: ast.FunctionDef) -> Found:
    """Statements and expressions that nopython mode does not know."""
    for node in _compiled(tree):
        match node:
            case ast.Import() | ast.ImportFrom():
                yield node.lineno, "an import must stand at the top of the file, not inside a function"
            case ast.With() | ast.AsyncWith():
                yield (
                    node.lineno,
                    "`with` cannot be compiled: read files at the top of the file, and use what they gave",
                )
            case ast.FormattedValue(format_spec=form, conversion=how) if form is not None or how != -1:
                yield node.lineno, "a format inside a text (f'{x:.2f}') cannot be compiled: leave it out, as in f'{x}'"
            case ast.While(test=ast.Constant(value=true)) if true and not _left(node):
                yield node.lineno, "this loop never ends: it has neither `break` nor `return`"
            case ast.ClassDef():
                yield node.lineno, "a class cannot be made inside a compiled function: use tuples, arrays and helpers"
            case ast.Global(names=names) if _stored(tree, names):
                yield (
                    node.lineno,
                    f"{', '.join(names)} cannot be changed: a strategy knows its arguments only, for it is called for "
                    "many lanes in any order",
                )
            case ast.Await() | ast.AsyncFor():
                yield node.lineno, "nothing can be awaited in a compiled function"
            case ast.GeneratorExp():
                yield node.lineno, "a generator cannot be compiled: write a list, [...], or a loop"
            case ast.Starred(ctx=ast.Store()):
                yield node.lineno, "`*name` on the left of = cannot be compiled: name each part"
            case ast.Delete(targets=targets) if any(isinstance(each, ast.Name) for each in targets):
                yield node.lineno, "`del` of a variable cannot be compiled, and is not needed"
            case ast.ExceptHandler(type=kind) if kind is not None and ast.unparse(kind) != "Exception":
                yield node.lineno, "only `except Exception:` can be compiled; better, test beforehand what may go wrong"
            case ast.ExceptHandler(name=str()):
                yield node.lineno, "an exception cannot be kept in a variable: write `except Exception:`"


def _written(tree: ast.FunctionDef, arguments: list[str]) -> Found:
    """Assignments to the arguments of a strategy, of which only arrays of the third may be written; and ``yield``."""
    for node in _compiled(tree):
        if arguments and isinstance(node, ast.Yield | ast.YieldFrom):  # a helper may
            yield node.lineno, f"`yield` has no meaning here: {tree.name} must return what it found"
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            owner = node.value
            if isinstance(owner, ast.Name) and owner.id in arguments:
                is_quotes = arguments.index(owner.id) == 2
                said = _ARRAYS if is_quotes else _READ_ONLY
                yield node.lineno, said.format(what=ast.unparse(node), name=owner.id)


def _called(tree: ast.FunctionDef, function: FunctionType) -> Found:
    """Names that are not in a module, and helpers that call themselves."""
    space: dict[str, Any] = function.__globals__
    own = {*function.__code__.co_varnames, *function.__code__.co_cellvars, *function.__code__.co_freevars}
    for node in _compiled(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=part) if name not in own:
                module = space.get(name)
                if isinstance(module, ModuleType) and not hasattr(module, part):
                    yield node.lineno, f"{module.__name__} has no {part!r}"
            case ast.Call(func=ast.Name(id=name)) if name == tree.name and name not in own:
                yield node.lineno, f"{name} calls itself, which may exhaust the memory for calls: write a loop"
            case _:
                pass


def _compiled(tree: ast.FunctionDef) -> Iterator[ast.AST]:
    """Nodes of a function, but what runs as plain Python, ``with numba.objmode()``."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if not (isinstance(node, ast.With) and "objmode" in ast.unparse(node.items[0])):
            yield node
            waiting += ast.iter_child_nodes(node)


def _left(loop: ast.While) -> bool:
    """Whether anything leads out of a loop."""
    waiting: list[tuple[ast.AST, bool]] = [(each, True) for each in loop.body]
    while waiting:
        node, is_own = waiting.pop()
        if isinstance(node, ast.Return | ast.Raise | ast.Assert) or (is_own and isinstance(node, ast.Break)):
            return True
        inner = is_own and not isinstance(node, ast.While | ast.For)
        waiting += [(child, inner) for child in ast.iter_child_nodes(node)]
    return False


def _stored(tree: ast.FunctionDef, names: list[str]) -> bool:
    """Whether a function assigns to one of some names."""
    return any(
        isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del) and node.id in names
        for node in ast.walk(tree)
    )
