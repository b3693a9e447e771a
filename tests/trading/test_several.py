"""Several strategies on one account: capital, quotes, fills and books of each, over kills and restarts."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agents.test_executor_seat import SETTINGS, sitter
from tests.trading.fake_session import CYCLE, Stage
from tidewright.coordination.council import Council
from tidewright.coordination.journal import Journal
from tidewright.market.errors import DataError, UsageError
from tidewright.risk.limits import Limits
from tidewright.store import schema
from tidewright.trading.capital import Capital, in_steps
from tidewright.trading.reconcile import DoesNotBalanceError
from tidewright.trading.replay_journal import relearn, replay
from tidewright.trading.seat_settings import SeatSettings
from tidewright.trading.settings import AgentSettings, StrategyAgent

SIZES = {"base_quantity": 0.01, "max_position": 0.05, "levels": 2}
AGENTS = {
    "grid": StrategyAgent("grid", {**SIZES, "spread_percentage": 0.2}),
    "wide": StrategyAgent("grid", {**SIZES, "spread_percentage": 0.4}),
    "glft": StrategyAgent("glft", SIZES),
}


JOURNALS: list[Journal] = []


@pytest.fixture(autouse=True)
def closed():
    yield
    while JOURNALS:
        JOURNALS.pop().close()


class Killed(BaseException):
    pass


def stage(
    folder,
    cycles,
    on_release=lambda stage, number: None,
    pattern="hierarchical",
    agents=AGENTS,
    limits=None,
    override=False,
):
    """A session of several agents with a council of its own, as bootstrap makes it."""
    path = folder / "messages.jsonl"
    learned, told = relearn(path, tuple(agents))
    made = Stage(
        folder,
        cycles,
        on_release,
        limits=limits or Limits(max_position_share=0.5, strict=True),
        agents=AgentSettings(strategies=agents, round_cycles=2),
        seat=SeatSettings(override_examination=override),
    )
    JOURNALS.append(Journal(path))
    coordinator = Capital(learned or Council(tuple(agents), pattern), JOURNALS[-1], 0.6, 2)
    for each in told:
        coordinator.remember(each)
    made.session._parts.coordinator = coordinator
    made.session.control.switch = coordinator.switch
    return made


def market(seed):
    """Moves the mid, trades through it, and fills some of our orders, partly or whole."""
    rng = np.random.default_rng(seed)

    def moves(stage, number):
        mid = 6_000_000 + 100 * int(rng.integers(-60, 60))
        stage.feed.quote(stage.at(number) - 2, mid - 500, mid + 500, snapshot=True)
        stage.feed.trade(stage.at(number) - 1)
        for name, order in list(stage.venue.book.items()):
            if order.status.live and rng.random() < 0.3:
                left = order.qty_lots - order.filled_lots
                stage.venue.fill(name, int(rng.integers(1, left + 1)), int(rng.integers(0, 500)))

    return moves


def books_of(session):
    return {name: (a.position_lots, a.cash, a.cost, dict(a.fees)) for name, a in session._desk.books.accounts.items()}


def test_sub_accounts_add_up_to_the_account_and_each_has_capital_quotes_and_fills(tmp_path):
    made = stage(tmp_path, 40, market(3))
    session = made.run()
    assert session.now.stage == "ended"
    whole, ledger = session._desk.books.total(), session._manager.ledger
    assert (whole.position_lots, whole.cash) == (ledger.position_lots, ledger.cash)
    assert {asset: units for asset, units in whole.fees.items() if units} == {a: u for a, u in ledger.fees.items() if u}
    assert session.now.fills > 10
    assert all(agent.trades for agent in session.now.agents)
    assert sum(agent.share for agent in session.now.agents) == pytest.approx(1.0)
    assert sum(agent.capital_units for agent in session.now.agents) <= max(
        row["equity_units"] for row in made.database.rows(schema.equity, "s")
    )
    gains = sum(agent.gain_units for agent in session.now.agents)
    assert abs(gains - session.now.traded_units) <= 3 * len(AGENTS)  # each rounds down to a unit by itself
    owners = made.database.rows(schema.order_owners, "s")
    orders = {row["client_order_id"]: row["qty_lots"] for row in made.database.rows(schema.orders, "s")}
    assert {row["client_order_id"] for row in owners} == set(orders)
    assert all(sum(lots for _, lots in json.loads(row["owners"])) == orders[row["client_order_id"]] for row in owners)


@settings(max_examples=8)
@given(seed=st.integers(0, 2**32), dies=st.integers(3, 25))
def test_books_are_found_again_after_a_kill_wherever_it_comes(seed, dies, tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    moves = market(seed)

    def mortal(stage, number):
        moves(stage, number)
        if number == dies:
            raise Killed

    first = stage(folder, 100, mortal)
    with pytest.raises(Killed):
        first.run()
    before = books_of(first.session)
    first.database.close()
    missed = {event.client_order_id for event in first.venue.events if hasattr(event, "trade_id")}

    second = stage(folder, dies + 10, market(seed + 1))
    second.venue = first.venue
    second.session._parts.venue = first.venue
    second.cycles._at, second.feed.begins = dies, second.at(dies) - 10
    first.venue.events.clear()
    found = {}

    def looked(now):
        if not found:
            found.update(books_of(second.session))

    second.session._parts.observers = (looked,)
    session = second.run()
    if not missed:
        assert found == before
    assert session.now.stage == "ended"
    rebuilt = {row["agent"]: 0 for row in second.database.rows(schema.sub_trades, "s")}
    for row in second.database.rows(schema.sub_trades, "s"):
        rebuilt[row["agent"]] += row["lots"] if row["side"] == 0 else -row["lots"]
    assert all(session._desk.books.accounts[name].position_lots == lots for name, lots in rebuilt.items())
    assert replay(folder / "messages.jsonl").differences == []


def test_the_council_goes_on_with_what_it_had_learned(tmp_path):
    def mortal(stage, number):
        market(number)(stage, number)
        if number == 21:
            raise Killed

    first = stage(tmp_path, 100, mortal)
    with pytest.raises(Killed):
        first.run()
    council = first.session._parts.coordinator.council
    weights = council._patterns["hierarchical"].weights
    assert council.rounds > 5 and len(set(weights.values())) > 1, "it had learned something"
    again, told = relearn(tmp_path / "messages.jsonl", tuple(AGENTS))
    assert again is not None and again.rounds == council.rounds == len(told)
    assert again._patterns["hierarchical"].weights == weights
    records = [council._patterns["democratic"].records.worth(name) for name in AGENTS]
    assert [again._patterns["democratic"].records.worth(name) for name in AGENTS] == records
    assert relearn(tmp_path / "messages.jsonl", ("grid", "glft"))[0] is None, "others: nothing to go on with"


def test_a_switch_of_the_pattern_moves_the_capital_at_the_next_decision(tmp_path):
    seen = []

    def switches(stage, number):
        market(number)(stage, number)
        seen.append(dict(stage.session._desk.shares))
        if number == 10:
            stage.session._parts.coordinator.switch("master_slave", 0)

    stage(tmp_path, 20, switches).run()
    assert seen[8]["grid"] < 1.0
    assert seen[10] == {"grid": 1.0, "wide": 0.0, "glft": 0.0}
    assert replay(tmp_path / "messages.jsonl").rounds > 3


def test_who_has_no_capital_only_leaves_what_it_holds(tmp_path):
    held = []

    def switches(stage, number):
        market(number)(stage, number)
        if number == 20:
            stage.session._parts.coordinator.switch("master_slave", 0)
        held.append({name: a.position_lots for name, a in stage.session._desk.books.accounts.items()})

    stage(tmp_path, 60, switches).run()
    for name in ("wide", "glft"):
        sizes = [abs(each[name]) for each in held[22:]]
        assert all(b <= a for a, b in itertools.pairwise(sizes))


def test_money_that_moves_behind_our_back_stops_several_strategies_within_cycles(tmp_path):
    def thief(stage, number):
        market(number)(stage, number)
        if number == 10:
            stage.venue.quote -= 1
        if number >= 10:
            from tidewright.venues.interface import Balances

            stage.venue.events.append(Balances({"BTC": stage.venue.base, "USDT": stage.venue.quote}, {}))

    made = stage(tmp_path, 60, thief)
    with pytest.raises(DoesNotBalanceError, match=r"difference -0\.00000001"):
        made.run()
    assert made.session.cycles < 16


def test_a_session_of_one_strategy_is_not_shared_out_afterwards(tmp_path):
    def dies(stage, number):
        if number == 2:
            stage.venue.fill("tw-s-1", 40)
        if number == 4:
            raise Killed

    first = Stage(tmp_path, cycles=100, on_release=dies)
    with pytest.raises(Killed):
        first.run()
    first.database.close()
    second = stage(tmp_path, 10)
    second.venue = second.session._parts.venue = first.venue
    first.venue.events.clear()
    with pytest.raises(DataError, match="began with one strategy"):
        second.run()


def test_parameters_are_set_by_agent_and_name(tmp_path):
    made = stage(tmp_path, 4)
    session = made.run()
    desk = session._desk
    desk.use({"wide.spread_percentage": 0.5})
    assert desk.params["wide.spread_percentage"] == 0.5 and desk.params["grid.spread_percentage"] == 0.2
    for wrong in ({"spread_percentage": 0.3}, {"nobody.levels": 2}, {"wide.levels": 1000}, {"wide.nothing": 1}):
        with pytest.raises(UsageError):
            desk.use(wrong)
    assert desk.params["wide.spread_percentage"] == 0.5


def test_shares_in_steps_lose_nothing_that_a_step_can_carry():
    assert in_steps({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}) == {"a": 0.35, "b": 0.35, "c": 0.3}
    assert in_steps({"a": 1.0}) == {"a": 1.0}
    assert in_steps({"a": 0.01, "b": 0.02}) == {"a": 0.0, "b": 0.0}
    assert in_steps({}) == {}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6).filter(lambda raw: sum(raw) > 0))
def test_shares_in_steps_are_never_more_than_there_is(raw):
    shares = {str(i): value / sum(raw) for i, value in enumerate(raw)}
    found = in_steps(shares)
    assert sum(found.values()) <= 1 + 1e-9 and all(abs(found[name] - shares[name]) <= 0.05 + 1e-9 for name in shares)


def test_settings_say_what_does_not_go_together():
    with pytest.raises(UsageError, match="from two on"):
        AgentSettings(strategies={"grid": AGENTS["grid"]})
    with pytest.raises(UsageError, match="cannot both trade"):
        AgentSettings(strategies=AGENTS, commands={"grid": ("x",)})
    with pytest.raises(UsageError, match="x is no neighbour"):
        AgentSettings(strategies=AGENTS, neighbours={"grid": ("x",)})


def test_a_learned_policy_is_one_of_the_agents_with_a_shadow_of_its_own(tmp_path):
    settings = replace(SETTINGS, cycle_ns=CYCLE)
    seated = sitter(tmp_path, settings=settings)
    learned = StrategyAgent("shaped", {}, seated.path)
    made = stage(tmp_path, 60, market(5), agents={"learned": learned, "grid": AGENTS["grid"]}, override=True)
    session = made.run()
    desk, coordinator = session._desk, session._parts.coordinator
    pilot = desk.agents["learned"].executor.pilot
    assert pilot is not None and pilot.newest is not None, "it acts"
    assert coordinator.shadow.broken == "" and set(coordinator.shadow.gains()) == {"learned", "grid"}
    assert coordinator.council.rounds > 10 and replay(tmp_path / "messages.jsonl").differences == []
    desk.check()
    told = [row for row in made.database.rows(schema.messages, "s") if row["message_type"] == "risk_event"]
    assert [row["why"] for row in told if "by an operator's override although it was never examined" in row["why"]]


def test_a_policy_that_may_not_sit_is_no_agent_either(tmp_path):
    seated = sitter(tmp_path, settings=replace(SETTINGS, cycle_ns=CYCLE))
    learned = StrategyAgent("shaped", {}, seated.path)
    with pytest.raises(UsageError, match="may not sit"):
        stage(tmp_path, 10, market(5), agents={"learned": learned, "grid": AGENTS["grid"]}).run()


def test_default_sizes_of_agents_are_raised_where_the_venue_would_refuse_them_and_stated_ones_stay(tmp_path, caplog):
    agents = {"grid": StrategyAgent("grid", {"levels": 1}), "glft": StrategyAgent("glft", {**SIZES, "levels": 1})}
    made = stage(tmp_path, 4, agents=agents)
    known = made.venue.instrument
    made.venue.instrument = replace(known, filters=replace(known.filters, min_notional=500 * 10**8))
    params = made.run().now.params
    assert params["grid.base_quantity"] * 60_000 > 500 and params["glft.base_quantity"] == SIZES["base_quantity"]
    assert "sizes: grid: base_quantity" in caplog.text and "glft:" not in caplog.text
