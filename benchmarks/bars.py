"""The benchmark's bars: seeded one-minute candles near 60,000, as a freqtrade file, a tape and a plain array."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from tidewright.market.tape import Tape

MINUTE_MS: Final = 60_000
START_MS: Final = 1_770_000_000_000 // MINUTE_MS * MINUTE_MS
TICK: Final = 0.1
LOT: Final = 0.001
COLUMNS: Final = ("open", "high", "low", "close", "volume")
QUOTE_TICKS: Final = 2  # assumed quotes a tick to either side of each print: the mid is the print


def make(count: int, seed: int = 7) -> pl.DataFrame:
    """Candles whose volatility comes and goes (about 0.05 % a bar), each from sixty steps within it."""
    rng = np.random.default_rng(seed)
    calm = np.abs(rng.normal(size=count)).cumsum()
    volatility = 5e-4 * (1.0 + 0.6 * np.sin(calm / 150.0)) * np.exp(0.3 * rng.normal(size=count))
    steps = rng.normal(size=(count, 60)) * (volatility / np.sqrt(60.0))[:, None]
    path = np.cumsum(steps, axis=1)
    close = path[:, -1].cumsum()
    close -= 0.002 * np.arange(count) / count  # no trend worth trading
    open_ = np.concatenate(([0.0], close[:-1]))
    high = np.maximum(np.maximum(open_, close), open_ + path.max(axis=1))
    low = np.minimum(np.minimum(open_, close), open_ + path.min(axis=1))
    price = {
        name: np.round(np.round(60_000.0 * np.exp(value) / TICK) * TICK, 1)
        for name, value in zip(COLUMNS[:4], (open_, high, low, close), strict=True)
    }
    volume = np.round(2.0 + rng.exponential(8.0, count), 3)
    date = START_MS + MINUTE_MS * np.arange(count, dtype=np.int64)
    frame = pl.DataFrame({"date": date, **price, "volume": volume})
    return frame.with_columns(pl.col("date").cast(pl.Datetime("ms", "UTC")))


def read(path: Path) -> pl.DataFrame:
    """Candles of a freqtrade file."""
    return pl.read_ipc(path).select("date", *COLUMNS)


def write(frame: pl.DataFrame, folder: Path) -> dict[str, Any]:
    """The candles as a file of freqtrade's, through our importer as a tape, and as an array for the peers.

    Returns
    -------
    dict
        The market for both processes.
    """
    folder.mkdir(exist_ok=True)
    candles, tape = folder / "BTC_USDT-1m.feather", folder / "bars"
    frame.write_ipc(candles, compression="uncompressed")
    shutil.rmtree(tape, ignore_errors=True)
    command = [
        sys.executable,
        "-m",
        "tidewright",
        "data",
        "import",
        "--format",
        "freqtrade",
        "--kind",
        "linear",
        "--json",
    ]
    given = ["--tick", str(TICK), "--lot", str(LOT), "--quotes", str(QUOTE_TICKS), "--out", str(tape)]
    subprocess.run([*command, *given, str(candles)], check=True, capture_output=True)
    prices: npt.NDArray[np.float64] = frame.select(COLUMNS).to_numpy()
    np.save(folder / "bars.npy", prices)
    np.save(folder / "bars.ms.npy", frame["date"].dt.epoch("ms").to_numpy())
    return {
        "tape": str(tape),
        "bars": str(folder / "bars.npy"),
        "times": str(folder / "bars.ms.npy"),
        "count": len(frame),
        "unit": "bar",
        "rows": len(Tape.open(tape)),
        "tick": TICK,
        "lot": LOT,
        "maker_fee": 0.0002,
        "taker_fee": 0.0005,
    }
