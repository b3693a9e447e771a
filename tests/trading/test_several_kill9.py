"""Several strategies on a real paper exchange: killed, found again, and every lot and unit in its sub-account."""

import json
import os
import signal

import pytest

from tests.trading.paper_market import SEVERAL, PaperMarket
from tests.trading.test_kill9 import ask, books
from tidewright import bootstrap
from tidewright.store import schema
from tidewright.store.database import Database
from tidewright.trading.replay_journal import replay
from tidewright.trading.sub_accounts import Part, SubAccounts

AGENTS = ("grid", "near", "mean_reversion")


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    with PaperMarket(tmp_path_factory.mktemp("paper"), hours=3.0) as running:
        yield running


def sub_books(market: PaperMarket) -> tuple[SubAccounts, list]:
    """The sub-accounts, made anew from nothing but what was dealt out."""
    database = Database(market.folder / "run" / bootstrap.DATABASE, readonly=True)
    session = database.sessions()[-1]["session"]
    rows = database.rows(schema.sub_trades, session)
    curve = database.rows(schema.sub_accounts, session)
    database.close()
    made = SubAccounts(AGENTS)
    for row in rows:
        made.take(Part(row["agent"], row["side"], row["price_ticks"], row["lots"], row["fee_units"], row["fee_asset"]))
    return made, curve


def test_a_killed_session_of_several_strategies_finds_every_sub_account_again(market):
    process = market.start_session("run", "adopt", SEVERAL)
    market.wait_for(process, lambda s: s["fills"] >= 5 and s["cycles"] > 10)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    _, ledger, _, _ = books(market)
    whole = sub_books(market)[0].total()
    assert (whole.position_lots, whole.cash) == (ledger.position_lots, ledger.cash), "also at the moment of death"
    process = market.start_session("run", "adopt", SEVERAL)
    market.wait_for(process, lambda s: s["fills"] >= 10)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    answer = json.loads(out.splitlines()[-1])
    assert [agent["name"] for agent in answer["agents"]] == list(AGENTS)
    assert sum(agent["share"] for agent in answer["agents"]) == pytest.approx(1.0, abs=0.051)

    there, trades, balances = ask(market)
    _, ledger, fills, _ = books(market)
    assert there == [] and [fill["trade_id"] for fill in fills] == [trade.trade_id for trade in trades]
    assert ledger.difference(balances.total("BTC"), balances.total("USDT")) == ""
    made, curve = sub_books(market)
    whole = made.total()
    assert (whole.position_lots, whole.cash) == (ledger.position_lots, ledger.cash)
    assert {a: u for a, u in whole.fees.items() if u} == {a: u for a, u in ledger.fees.items() if u}
    newest = {row["agent"]: row for row in curve}
    assert {name: row["position_lots"] for name, row in newest.items()} == {
        name: account.position_lots for name, account in made.accounts.items()
    }
    again = replay(market.folder / "run" / bootstrap.JOURNAL)
    assert again.rounds > 5 and again.differences == []
