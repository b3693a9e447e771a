"""The emergency stop against a real paper exchange: nothing open, position flat, whatever state the session is in."""

import asyncio
import json
import os
import signal
import subprocess

import pytest

from tests.trading.paper_market import PaperMarket, command
from tidewright import bootstrap
from tidewright.cli.main import main
from tidewright.store.database import Database
from tidewright.venues.binance.client import BinanceConfig
from tidewright.venues.binance.trading import BinanceTrading


@pytest.fixture
def market(tmp_path):
    with PaperMarket(tmp_path, hours=3.0) as running:
        yield running


def at_the_exchange(market):
    """Open orders and balances as the exchange states them."""

    async def question():
        a = bootstrap.VenueAddress.from_ready(market.ready)
        venue = BinanceTrading(BinanceConfig(a.symbol, a.rest, a.ws, "", a.api_key, a.api_secret, time_scale=None))
        try:
            instrument = await venue.load()
            return instrument, await venue.open_orders(), await venue.balances()
        finally:
            await venue.close()

    return asyncio.run(question())


def run(*arguments, timeout=120, **options):
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=timeout, **options)


def start_base(market, name="run"):
    database = Database(market.folder / name / bootstrap.DATABASE, readonly=True)
    row = database.sessions()[-1]
    database.close()
    return row["start_base"], row


def stop(capsys, *words):
    """``tidewright stop`` in this process: exit code, stdout, stderr."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main(["stop", *map(str, words)])
    return left.value.code, *capsys.readouterr()


def test_an_emergency_stop_cancels_everything_flattens_and_ends(market, capsys):
    process = market.start_session()
    market.wait_for(process, lambda s: s["fills"] >= 3 and float(s["position"]) != 0 and s["open_orders"] > 0)
    code, told, why = stop(capsys, market.folder / "run", "--emergency", "--flatten", "--json")
    _, err = process.communicate(timeout=60)
    assert code == 0, why
    assert process.returncode == 0, err
    state = json.loads(told.splitlines()[-1])
    assert (state["running"], state["stage"], state["open_orders"]) == (False, "ended", 0)
    instrument, still_open, balances = at_the_exchange(market)
    base, row = start_base(market)
    assert still_open == []
    assert row["ended_ns"] is not None
    left = balances.total(instrument.base) - base
    flat = abs(left) < instrument.lot_units
    small = abs(left) * float(state["mid"]) < 1.01 * instrument.filters.min_notional
    assert flat or small
    assert ("the position is flat" if flat else "too little for an order") in state["emergency"]
    journal = [json.loads(line) for line in (market.folder / "run" / "messages.jsonl").read_text().splitlines()]
    told = [(line["event"], line["message"]["message_type"]) for line in journal]
    assert told[-2:] == [("received", "command"), ("sent", "decision")]
    code, _, why = stop(capsys, market.folder / "run", "--emergency")
    assert (code, "has ended" in why) == (3, True)


@pytest.mark.slow
@pytest.mark.parametrize("fate", [signal.SIGKILL, signal.SIGSTOP])
def test_orders_of_a_dead_or_hanging_session_are_cancelled_at_the_venue_itself(market, fate):
    for number in range(5):  # a kill between a decision's cancels and its new orders leaves nothing open
        name = f"{fate.name}-{number}"
        process = market.start_session(name)
        market.state = lambda n=name: PaperMarket.state(market, n)
        try:
            market.wait_for(process, lambda s: s["fills"] >= 1 and s["open_orders"] > 0)
        finally:
            del market.state
        os.kill(process.pid, fate)
        if fate is signal.SIGKILL:
            process.communicate()
            _, there, _ = at_the_exchange(market)
            if not there:
                continue
        told = run("stop", str(market.folder / name), "--emergency", "--timeout", "3")
        process.communicate(timeout=30)
        assert told.returncode == 0, told.stderr
        assert "cancelled at the venue directly" in told.stderr
        _, there, _ = at_the_exchange(market)
        assert there == []
        return
    raise AssertionError("no kill left orders open")


def test_flatten_without_emergency_is_a_usage_error(tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main(["stop", str(tmp_path), "--flatten"])
    assert (left.value.code, "belongs to --emergency" in capsys.readouterr().err) == (2, True)
