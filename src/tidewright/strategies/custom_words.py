"""What numba says about a user's function, in one sentence with file and line."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from tidewright.strategies.custom_errors import located, name_line
from tidewright.strategies.custom_source import Sources
from tidewright.strategies.declaration import Declaration
from tidewright.strategies.view import Quotes, View

_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_PLACE: Final = re.compile(r"""(?:File "|\bat |Raised from )([^"\n]+?\.py)"?(?:, line | \()(\d+)""")
_RAISED_FROM: Final = re.compile(r"\.*\s*Raised from .*$", re.DOTALL)
_SKIPPED: Final = ("Failed in ", "File ", "During: ", "- ")

_NOT_UNIFIED: Final = re.compile(r"Cannot unify (.+) and (.+) for '(\w+)[.\w]*', defined at")
_UNTYPED: Final = re.compile(r"Untyped global name '(\w+)': Cannot determine Numba type of <class '([\w.]+)'>")
_NO_FIELD: Final = re.compile(r"Unknown attribute '(\w+)' of type (View|Params|Quotes)\(")
_NO_TYPE: Final = re.compile(r"Type of variable '(\$?\w+)[.\w]*' cannot be determined")
_NOT_TAKEN: Final = re.compile(r"^No implementation of function .* found for signature: (.+)$")
_NOT_SET: Final = re.compile(r"No definition for lowering (\w+)\(.*\)\.(\w+) = ")

_WORDS: Final = {  # how the name of a type of numba's begins
    "float": "a number",
    "int": "a whole number",
    "uint": "a whole number",
    "Literal[int]": "a whole number",
    "Literal[str]": "text",
    "unicode": "text",
    "bool": "true or false",
    "Literal[bool]": "true or false",
    "none": "None",
    "Tuple": "a tuple",
    "UniTuple": "a tuple",
    "list": "a list",
    "array": "an array",
    "readonly array": "an array",
}
_VALUES: Final = {  # what an assignment of a type other than a number looks like
    "text": lambda node: isinstance(node, ast.JoinedStr) or isinstance(getattr(node, "value", None), str),
    "None": lambda node: isinstance(node, ast.Constant) and node.value is None,
    "a tuple": lambda node: isinstance(node, ast.Tuple),
    "a list": lambda node: isinstance(node, ast.List | ast.ListComp),
}
_INSTEAD: Final = {
    "function": "is a plain Python function: decorate it with @numba.njit",
    "dict": "is a dict, which cannot be compiled in: use a tuple or a numpy array",
    "builtin_function_or_method": "cannot be used in compiled code",
    "type": "is a class, which compiled code cannot use: use tuples, arrays and helpers",
    "tidewright.strategies.declaration.Declaration": "is a strategy, which cannot be called from compiled code: "
    "put what it shares with others into a helper with @numba.njit",
}


def in_words(declaration: Declaration, error: BaseException, sources: Sources) -> str:
    """An error of numba's as one sentence with file and line."""
    text = _COLOUR.sub("", str(error))
    file = Path(declaration.function.__code__.co_filename)
    # The innermost place comes first; a helper in another file of the user's has its own.
    found = [(Path(where), int(line)) for where, line in _PLACE.findall(text)] + [*_places(error.__traceback__)]
    own = [place for place in found if place[0].name == file.name] or [
        place for place in found if not {"numba", "tidewright", "llvmlite"} & set(place[0].parts) and place[0].is_file()
    ]
    said = _said(text) or type(error).__name__
    if own:
        where, line = (file if own[0][0].name == file.name else own[0][0]), own[0][1]
    else:
        unknown = re.search(r"NameError: .*name '(\w+)'", said)
        where, line = file, name_line(declaration.function, unknown[1] if unknown else "")
        tree = sources.tree(declaration.function)  # type: ignore[arg-type]
        doubtful = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.NamedExpr)] if tree else []
        line = doubtful[0] if doubtful and not unknown else line
    line, said = _plainly(declaration, sources, line, said)
    return f"{located(declaration, line, where)}: {said}"


def _said(text: str) -> str:
    """The one line of numba's page that says what is wrong."""
    lines = [part.strip() for part in _RAISED_FROM.sub("", text).splitlines()]
    told = [part for part in lines if part and not part.startswith(_SKIPPED)]
    said = told[0] if told else ""
    return said + " " + told[1].removeprefix(">>> ") if said.endswith(":") and len(told) > 1 else said


