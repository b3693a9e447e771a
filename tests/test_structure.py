"""The largest things stay small: the maximum is the gate, an exemption is a line here with its reason."""

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "tidewright"
MAX_MODULE = 600  # lines of code, docstrings and blank lines not counted
MAX_FUNCTION = 100

EXEMPT: dict[str, str] = {}


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
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text()
        lines = text.splitlines()
        tree = ast.parse(text)
        name = path.relative_to(SOURCE).as_posix()
        if lines and _code_lines(tree, lines) > MAX_MODULE and name not in EXEMPT:
            large.append(name)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                place = f"{name}::{node.name}"
                if _code_lines(node, lines) > MAX_FUNCTION and place not in EXEMPT:
                    large.append(place)
    assert large == []


def test_broad_excepts_that_swallow_live_only_in_the_supervisor() -> None:
    """One that cleans up and raises again swallows nothing."""
    broad = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler):
                caught, last = node.type, node.body[-1]
                if isinstance(last, ast.Raise) and last.exc is None:
                    continue
                if caught is None or (isinstance(caught, ast.Name) and caught.id in {"Exception", "BaseException"}):
                    broad.append(path.relative_to(SOURCE).as_posix())
    assert set(broad) <= {"trading/supervisor.py"}
