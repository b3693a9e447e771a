"""A perpetual future whose tape has mark prices and funding."""

from dataclasses import replace
from functools import cache

import numpy as np

from tests.engine.example import market, packet_ends
from tidewright.market.codes import FUNDING, MARK, PACKET_END
from tidewright.market.tape import Columns, Tape

RATES = (30_000, -70_000, 123_457, 10_000)  # 1e-8: many times what is usual


@cache
def future(hours: float = 0.3, seed: int = 7, marks: bool = True) -> Tape:
    """The synthetic market as a linear future, with funding four times and a mark price before each."""
    tape = market(hours, seed)
    ends = packet_ends(tape.data)
    after = [ends[len(ends) * (2 + place) // 7] for place in range(len(RATES))]
    price = int(tape.data.price[-1])
    rows = [(at, MARK, price + 1_000) for at in after] if marks else []
    rows = sorted(
        [*rows, *((at, FUNDING, rate) for at, rate in zip(after, RATES, strict=True))], key=lambda row: row[0]
    )
    at = np.array([row[0] for row in rows])
    fresh = {
        "ts": tape.data.ts[at - 1],
        "ts_local": tape.data.ts_local[at - 1],
        "kind": [row[1] for row in rows],
        "flags": PACKET_END,
        "price": [row[2] for row in rows],
        "qty": 0,
    }
    data = Columns(*(np.insert(column, at, fresh[name]) for name, column in tape.data._asdict().items()))
    known = replace(tape.instrument, kind="linear", venue="binanceusdm")
    return Tape(tape.path, known, {**tape.meta, "rows": len(data.ts)}, data)
