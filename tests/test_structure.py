"""The largest things stay small: the maximum is the gate, an exemption is a line here with its reason."""

import ast
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "tidewright"
MAX_MODULE = 600  # lines of code, docstrings and blank lines not counted
MAX_FUNCTION = 100

EXEMPT: dict[str, str] = {}


@cache
def _sources() -> dict[str, tuple[list[str], ast.Module]]:
    """Lines and tree of every module, by its name under the package."""
    texts = {path.relative_to(SOURCE).as_posix(): path.read_text() for path in sorted(SOURCE.rglob("*.py"))}
    return {name: (text.splitlines(), ast.parse(text)) for name, text in texts.items()}


def _code_lines(node: ast.AST, source: list[str]) -> int:
    first = getattr(node, "lineno", 1)
    last = getattr(node, "end_lineno", None) or len(source)
    skipped: set[int] = set()
    for inner in ast.walk(node):
        body = getattr(inner, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                skipped.update(range(body[0].lineno, (body[0].end_lineno or 0) + 1))
    return sum(1 for i in range(first, last + 1) if i not in skipped and source[i - 1].strip())


def test_no_module_or_function_outgrows_the_house() -> None:
    large = []
    for name, (lines, tree) in _sources().items():
        if len(lines) > MAX_MODULE and _code_lines(tree, lines) > MAX_MODULE and name not in EXEMPT:
            large.append(name)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                if (node.end_lineno or len(lines)) - node.lineno < MAX_FUNCTION:  # fewer lines, so less code
                    continue
                place = f"{name}::{node.name}"
                if _code_lines(node, lines) > MAX_FUNCTION and place not in EXEMPT:
                    large.append(place)
    assert large == []


def test_broad_excepts_that_swallow_live_only_in_the_supervisor() -> None:
    """One that cleans up and raises again swallows nothing."""
    broad = []
    for name, (_, tree) in _sources().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                caught, last = node.type, node.body[-1]
                if isinstance(last, ast.Raise) and last.exc is None:
                    continue
                if caught is None or (isinstance(caught, ast.Name) and caught.id in {"Exception", "BaseException"}):
                    broad.append(name)
    assert set(broad) <= {"trading/supervisor.py"}
