"""``python -m tidewright.cli.compile``: compile every kernel into numba's cache, so that the first command need not.

Part of the installation (`make`); without it the first command compiles what it needs, once. Where there are two cores,
two processes compile a part each into the same cache. This one imports nothing of weight.
"""

import os
import subprocess
import sys
import time
from typing import Final

from tidewright.market.cores import cores

PARTS: Final = ("replay", "rest")
# A compiler takes and returns much memory. Kept instead of given back each time, it costs a third less time. The
# allocator reads this when a process begins.
_KEEP_MEMORY: Final = {
    "PYTHONMALLOC": "malloc",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "MALLOC_TOP_PAD_": "268435456",
}


def main() -> int:
    """Compile all parts; the exit code."""
    began = time.monotonic()
    print("compiling the kernels, once for this version (some fifteen seconds) ...", file=sys.stderr, flush=True)
    command, environment = [sys.executable, "-m", "tidewright.cli.compile_part"], {**os.environ, **_KEEP_MEMORY}
    together = [(part,) for part in PARTS] if cores() > 1 else [PARTS]
    running = [subprocess.Popen([*command, *parts], env=environment) for parts in together]
    worst = max(abs(process.wait()) for process in running)
    if worst == 0:
        print(f"compiled in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return worst


if __name__ == "__main__":
    sys.exit(main())
