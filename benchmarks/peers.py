"""The peers and their environments: each has one of its own, for they need different versions of things."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
WORK: Final = ROOT / ".bench"
LIMIT_S: Final = 900  # of one process of a peer


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer.

    Attributes
    ----------
    key
        Name on the command line, of its file of requirements and of its script.
    title
        Name and version in the table.
    folder
        Its environment, in the checkout.
    """

    key: str
    title: str
    folder: str


HFTBACKTEST: Final = Peer("hftbacktest", "hftbacktest 2.4.4", ".venv-peers")
NAUTILUS: Final = Peer("nautilus", "nautilus_trader 1.221.0", ".venv-peer-nautilus")
VECTORBT: Final = Peer("vectorbt", "vectorbt 1.2.0", ".venv-peer-vectorbt")
BACKTESTING: Final = Peer("backtesting", "backtesting.py 0.6.6", ".venv-peer-backtesting")


class Unavailable(Exception):
    """A peer cannot be run here; the message is what its rows say."""


def python_of(peer: Peer, say: Callable[[str], None]) -> Path:
    """The interpreter of a peer's environment, made on first use and again when its requirements change.

    Raises
    ------
    Unavailable
        If it cannot be installed.
    """
    folder = ROOT / peer.folder
    python, pins = folder / "bin" / "python", ROOT / "benchmarks" / "requirements" / f"{peer.key}.txt"
    stamp = folder / f".{hashlib.sha256(pins.read_bytes()).hexdigest()[:16]}"
    if stamp.is_file():
        return python
    say(f"installing {peer.title} into {folder.name} (once, about a minute) ...")
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(pins)]
    for command in ([sys.executable, "-m", "venv", str(folder)], install):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Unavailable(f"cannot be installed: {last_line(done.stderr)}")
    stamp.touch()
    return python


def run(command: list[str], spec: dict[str, Any], work: Path = WORK) -> dict[str, Any]:
    """Run one side in a process of its own, with the specification's file in place of ``SPEC``; its answer.

    Raises
    ------
    Unavailable
        If it fails or takes longer than it may.
    """
    file = work / "spec.json"
    file.write_text(json.dumps(spec), encoding="utf-8")
    environment = {**os.environ, "NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [str(file) if part == "SPEC" else part for part in command]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT_S
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"did not finish in {LIMIT_S} s") from None
    if done.returncode != 0:
        raise Unavailable(f"failed: {last_line(done.stderr)}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def run_ours(command: list[str], spec: dict[str, Any], work: Path = WORK) -> dict[str, Any]:
    """Run our side, whose failure ends the benchmark."""
    try:
        return run(command, spec, work)
    except Unavailable as why:
        raise SystemExit(f"our side {why}") from None


def last_line(text: str) -> str:
    """What an error says: the last line that names one, else the last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    named = [line for line in lines if "Error" in line.partition(":")[0] or line.startswith("ERROR")]
    return (named or lines or ["without a word"])[-1][:200]
