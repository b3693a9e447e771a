"""What a session command answers when it is over: the report written, one JSON object for machines."""

import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tidewright import bootstrap
from tidewright.interface.session_report import Report, write_report
from tidewright.market.clock import SECOND
from tidewright.market.codes import UNIT
from tidewright.trading import state_file
from tidewright.trading.session import Session
from tidewright.trading.settings import SessionSettings


def answer(session: Session, folder: Path, began: float) -> tuple[dict[str, Any], Report]:
    """The result of a session that has ended in order.

    Parameters
    ----------
    began
        ``time.monotonic()`` when the command started.
    """
    now, database = session.now, folder / bootstrap.DATABASE
    report = write_report(database, None, session.session_name)
    figures = report.summary.figures
    result: dict[str, Any] = {
        "cycles": now.cycle,
        "orders": now.orders,
        "fills": now.fills,
        "cancels": now.cancels,
        "rejected": now.rejected,
        "proposals": now.proposals,
        "accepted": now.accepted,
        "refused": now.refused,
        "errors": now.errors,
        "equity_start": now.start_equity_units / UNIT,
        "equity_end": now.equity_units / UNIT,
        "fees": now.fees_units / UNIT,
        "traded": now.traded_units / UNIT,
        "metrics": {name: _plain(figures[name]) for name in ("sqn", "sharpe", "max_drawdown")},
        "params": now.params,
        "coordination": now.coordination,
        "agents": state_file.figures(now, session.instrument)["agents"],
        "rollout": now.rollout_state,
        "seat": _seat(now.seat),
        "market_from": session.started_ns,
        "market_to": now.market_ns,
        "report": str(report.page),
        "paths": {
            "folder": str(folder),
            "database": str(database),
            "tape": str(folder / bootstrap.TAPE),
            "messages": str(folder / bootstrap.JOURNAL),
            "report": str(report.page),
        },
        "wall": {"seconds": round(time.monotonic() - began, 3)},
    }
    return result, report


def facts(settings: SessionSettings) -> dict[str, Any]:
    """What of a session's settings its state file tells: strategy, cycle, limits."""
    return {
        "strategy": ", ".join(settings.agents.strategies) or settings.strategy,
        "cycle_s": settings.cycle_ns / SECOND,
        "limits": asdict(settings.limits),
        "advisor": settings.advice is not None,
        **({"policy": settings.seat.policy} if settings.seat.policy else {}),
    }


def _seat(seat: Mapping[str, Any]) -> dict[str, Any]:
    """Who sits, without the path of its file: two runs in two folders answer the same."""

    def without(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: without(part) for name, part in value.items() if name != "path"}
        return value

    return {name: without(part) for name, part in seat.items() if name != "path"}


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
