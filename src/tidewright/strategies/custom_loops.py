"""Loops that do not end: a user's functions are compiled with a count of turns in every loop.

Compiled code cannot be interrupted, so a loop without an end would hold up a sweep or a session for good. With the
count it raises at its own line, and is told like any other mistake.
"""

import ast
from copy import deepcopy
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

from numba import njit

from tidewright.strategies.custom_source import Sources, helpers, plain

MOST_TURNS: Final = 10_000_000  # some 10 ms; a decision that needs more would hold up a session
_TURNS: Final = "turns_of_all_loops"
ENDLESS: Final = f"the loops of this call took over {MOST_TURNS:,} turns: does this one end?"


def counted(function: Any, sources: Sources, made: dict[FunctionType, FunctionType] | None = None) -> FunctionType:
    """A copy of a function, with copies of the jitted helpers it calls as ``helper`` or ``module.helper``; loops end.

    Returns
    -------
    FunctionType
        The same otherwise, lines included. Raises ``RuntimeError`` at a loop when one call's loops have taken
        ``MOST_TURNS`` turns together.
    """
    made = {} if made is None else made
    original = plain(function)
    if original in made:
        return made[original]
    space = dict(original.__globals__)
    copy = FunctionType(_code(original, sources), space, original.__name__, original.__defaults__, original.__closure__)
    copy.__kwdefaults__, copy.__qualname__ = original.__kwdefaults__, original.__qualname__
    made[original] = copy
    for name, part, value in helpers(original):
        if sources.tree(plain(value)) is None:
            continue
        options = {key: kept for key, kept in value.targetoptions.items() if key not in ("nopython", "cache")}
        helper = njit(**options)(counted(value, sources, made))
        if part:  # module.helper: in a copy of the module, for who else uses it keeps it as it is
            if space[name] is original.__globals__[name]:
                space[name] = ModuleType(name)
                vars(space[name]).update(vars(original.__globals__[name]))
            setattr(space[name], part, helper)
        else:
            space[name] = helper
    return copy


def _code(function: FunctionType, sources: Sources) -> CodeType:
    """A function's code with counted loops; its own if it has none, or runs them in parallel."""
    code, tree = function.__code__, sources.tree(function)
    if tree is None or not any(isinstance(node, ast.While | ast.For) for node in ast.walk(tree)):
        return code
    if "prange" in code.co_names:
        return code
    tree = _Count().of(tree)
    # Names from outside the function are those of a function around it here, too.
    free = [ast.Assign([ast.Name(name, ast.Store())], ast.Constant(None)) for name in code.co_freevars]
    around = ast.parse("def around(): pass")
    assert isinstance(around.body[0], ast.FunctionDef)
    around.body[0].body = [*free, tree]
    outer = compile(ast.fix_missing_locations(around), code.co_filename, "exec", dont_inherit=True)
    (middle,) = (part for part in outer.co_consts if isinstance(part, CodeType))
    (inner,) = (part for part in middle.co_consts if isinstance(part, CodeType) and part.co_name == code.co_name)
    return inner if inner.co_freevars == code.co_freevars else code


class _Count(ast.NodeTransformer):
    """Counts the turns of all loops of a function, and of each function within it apart."""

    def of(self, function: ast.FunctionDef) -> ast.FunctionDef:
        """A counted copy of a function, without its decorators."""
        copy = deepcopy(function)  # the tree is used again
        copy.decorator_list = []
        found = self.visit(copy)
        assert isinstance(found, ast.FunctionDef)
        return found

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        start = ast.parse(f"{_TURNS} = 0").body
        at = 1 if ast.get_docstring(node, clean=False) is not None else 0
        node.body[at:at] = [_at(node.body[0], part) for part in start]
        return node

    def visit_While(self, node: ast.While) -> ast.While:
        return self._loop(node)

    def visit_For(self, node: ast.For) -> ast.For:
        return self._loop(node)

    def _loop(self, node: Any) -> Any:
        self.generic_visit(node)
        turn = ast.parse(f"{_TURNS} += 1\nif {_TURNS} > {MOST_TURNS}:\n    raise RuntimeError({ENDLESS!r})").body
        node.body[:0] = [_at(node, part) for part in turn]
        return node


def _at(place: ast.stmt, made: ast.stmt) -> ast.stmt:
    """A statement that was made, as if it stood at another's line."""
    for node in ast.walk(made):
        ast.copy_location(node, place)
    return made
