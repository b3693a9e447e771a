"""Two real processes, one session, a real paper exchange: the standby takes over, and there are never two masters."""

import json
import os
import signal
import time

import pytest

from tests.trading.paper_market import SESSION, PaperMarket
from tests.trading.test_kill9 import ask, books
from tidewright import bootstrap
from tidewright.store.database import Database
from tidewright.trading.lease import Lease, LeaseRow


def lease(market: PaperMarket) -> LeaseRow:
    database = Database(market.folder / "run" / bootstrap.DATABASE, readonly=True)
    try:
        row = Lease(database).read()
    finally:
        database.close()
    assert row is not None
    return row


def standby(market: PaperMarket, text: str = SESSION):
    process = market.start_session("run", "adopt", text, "--standby", "1")
    deadline = time.monotonic() + 60
    while not (market.folder / "run" / "standby-1.json").is_file():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)
    return process


def ended(market: PaperMarket, process) -> dict:
    """End a session in order, and hold its books against the exchange."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    there, trades, balances = ask(market)
    row, ledger, fills, still_open = books(market)
    assert there == [] and still_open == [] and row["ended_ns"] is not None
    assert [fill["trade_id"] for fill in fills] == [trade.trade_id for trade in trades]
    assert ledger.difference(balances.total("BTC"), balances.total("USDT")) == ""
    assert "Traceback" not in err
    return json.loads(out.splitlines()[-1])


def test_a_standby_goes_on_with_a_killed_masters_session(tmp_path):
    with PaperMarket(tmp_path, hours=16.0) as market:  # in lockstep it runs while processes start
        master = market.start_session()
        market.wait_for(master, lambda s: s["fills"] >= 3)
        second = standby(market)
        before = market.wait_for(master, lambda s: s["fills"] >= 5)
        os.kill(master.pid, signal.SIGKILL)
        master.communicate()
        seen = market.wait_for(second, lambda s: s["fills"] > before["fills"] + 2)
        assert seen["cycles"] > before["cycles"]
        assert lease(market).holder == "standby-1"
        answer = ended(market, second)
        assert answer["fills"] > before["fills"]
        assert lease(market).holder == "", "given back: nobody takes over a session that ended in order"


@pytest.mark.slow
@pytest.mark.parametrize("wakes", [True, False])
def test_a_master_that_hangs_is_fenced_and_stops_itself_or_is_killed(tmp_path, wakes):
    text = SESSION.replace('warmup = "2m"', 'warmup = "30s"\ncycle = "10s"')
    with PaperMarket(tmp_path, hours=3.0, pace="30x") as market:
        master = market.start_session("run", "adopt", text)
        market.wait_for(master, lambda s: s["fills"] >= 3)
        second = standby(market, text)
        token = lease(market).token
        os.kill(master.pid, signal.SIGSTOP)
        deadline = time.monotonic() + 60
        while lease(market).token == token:
            assert second.poll() is None, second.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        if wakes:
            os.kill(master.pid, signal.SIGCONT)
        _, err = master.communicate(timeout=60)
        if wakes:
            assert master.returncode == 1 and "another process is master now" in err
            assert "cancelling its open orders" not in err
        else:
            assert master.returncode == -signal.SIGKILL
        before = market.state()["fills"]
        market.wait_for(second, lambda s: s["fills"] > before)
        ended(market, second)


@pytest.mark.slow
def test_a_standby_of_a_session_that_ends_in_order_has_nothing_to_take_over(tmp_path):
    with PaperMarket(tmp_path, hours=16.0) as market:
        master = market.start_session()
        market.wait_for(master, lambda s: s["cycles"] >= 3)
        second = standby(market)
        third = market.start_session()  # another first process is refused: the session is held
        assert "already" in third.communicate(timeout=60)[1] and third.returncode == 2
        ended(market, master)
        out, err = second.communicate(timeout=60)
        assert second.returncode == 0, err
        assert json.loads(out) == {"took_over": False}
