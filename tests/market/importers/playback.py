"""What importer tests share: packed files, and the book that a tape's rows build."""

import gzip
import io
import zipfile
from pathlib import Path

from tidewright.market import codes
from tidewright.market.tape import Tape

MS = 1_000_000
T0 = 1_700_000_000_000  # ms
DATA = Path(__file__).parents[3].parent / "shared" / "data"


def gz(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    return path


def zipped(path: Path, text: str, *more: str) -> Path:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for i, part in enumerate((text, *more)):
            archive.writestr(f"{path.stem}{i or ''}.csv", part.encode(errors="surrogateescape"))
    path.write_bytes(packed.getvalue())
    return path


def listed(tape: Tape, t0_ms: int = T0) -> list[tuple[float, str, int, int]]:
    """Rows as (ms after t0, kind, ticks, lots)."""
    data = tape.data
    ms = ((data.ts - t0_ms * MS) / MS).tolist()
    names = [codes.KIND_NAMES[kind] for kind in data.kind]
    return list(zip(ms, names, data.price.tolist(), data.qty.tolist(), strict=True))


def packets(tape: Tape) -> list[list[str]]:
    """Kinds of the rows, packet by packet."""
    result: list[list[str]] = [[]]
    for kind, flags in zip(tape.data.kind, tape.data.flags, strict=True):
        result[-1].append(codes.KIND_NAMES[kind])
        if flags & codes.PACKET_END:
            result.append([])
    assert not result.pop(), "the tape ends in the middle of a packet"
    return result


def play(tape: Tape) -> tuple[dict[int, int], dict[int, int]]:
    """Bids and asks after the last row."""
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    for kind, price, qty in zip(tape.data.kind, tape.data.price.tolist(), tape.data.qty.tolist(), strict=True):
        if kind == codes.RESET:
            bids.clear()
            asks.clear()
        elif kind in (codes.BEST_BID, codes.BEST_ASK, codes.BID, codes.ASK):
            side, sign = (bids, 1) if kind in (codes.BID, codes.BEST_BID) else (asks, -1)
            if kind in (codes.BEST_BID, codes.BEST_ASK):
                for better in [p for p in side if sign * p > sign * price]:
                    del side[better]
            if qty:
                side[price] = qty
            else:
                side.pop(price, None)
    return bids, asks
