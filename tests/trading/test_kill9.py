import asyncio
import json
import os
import signal

import pytest

from tests.trading.paper_market import PaperMarket
from tidewright import bootstrap
from tidewright.market.instrument import Instrument
from tidewright.risk.limit_state import LimitState
from tidewright.store import schema
from tidewright.store.database import Database, integrity
from tidewright.trading.ledger import Ledger, LedgerState
from tidewright.venues.binance.client import BinanceConfig
from tidewright.venues.binance.trading import BinanceTrading


@pytest.fixture
def market(tmp_path):
    with PaperMarket(tmp_path, hours=3.0) as running:
        yield running


def ask(market: PaperMarket):
    """Open orders, trades and balances as the exchange itself states them."""

    async def question():
        address = bootstrap.VenueAddress.from_ready(market.ready)
        venue = BinanceTrading(
            BinanceConfig(
                address.symbol, address.rest, address.ws, "", address.api_key, address.api_secret, time_scale=None
            )
        )
        try:
            await venue.load()
            return await venue.open_orders(), await venue.fills(-1), await venue.balances()
        finally:
            await venue.close()

    return asyncio.run(question())


def books(market: PaperMarket, name: str = "run"):
    """The session's row and its ledger, made anew from nothing but the fills in its database."""
    path = market.folder / name / bootstrap.DATABASE
    assert integrity(path) == "ok"
    database = Database(path, readonly=True)
    row = database.sessions()[-1]
    instrument = Instrument.from_json(json.loads(row["instrument"]))
    ledger = Ledger(instrument, LedgerState(row["start_base"], row["start_quote"]))
    fills = database.rows(schema.fills, row["session"])
    for fill in fills:
        ledger.book(fill["side"], fill["price_ticks"], fill["qty_lots"], fill["fee_units"], fill["fee_asset"])
    still_open = database.open_orders(row["session"])
    database.close()
    return row, ledger, fills, still_open


def remembered(market: PaperMarket, name: str = "run"):
    """What the limits of the session remember, as a restart would find it."""
    database = Database(market.folder / name / bootstrap.DATABASE, readonly=True)
    head = database.sessions()[-1]
    symbol = json.loads(head["instrument"])["symbol"]
    row = database.limit_state(f"{head['venue']}:{symbol}")
    database.close()
    assert row is not None
    return LimitState.from_json(json.loads(row["state"]))


@pytest.mark.parametrize("restarts", [["adopt"], pytest.param(["adopt", "cancel"], marks=pytest.mark.slow)])
def test_a_killed_session_is_found_again_and_balances_to_the_last_unit(market, restarts):
    fills_before = 0
    limits = LimitState()
    for restart in restarts:
        for _ in range(5):  # a kill between a decision's cancels and its new orders leaves nothing open: once more then
            process = market.start_session(restart=restart)
            market.wait_for(process, lambda s, least=fills_before + 5: s["fills"] >= least and s["open_orders"] > 0)
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            assert market.alive
            there, trades, _ = ask(market)
            if there:
                break
        row, _, fills, _ = books(market)
        assert row["ended_ns"] is None
        before, limits = limits, remembered(market)
        assert limits.peak_equity >= before.peak_equity > -1.0 and limits.day >= 0
        assert limits.day != before.day or limits.day_equity == before.day_equity, "a kill begins no new day"
        assert there, "the orders of the killed session should still be open at the exchange"
        assert {order.client_order_id.rpartition("-")[0] for order in there} == {f"tw-{row['session']}"}
        assert len(trades) >= len(fills) > fills_before
        fills_before = len(trades)

    process = market.start_session()
    market.wait_for(process, lambda s: s["fills"] >= fills_before)
    process.send_signal(signal.SIGINT)  # Ctrl-C: cancels what is open, reports, exits 0
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    answer = json.loads(out.splitlines()[-1])
    assert answer["fills"] >= fills_before
    assert market.alive

    there, trades, balances = ask(market)
    row, ledger, fills, still_open = books(market)
    assert there == []
    assert still_open == []
    assert row["ended_ns"] is not None
    assert [fill["trade_id"] for fill in fills] == [trade.trade_id for trade in trades]
    assert ledger.difference(balances.total("BTC"), balances.total("USDT")) == ""
    assert "Traceback" not in err
