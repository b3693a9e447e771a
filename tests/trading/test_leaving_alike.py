"""A session in a crash and a lane of the engine on the same tape leave alike, fill by fill: one rule for both."""

import shutil

import numpy as np
import pytest

from tests.trading.paper_market import PaperMarket
from tests.trading.test_kill9 import books
from tidewright.engine.replay import Replay, ReplayConfig
from tidewright.market.clock import MILLISECOND, SECOND
from tidewright.market.codes import IOC
from tidewright.market.scenarios import overlay, parse_scenario
from tidewright.market.tape import Tape, concatenate
from tidewright.market.tape_writer import TapeWriter
from tidewright.risk.limits import Limits
from tidewright.store import schema
from tidewright.store.database import Database

LIMITS = Limits(0.5, 0.005, 0.3, None, strict=True, flatten=True, orders_per_minute=40)
GRID = {"spread_percentage": 0.05, "levels": 4.0, "base_quantity": 0.05, "max_position": 0.6}
SESSION = f"""
strategy = "grid"
cycle = "10s"
warmup = "2m"
hours = 0.5
restart = "{{restart}}"
[venue]
state = "exchange.json"
[params]
{chr(10).join(f"{name} = {value}" for name, value in GRID.items())}
[limits]
max_position_share = 0.5
stop_loss = 0.005
daily_loss = 0.3
volatility_cutoff = false
flatten = true
orders_per_minute = 40
[dynamic]
enabled = false
[advice]
enabled = false
"""


class Crash(PaperMarket):
    """A market that falls by 6 % within minutes."""

    def __init__(self, folder) -> None:
        super().__init__(folder, hours=0.6)
        calm = Tape.open(folder / "market")
        crash = parse_scenario("flash-crash:drop=0.06,duration=10m,at=0.4")
        rows = concatenate(overlay([calm.data], crash, calm.start_ns, calm.end_ns))
        instrument = calm.instrument
        del calm
        shutil.rmtree(folder / "market")
        with TapeWriter(folder / "market", instrument) as writer:
            writer.append(rows)


@pytest.mark.slow
def test_a_session_and_a_lane_leave_with_the_same_fills(tmp_path):
    with Crash(tmp_path) as market:
        process = market.start_session(text=SESSION)
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    row, _, fills, _ = books(market)
    database = Database(market.folder / "run" / "session.db", readonly=True)
    orders = database.rows(schema.orders, row["session"])
    last = max(each["ts"] for each in database.rows(schema.decisions, row["session"]))
    database.close()
    assert sum(order["tif"] == IOC for order in orders) >= 2, "it left by taking"

    tape = Tape.open(market.folder / "market")
    config = ReplayConfig(
        start_ns=row["started_ns"],
        cycle_ns=10 * SECOND,
        entry_ns=50 * MILLISECOND,
        response_ns=50 * MILLISECOND,
        limits=LIMITS,
        record_fills=1,
    )
    lane = Replay(
        tape.instrument,
        config,
        "grid",
        GRID,
        base_units=row["start_base"],
        quote_units=row["start_quote"],
        check_balance=True,
    )
    lane.feed(tape.data)
    columns = ("side", "price", "qty", "fee")
    found = lane.fills()
    found = found[found["ts"] <= last]
    wanted = [tuple(int(fill[name]) for name in ("side", "price_ticks", "qty_lots", "fee_units")) for fill in fills]
    assert [tuple(int(fill[name]) for name in columns) for fill in found] == wanted
    assert [int(ts) // MILLISECOND for ts in found["ts"]] == [fill["ts"] // MILLISECOND for fill in fills]
    assert np.any(found["maker"] == 0)
