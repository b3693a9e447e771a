"""How a session begins: a new one with its first row, a broken-off one with its books brought together."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from tidewright.agents.executor.canary import CanaryRules, Rollout, comparison_of, transition_of
from tidewright.agents.optimizer.fold import BookFold
from tidewright.market.codes import UNIT
from tidewright.market.errors import DataError
from tidewright.market.instrument import Instrument
from tidewright.market.tape import Tape
from tidewright.store import schema
from tidewright.store.database import Database, Row
from tidewright.trading.advice import Before, calibration_of
from tidewright.trading.control import last_pattern, was_paused
from tidewright.trading.cycles import Registration
from tidewright.trading.ledger import Ledger, LedgerState
from tidewright.trading.orders import OrderManager
from tidewright.trading.past import mids2
from tidewright.trading.reconcile import Reconciliation, begin, reconcile, restore
from tidewright.trading.settings import SessionSettings
from tidewright.venues.interface import TradingVenue

logger = logging.getLogger(__name__)
EXECUTOR: Final = "executor"
_MOST: Final = 1_000  # newest times of a warm-up that are recalled
VOTED: Final = "voted"
"""Verdict on a ``decision`` of the message table whose parameters agents have voted, and no optimizer tries first."""


class Recalled(NamedTuple):
    """A time of the beat before a restart, as :meth:`tidewright.agents.executor.executor.Executor.recall` takes it.

    Attributes
    ----------
    equity
        Quote.
    mid2
        Twice the mid, ticks; 0 where the book was not whole.
    """

    now_ns: int
    position_lots: int
    equity: float
    mid2: int


@dataclass(slots=True)
class Opened:
    """A session that is ready to trade.

    Attributes
    ----------
    started_ns
        Market time at which trading begins, or began before a restart.
    start_trade_id
        The account's last trade before the session began.
    params
        Parameters to go on with.
    fills, cycles, start_equity_units
        What a broken-off session had done before.
    advice
        What its optimizer's advice had come to.
    recalled
        Times of the beat before the restart, oldest first.
    """

    session: str
    started_ns: int
    start_trade_id: int
    manager: OrderManager
    params: dict[str, float]
    reconciliation: Reconciliation = field(default_factory=Reconciliation)
    fills: int = 0
    cycles: int = 0
    start_equity_units: int = 0
    advice: Before = field(default_factory=Before)
    paused: bool = False
    pattern: str = ""
    recalled: list[Recalled] = field(default_factory=list)


def unfinished(database: Database) -> Row | None:
    """The row of the session that did not end in order, the newest if there are several."""
    found = [row for row in database.sessions() if row["ended_ns"] is None]
    return found[-1] if found else None


def grid_ns(resumed: Row | None) -> int | None:
    """Where the decision times of a broken-off session began."""
    return None if resumed is None else orjson.loads(resumed["settings"]).get("grid_ns")


async def open_new(
    venue: TradingVenue,
    database: Database,
    name: str,
    settings: SessionSettings,
    instrument: Instrument,
    registration: Registration,
    tape: str,
    now_ns: int,
    wall_ns: int,
) -> Opened:
    """Begin a session with what the account holds now.

    Parameters
    ----------
    tape
        Name of the tape's folder.

    Raises
    ------
    TimedOutError
        If the venue does not answer.
    """
    state, newest = await begin(venue, instrument.base, instrument.quote)
    told: Mapping[str, Any] = {
        **settings.to_json(),
        "grid_ns": registration.start_ns,
        "tape": tape,
        "market_detail": registration.detail,
        "latency": {
            "feed_ns": registration.feed_ns,
            "entry_ns": registration.entry_ns,
            "response_ns": registration.response_ns,
        },
    }
    started_ns = now_ns + settings.warmup_ns
    row = {
        "session": name,
        "started_ns": started_ns,
        "started_wall_ns": wall_ns,
        "ended_ns": None,
        "venue": f"{settings.mode}:{instrument.venue}",
        "instrument": orjson.dumps(instrument.to_json()).decode(),
        "strategy": settings.strategy,
        "start_base": state.start_base,
        "start_quote": state.start_quote,
        "start_trade_id": newest,
        "settings": orjson.dumps(told).decode(),
    }
    database.add(schema.sessions, [row])
    database.commit()
    manager = OrderManager(name, Ledger(instrument, state))
    return Opened(name, started_ns, newest, manager, dict(settings.params))


async def open_again(
    venue: TradingVenue,
    database: Database,
    row: Row,
    settings: SessionSettings,
    instrument: Instrument,
    now_ns: int,
) -> Opened:
    """Go on with a session that did not end in order.

    Raises
    ------
    DoesNotBalanceError
        If books and account differ.
    DataError
        If it traded another instrument.
    TimedOutError
        If the venue does not answer.
    """
    before = Instrument.from_json(orjson.loads(row["instrument"]))
    if (before.symbol, before.tick_size, before.lot_size) != (
        instrument.symbol,
        instrument.tick_size,
        instrument.lot_size,
    ):
        raise DataError(f"the session in {database.path} traded {before.symbol}, tick {before.tick_size}")
    session, start_trade = row["session"], int(row["start_trade_id"])
    ledger = Ledger(instrument, LedgerState(row["start_base"], row["start_quote"]))
    manager = restore(database, session, ledger)
    known = len(database.rows(schema.fills, session))
    found = await reconcile(
        venue, database, manager, now_ns, start_trade, adopt=settings.adopt, on_its_way_s=settings.on_its_way_s
    )
    logger.info("session %s resumed: %s", session, found.text())
    decisions = database.rows(schema.decisions, session)
    orders = database.rows(schema.orders, session)
    manager.placed = len(orders)
    manager.rejected = sum(order["state"] == "REJECTED" for order in orders)
    manager.cancels_sent += sum(decision["cancelled"] for decision in decisions)
    equity = database.rows(schema.equity, session)
    messages = database.rows(schema.messages, session)
    proposals = [message for message in messages if message["message_type"] != "command"]
    rollouts = _rollouts(messages, settings)
    return Opened(
        session,
        int(row["started_ns"]),
        start_trade,
        manager,
        _params(messages, settings, rollouts),
        found,
        known + len(found.missing_fills),
        max(0, len(equity) - 1),
        equity[0]["equity_units"] if equity else 0,
        Before(
            sum(message["verdict"] == "accepted" for message in proposals),
            sum(message["verdict"] in ("refused", "invalid") and message["direction"] == "in" for message in proposals),
            rollouts,
            _calibrations(messages),
            {_ends(row)[0]: int(row["ts"]) for row in messages if row["message_type"] == "optimize_request"},
        ),
        was_paused(messages),
        last_pattern(messages),
        _recalled(equity, decisions, int(row["started_ns"])),
    )


def warm_up(tape: Path, opened: Opened, settings: SessionSettings, now_ns: int) -> list[Recalled]:
    """The warm-up before a restart, from the session's tape: nothing was held or decided, and nothing written down."""
    began = opened.started_ns - settings.warmup_ns
    times = range(began, min(opened.started_ns, now_ns), settings.cycle_ns)[-_MOST:]
    found = mids2(Tape.open(tape).data, times, settings.warmup_ns, BookFold())  # a quiet market's mid does not grow old
    return [Recalled(now_ns, 0, 0.0, mid2) for now_ns, mid2 in zip(times, found, strict=True)]


