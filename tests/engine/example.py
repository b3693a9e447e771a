"""A small market and the results of a run in forms that can be compared byte for byte."""

from functools import cache
from pathlib import Path

import numpy as np

from tidewright.engine.replay import Replay
from tidewright.market.codes import TRADE_BUY, TRADE_SELL
from tidewright.market.synthetic import generate, synthetic_instrument
from tidewright.market.tape import Columns, Tape, concatenate

SECOND = 1_000_000_000
# What numbers reports and orders of all lanes together: it says nothing about one of them.
SHARED = ("seq", "lane", "number")


@cache
def market(hours: float = 0.5, seed: int = 7, rate: float = 4.0) -> Tape:
    """A synthetic tape in memory."""
    data = concatenate(generate(hours, seed, rate))
    meta = {"rows": len(data.ts), "detail": "synthetic", "source": f"seed {seed}", "notes": {}}
    return Tape(Path(), synthetic_instrument(), meta, data)


def packet_ends(data: Columns) -> list[int]:
    """The row after each packet."""
    return [int(row) + 1 for row in np.flatnonzero(data.flags & 1)]


def last_print(data: Columns, row: int) -> int:
    """Price of the newest trade before a row, or the first one's."""
    prints = np.flatnonzero((data.kind == TRADE_BUY) | (data.kind == TRADE_SELL))
    return int(data.price[prints[max(0, int(np.searchsorted(prints, row)) - 1)]])


def lane_bytes(replay: Replay, reports: np.ndarray, lane: int) -> dict[str, bytes]:
    """Everything one lane of a finished run did: sums, equity, account and reports, its orders counted by itself."""
    rows = reports[reports["lane"] == lane]
    _, orders = np.unique(rows["number"], return_inverse=True)
    told = {name: rows[name].tobytes() for name in rows.dtype.names if name not in SHARED}
    sums = {f"sum {name}": values[lane].tobytes() for name, values in replay.statistics().items()}
    _, equity = replay.equity()
    account = repr(replay.account(lane)).encode()
    return {**told, **sums, "orders": orders.tobytes(), "equity": equity[:, lane].tobytes(), "account": account}


def all_bytes(replay: Replay) -> dict[str, bytes]:
    """Everything a finished run gives."""
    ts, equity = replay.equity()
    return {
        **{name: values.tobytes() for name, values in replay.statistics().items()},
        "reports": replay.reports().tobytes(),
        "equity ts": ts.tobytes(),
        "equity": equity.tobytes(),
        "shares": repr(replay.shares()).encode(),
        "counts": repr(replay.counts()).encode(),
        "accounts": repr([replay.account(lane) for lane in range(replay.lanes)]).encode(),
    }


def differences(one: dict[str, bytes], other: dict[str, bytes]) -> list[str]:
    """Names of what is not the same."""
    return [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)]
