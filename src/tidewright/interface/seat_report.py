"""What a session's journal tells of its chair: steps from its messages, actions from its decisions."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from tidewright.agents.executor.environment_kernel import WIDEST
from tidewright.agents.executor.environment_tape import HOLD
from tidewright.agents.executor.seat import Seat, Sitter
from tidewright.agents.executor.state import NAMES
from tidewright.market.errors import TidewrightError
from tidewright.measure.seat_section import SeatAccount, SeatStep
from tidewright.store.database import Row

FOLDER: Final = "policies"


def account(folder: Path, decisions: list[Row], messages: list[Row]) -> SeatAccount | None:
    """The account of a session; ``None`` where nobody steered.

    Parameters
    ----------
    folder
        Of the session, where copies of its policies lie.
    """
    steps: list[SeatStep] = []
    overridden: list[str] = []
    doubts: list[str] = []
    for row in messages:
        data = _data(row) if row["direction"] == "out" and row["message_type"] == "status" else {}
        state = str(data.get("state", ""))
        if state.startswith("seat_"):
            steps.append(SeatStep(row["ts"], state.removeprefix("seat_").replace("_", " "), str(data["reason"])))
            for kept, told_of in ((overridden, "overridden"), (doubts, "doubts")):
                lines = [f"{_who(data)}: {reason}" for reason in data.get(told_of, ())]
                kept += [line for line in lines if line not in kept]
    told = [(row, orjson.loads(row["quotes"])) for row in decisions]
    steered = [(row, quotes) for row, quotes in told if "action" in quotes]
    if not steps and not steered:
        return None
    states = np.array([orjson.loads(row["state"]) for row, _ in steered], np.float64).reshape(-1, len(NAMES))
    shares = [float(quotes.get("scale", 1.0)) for _, quotes in told]
    return SeatAccount(
        tuple(steps),
        tuple(overridden),
        tuple(doubts),
        np.array([row["ts"] for row, _ in steered], np.int64),
        np.array([_parts(quotes["action"]) for _, quotes in steered], np.float64).reshape(-1, 4),
        states,
        NAMES,
        repeated(folder, told),
        float(np.mean(shares)) if shares else 1.0,
    )


def repeated(folder: Path, told: list[tuple[Row, dict[str, Any]]]) -> int | None:
    """How many journalled actions come out again when their policies see the journalled states again.

    A policy that sees several observations together is shown all of them in order.
    """
    seat, sat, same = Seat(Sitter()), "", 0
    for row, quotes in told:
        if "action" not in quotes:
            continue
        if quotes["seat"] != sat:
            sat = str(quotes["seat"])
            files = sorted((folder / FOLDER).glob(f"{sat}*.tw"))
            try:
                seat = Seat(Sitter.load(files[0]))
            except (IndexError, TidewrightError):
                return None
        action = seat.act(np.array(orjson.loads(row["state"]), np.float64))
        same += action is not None and action.to_json() == quotes["action"]
    return same


def _who(data: dict[str, Any]) -> str:
    """Name of the policy that a step is about."""
    return str((data["sits"] if "sits" in data else data["seat"]["challenger"])["name"])


def _parts(action: dict[str, Any]) -> list[float]:
    (spread, skew, _), (levels, stance) = action["continuous"], action["discrete"]
    return [float(levels), float(stance - HOLD), float(skew), float(WIDEST**spread)]


def _data(row: Row) -> dict[str, Any]:
    value = orjson.loads(row["body"]) if row["body"] else {}
    found = value.get("data") if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}
