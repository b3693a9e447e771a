"""The source of a user's functions as it was when their files were read, and the helpers that they reach."""

import ast
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any


class Sources:
    """Syntax trees of a user's files.

    Parameters
    ----------
    files
        Their bytes when they were read: what is on the disk may have been edited since.
    """

    def __init__(self, files: Mapping[Path, bytes]) -> None:
        self._files = files

    @cached_property
    def _trees(self) -> dict[str, ast.Module]:
        return {str(path): ast.parse(text) for path, text in self._files.items() if path.suffix == ".py"}

    def tree(self, function: FunctionType) -> ast.FunctionDef | None:
        """A function's syntax tree; ``None`` if it is not of these files, or no ``def``."""
        whole, code = self._trees.get(function.__code__.co_filename), function.__code__
        if whole is None:
            return None
        for node in ast.walk(whole):
            if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
                first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
                if first == code.co_firstlineno:
                    return node
        return None

    def reached(self, function: Any) -> Iterator[FunctionType]:
        """A function and the jitted helpers of these files that it reaches, each once."""
        waiting, seen = [plain(function)], set()
        while waiting:
            one = waiting.pop()
            if one in seen or one.__code__.co_filename not in self._trees:
                continue
            seen.add(one)
            yield one
            waiting += [plain(value) for _, _, value in helpers(one)]


def plain(function: Any) -> FunctionType:
    """A function as it was before it was jitted."""
    found: FunctionType = getattr(function, "py_func", function)
    return found


def helpers(function: FunctionType) -> Iterator[tuple[str, str, Any]]:
    """Jitted functions that a function may call: the name in its module, the name in that (or nothing), and itself."""
    space, names = function.__globals__, function.__code__.co_names
    for name in names:
        value = space.get(name)
        if hasattr(value, "py_func"):
            yield name, "", value
        elif isinstance(value, ModuleType):
            for part in names:
                if hasattr(found := getattr(value, part, None), "py_func"):
                    yield name, part, found