def _recalled(equity: list[Row], decisions: list[Row], started_ns: int) -> list[Recalled]:
    decided = {row["ts"] for row in decisions}
    found = []
    for row in equity:
        whole = row["ts"] in decided or row["ts"] <= started_ns
        mid2 = row["mid2_ticks"] if whole else 0
        found.append(Recalled(row["ts"], row["position_lots"], row["equity_units"] / UNIT, mid2))
    return found


def _calibrations(messages: list[Row]) -> dict[str, tuple[float, int]]:
    """The last account of the optimizer's confidence that was heard, by whom it advised."""
    heard = [row for row in messages if row["direction"] == "in" and row["message_type"] != "command"]
    return {_ends(row)[-1]: score for row in heard if (score := calibration_of(_data(row))) is not None}


def _rollouts(messages: list[Row], settings: SessionSettings) -> dict[str, Rollout]:
    names = tuple(settings.agents.strategies) or (EXECUTOR,)
    found = {name: _rollout(name, messages, settings) for name in names}
    return {name: rollout for name, rollout in found.items() if rollout is not None}


def _rollout(name: str, messages: list[Row], settings: SessionSettings) -> Rollout | None:
    """The stage of one's parameters when the session broke off, from its journal: each step and comparison again.

    Without an optimizer nobody would watch a canary: it counts as rolled back.
    """
    advice = settings.advice
    own = [row for row in messages if _is_outside(row) or name in _ends(row)]
    steps = [row for row in own if row["message_type"] == "decision" and row["direction"] == "out"]
    staged = [step for row in steps if (step := transition_of(_data(row), row["ts"])) is not None]
    if not staged:
        return None
    found = Rollout(CanaryRules() if advice is None else advice.canary, settings.cycle_ns, staged[0].previous)
    for row in own:
        if _is_outside(row):
            if params := _own(name, _set(row)):
                found.replace(params, row["ts"])
        elif row["direction"] == "in":
            if (seen := comparison_of(_data(row))) is not None:
                found.note(seen)
        elif row["message_type"] == "decision" and (step := transition_of(_data(row), row["ts"])) is not None:
            found.apply(step)
    if advice is None and found.stage == "canary":
        found.params = dict(found.previous)
    return found


def _is_outside(row: Row) -> bool:
    return row["message_type"] == "command" or row["verdict"] == VOTED


def _set(row: Row) -> Mapping[str, float]:
    """Parameters that a person or a vote has set; nothing in other rows."""
    if row["verdict"] == VOTED or (row["message_type"] == "command" and row["verdict"] == "accepted"):
        return _data(row).get("params") or {}
    return {}


def _ends(row: Row) -> tuple[str, ...]:
    """Who a message is from and for."""
    value = orjson.loads(row["body"]) if row["body"] else None
    return (str(value.get("source_agent")), str(value.get("target_agent"))) if isinstance(value, dict) else ()


def _own(name: str, params: Mapping[str, float]) -> dict[str, float]:
    """Of parameters set by hand those of one: ``agent.name`` where several trade."""
    prefix = "" if name == EXECUTOR else f"{name}."
    return {key.removeprefix(prefix): float(value) for key, value in params.items() if key.startswith(prefix)}


def _data(row: Row) -> dict[str, Any]:
    if not row["body"]:
        return {}
    value = orjson.loads(row["body"])
    found = value.get("data") if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _params(messages: list[Row], settings: SessionSettings, rollouts: Mapping[str, Rollout]) -> dict[str, float]:
    """What to go on with: what a rollout aims at, else the last that was set; ``agent.name`` where several trade."""
    if not settings.agents.strategies and EXECUTOR in rollouts:
        return dict(rollouts[EXECUTOR].params)
    params = dict(settings.params)
    for row in messages:
        params.update(_set(row))
        proposed = row["message_type"] == "parameter_update" and row["verdict"] == "accepted"
        if proposed and not settings.agents.strategies:
            params.update(_data(row)["optimized_params"])
    for name, rollout in rollouts.items():
        params |= {f"{name}.{parameter}": value for parameter, value in rollout.params.items()}
    return params
