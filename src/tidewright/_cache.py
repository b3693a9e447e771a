"""Where numba keeps compiled code: a folder named after a hash of the sources it was compiled from.

numba notices a change in the file of a cached function, not in the files of the functions it calls: an edited
kernel would live on in its callers' caches. A folder keyed by every source a kernel can have been made from cannot be
stale, and old folders can be deleted at any time. What no kernel can reach (a chart, a report) is left out of the key,
so editing it compiles nothing.
"""

import hashlib
import os
import re
import sys
from pathlib import Path

_PACKAGE = Path(__file__).parent.name
_USES_NUMBA = re.compile(rf"^\s*(?:import|from) (?:numba|{_PACKAGE}\.market\.inner)\b", re.MULTILINE)
_IMPORT = re.compile(
    rf"^\s*(?:from ({_PACKAGE}[\w.]*) import (\([^)]*\)|[^\n]*)|import ({_PACKAGE}[\w.]*))", re.MULTILINE
)


def kernel_sources(root: Path) -> list[Path]:
    """The source files that can end in compiled code, in order of name.

    Parameters
    ----------
    root : Path
        The package's folder.

    Returns
    -------
    list of Path
        Every file that imports numba or makes inner functions, and all that these import of the package, directly or
        not: constants are compiled in as well as functions.
    """
    texts = {path: path.read_text("utf-8") for path in root.rglob("*.py")}
    waiting = [path for path, text in texts.items() if _USES_NUMBA.search(text)]
    reached = set(waiting)
    while waiting:
        for path in _imported(root, texts[waiting.pop()]):
            if path in texts and path not in reached:
                reached.add(path)
                waiting.append(path)
    return sorted(reached)


def _imported(root: Path, text: str) -> list[Path]:
    """Files that the imports of a source may mean: a module, or a name that is a module of a package."""
    found = []
    for module, names, plain in _IMPORT.findall(text):
        base = root.joinpath(*(module or plain).split(".")[1:])
        found.append(base.with_suffix(".py"))
        found += [base / f"{name}.py" for name in re.findall(r"\w+", names)]
    return found


def source_hash(root: Path) -> str:
    """Hash of every source file that can end in compiled code, 16 hexadecimal digits."""
    return _digest(root, kernel_sources(root))


def package_hash(root: Path) -> str:
    """Hash of every source file of the package: what two machines must share to compute the same, 16 digits."""
    return _digest(root, sorted(root.rglob("*.py")))


def _digest(root: Path, paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def configure() -> None:
    """Point numba at the cache folder of these sources, unless the user has chosen one. Call before compiling."""
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    base = Path(os.environ.get("XDG_CACHE_HOME", "") or Path.home() / ".cache") / "tidewright"
    folder = base / f"numba-{source_hash(Path(__file__).parent)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # a read-only home: numba falls back to the folder beside the sources
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    if "numba" in sys.modules:  # another package (a plugin of pytest, say) came first, and it read the environment then
        sys.modules["numba"].config.CACHE_DIR = str(folder)
