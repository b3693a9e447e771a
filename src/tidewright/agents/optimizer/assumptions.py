"""What the figures of a search rest on: told with every answer, and the same in a study that is carried on."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import orjson

from tidewright.agents.optimizer.judge import Settings
from tidewright.agents.optimizer.study import Plan
from tidewright.market.clock import MILLISECOND, SECOND
from tidewright.market.codes import UNIT
from tidewright.market.detail import detail_of
from tidewright.market.instrument import units_text
from tidewright.market.tape import Tape
from tidewright.risk.limits import OFF
from tidewright.strategies.registry import strategy

RULES: Final = (
    "lanes start flat at the beginning of each window; price moves of the inventory they start with are left out",
    "the market does not react to the lanes",
    "funding is charged at the times that a future's tape tells, and there alone",
)
_FEES: Final = ("maker_fee", "taker_fee")
_PLACES: Final = ("path", "source")  # of a tape: they say where it is, not what is on it
_NOTHING: Final = "nothing"


def assumptions(tape: Tape, settings: Settings) -> dict[str, Any]:
    """All that a reader must know to believe, or doubt, the figures; plain values."""
    known, detail = tape.instrument, detail_of(tape.meta)
    given = (settings.maker_fee, settings.taker_fee)
    fees = {name: getattr(known, name) if fee is None else fee for name, fee in zip(_FEES, given, strict=True)}
    return {
        "tape": {
            "path": str(tape.path),
            "venue": known.venue,
            "symbol": known.symbol,
            "detail": detail.text,
            "detail_level": detail.level,
            "detail_fills": detail.fills,
            "source": tape.meta["source"],
            "rows": len(tape),
        },
        "instrument": {name: value for name, value in known.to_json().items() if name not in _FEES},
        **{name: fee / UNIT for name, fee in fees.items()},
        "entry_latency_ms": settings.entry_ns / MILLISECOND,
        "response_latency_ms": settings.response_ns / MILLISECOND,
        "feed_latency_ms": settings.feed_ns / MILLISECOND,
        "queue": settings.queue,
        **({"queue_power": settings.queue_power} if settings.queue == "prob" else {}),
        "limits": None if settings.limits == OFF else asdict(settings.limits),
        "capital": units_text(settings.equity),
        "base_inventory": units_text(settings.base),
        "check_balance": settings.check_balance,
        "market_impact": "none: own orders never move the tape",
        "cycle_s": settings.cycle_ns / SECOND,
        "rules": list(RULES),
    }


def experiment(tape: Tape, settings: Settings, plan: Plan) -> dict[str, Any]:
    """Everything that a candidate's figures depend on, besides the candidate; plain values.

    The tape is known by what is on it, not by where it lies.
    """
    from tidewright.agents.executor.policy_run import tape_hash

    told = assumptions(tape, settings)
    told.pop("rules")
    on_tape = {name: value for name, value in told["tape"].items() if name not in _PLACES}
    inside = plan.split.inside
    return {
        **told,
        "tape": {**on_tape, "sha256": tape_hash(tape)},
        "strategy": plan.strategy,
        "code_of_the_strategy": strategy(plan.strategy).digest,
        "incumbent": dict(plan.incumbent),
        "score": asdict(plan.objective),
        "in_sample": {"start_ns": inside.start_ns, "end_ns": inside.end_ns},
        "seed": plan.seed,
    }


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs, each by its name with both values."""
    old, new = (_flat(orjson.loads(orjson.dumps(told))) for told in (before, now))
    return [
        f"{name} was {_said(old, name)}, is now {_said(new, name)}"
        for name in {**old, **new}
        if old.get(name, _NOTHING) != new.get(name, _NOTHING)
    ]


def _said(told: Mapping[str, Any], name: str) -> Any:
    value = told.get(name)
    return _NOTHING if value is None or value in ("", []) else value


def _flat(told: Mapping[str, Any], within: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in told.items():
        found |= _flat(value, f"{within}{name} ") if isinstance(value, dict) else {f"{within}{name}": value}
    return found
