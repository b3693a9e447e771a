"""Whether another process still lives."""

import os
from pathlib import Path


def is_alive(pid: int) -> bool:
    """Whether a process exists and has not died as a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return True
