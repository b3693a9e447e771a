"""Where numba keeps compiled code: a folder named after a hash of the sources it was compiled from.

numba notices a change in the file of a cached function, not in the files of the functions it calls: an edited
kernel would live on in its callers' caches. A folder keyed by all kernel sources cannot be stale, and old folders
can be deleted at any time.
"""

import hashlib
import os
import sys
from pathlib import Path

_KERNEL_FLOORS = ("market", "risk", "strategies", "engine", "measure")


def source_hash(root: Path) -> str:
    """Hash of every source file that can hold a kernel, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for floor in _KERNEL_FLOORS:
        for path in sorted((root / floor).rglob("*.py")):
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
