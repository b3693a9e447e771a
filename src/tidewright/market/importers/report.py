"""What every importer has in common: what it hands back, and names of assets from a symbol."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from tidewright.market.clock import SECOND
from tidewright.market.errors import DataError, NotFoundError
from tidewright.market.tape import I64, Columns

Progress = Callable[[float], None]  # told the share that is done, 0 to 1

# A recorded time outside of these is a mistake.
EARLIEST: Final = 1_230_768_000 * SECOND  # 2009-01-01, the year of the first bitcoin
LATEST: Final = 4_102_444_800 * SECOND  # 2100-01-01

_QUOTES: Final = (
    "FDUSD",
    "USDT",
    "USDC",
    "BUSD",
    "TUSD",
    "USD",
    "EUR",
    "GBP",
    "TRY",
    "BRL",
    "JPY",
    "BTC",
    "ETH",
    "BNB",
)


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did.

    Parameters
    ----------
    path
        The new tape.
    symbol
        Its instrument.
    rows, packets, trades, gaps
        Counts of what was written.
    notes
        What was inferred or corrected, as in the tape's ``meta.json``.
    seconds
        Wall time it took.
    detail
        What the recording held, as in the tape's ``meta.json``.
    check
        Whether the tape can be used and what :func:`tidewright.market.check.check_tape` found unusual about it.
    """

    path: str
    symbol: str
    rows: int
    packets: int
    trades: int
    gaps: int
    notes: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    detail: str = ""
    check: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def part_of(progress: Progress | None, number: int, count: int) -> Progress | None:
    """Progress within part ``number`` (from 0) of ``count``."""
    if progress is None:
        return None
    return lambda done: progress((number + done) / count)


def split_symbol(symbol: str) -> tuple[str, str]:
    """Base and quote asset of ``BTCUSDT``, ``BTC-USD`` or ``BTC/USD``.

    Raises
    ------
    DataError
        If the quote asset is none of the usual ones.
    """
    for separator in "-/_":
        base, found, quote = symbol.partition(separator)
        if found and base and quote:
            return base, quote
    for quote in _QUOTES:
        if symbol.endswith(quote) and len(symbol) > len(quote):
            return symbol[: -len(quote)], quote
    raise DataError(f"cannot tell base and quote asset of {symbol!r}; known quote assets: {', '.join(_QUOTES)}")


def existing_files(files: list[str | Path]) -> list[Path]:
    """Paths of the input files.

    Raises
    ------
    DataError
        If none is given.
    NotFoundError
        If one does not exist.
    """
    if not files:
        raise DataError("no input files")
    paths = [Path(file) for file in files]
    for path in paths:
        if not path.is_file():
            raise NotFoundError(f"no input file {path}")
    return paths


def step_text(decimals: int) -> str:
    """Decimal text of ``10**-decimals``."""
    return "1" if decimals <= 0 else f"0.{'0' * (decimals - 1)}1"


def raise_receipts(data: Columns) -> tuple[Columns, int]:
    """Lift receipts that lie before their venue time to it, and count the rows."""
    early = (data.ts_local < data.ts) & (data.ts_local != 0)
    lifted: I64 = np.where(early, data.ts, data.ts_local)
    return data._replace(ts_local=lifted), int(early.sum())