def _plainly(declaration: Declaration, sources: Sources, line: int, said: str) -> tuple[int, str]:
    """The commonest mistakes in plain words, and at the line that is to be mended."""
    if match := _NOT_UNIFIED.search(said):
        kinds = sorted({_kind(match[1]), _kind(match[2])})
        lines = [*_assigned(declaration, sources, match[3], line)]
        if lines:
            odd = [at for at, value in lines if any(kind in _VALUES and _VALUES[kind](value) for kind in kinds)]
            places = " and ".join(dict.fromkeys(str(at) for at, _ in lines))
            return (odd or [lines[-1][0]])[0], (
                f"{match[3]} must be of one type, but is {' in one place and '.join(kinds)} in another "
                f"(set in line {places})"
            )
    if match := _NO_FIELD.search(said):
        there = {"View": View._fields, "Quotes": Quotes._fields, "Params": declaration.names}[match[2]]
        return line, f"Unknown attribute {match[1]!r} of {match[2].lower()}; it has: {', '.join(there)}"
    if match := _UNTYPED.search(said):
        return line, f"{match[1]} {_INSTEAD.get(match[2], f'is of class {match[2]}, which compiled code cannot use')}"
    if match := _NOT_SET.search(said):
        return line, f"{match[2]} of {match[1].lower()} cannot be set; only entries of the arrays of quotes are written"
    if match := _NO_TYPE.search(said):
        name = "what is computed here" if match[1].startswith("$") else match[1]
        return line, (
            f"the type of {name} cannot be told; an empty list has none until a value of known type is appended, and "
            "`:=` is not always understood: assign in a line of its own"
        )
    if match := _NOT_TAKEN.search(said):
        return line, f"{match[1]} cannot be compiled: it does not take these types"
    if said.startswith("Can't unify return type"):
        returns = sorted(_returned(declaration, sources, line))  # numba names one of them, not always the same
        odd = [at for at, parts in returns if parts != 2]
        places = " and ".join(dict.fromkeys(str(at) for at, _ in returns))
        return (odd or [at for at, _ in returns] or [line])[0], (
            f"every `return` of a function must give the same, but those of line {places} differ"
        )
    if "runaway recursion" in said:
        return line, "a function calls itself without an end: write a loop"
    return line, said


def _kind(name: str) -> str:
    found = [word for begin, word in _WORDS.items() if name.startswith(begin)]
    return found[0] if found else name


def _assigned(declaration: Declaration, sources: Sources, name: str, line: int) -> Iterator[tuple[int, ast.expr]]:
    """Lines at which a variable is set, with what, in the function that a line belongs to."""
    for node in _around(declaration, sources, line):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(each, ast.Name) and each.id == name for each in targets):
            yield node.lineno, getattr(node, "value", None)  # type: ignore[attr-defined, misc]


def _returned(declaration: Declaration, sources: Sources, line: int) -> Iterator[tuple[int, int]]:
    """Lines of the ``return`` of the function that a line belongs to, and how many parts each gives."""
    for node in _around(declaration, sources, line):
        if isinstance(node, ast.Return):
            yield node.lineno, len(node.value.elts) if isinstance(node.value, ast.Tuple) else 1


def _around(declaration: Declaration, sources: Sources, line: int) -> Iterator[ast.AST]:
    """Nodes of the function that a line belongs to."""
    for function in sources.reached(declaration.function):
        tree = sources.tree(function)
        if tree is not None and tree.lineno <= line <= (tree.end_lineno or 0):
            yield from ast.walk(tree)


def _places(trace: TracebackType | None) -> Iterator[tuple[Path, int]]:
    """Places that numba was at work on when it failed without a word about them, the innermost first."""
    frames = []
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    for frame in reversed(frames):
        for name in ("inst", "stmt", "expr", "self"):
            place = getattr(frame.f_locals.get(name), "loc", None)
            if isinstance(getattr(place, "filename", None), str) and isinstance(getattr(place, "line", None), int):
                yield Path(place.filename), place.line  # type: ignore[union-attr]
