"""What a session's messages tell of its advice: the stages of accepted proposals, and the account of regret."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from tidewright.coordination.messages import parse_timestamp
from tidewright.measure.regret import History, account
from tidewright.measure.report import Stage
from tidewright.store.database import Row


def stages(rows: list[Row]) -> tuple[Stage, ...]:
    """Every step of every proposal, with its cause, oldest first."""
    found = []
    for row in rows:
        data = _data(row) if row["direction"] == "out" and row["message_type"] == "decision" else {}
        if isinstance(data.get("stage"), str):
            agent = str(orjson.loads(row["body"]).get("source_agent", ""))
            whose = "" if agent in ("", "executor") else f"{agent}: "  # of several strategies on one account
            found.append(Stage(row["ts"], whose + str(data.get("in_reply_to", "")), data["stage"], row["why"]))
    return tuple(found)


def regrets(rows: list[Row]) -> dict[str, History]:
    """The account of regret of each agent that the optimizer's messages are for, once its first epoch is over."""
    heard: dict[str, list[Row]] = {}
    for row in rows:
        if row["direction"] == "in" and _data(row).get("regret"):
            heard.setdefault(str(orjson.loads(row["body"]).get("target_agent", "")), []).append(row)
    found = {agent: regret(own) for agent, own in sorted(heard.items())}
    return {agent: history for agent, history in found.items() if history is not None}


def regret(rows: list[Row]) -> History | None:
    """One account put together from the optimizer's messages; ``None`` before the first epoch is over."""
    epochs: dict[int, Mapping[str, Any]] = {}
    newest: Mapping[str, Any] = {}
    for row in rows:
        told = _data(row).get("regret") if row["direction"] == "in" else None
        if isinstance(told, dict) and isinstance(told.get("epoch"), dict):
            epochs[parse_timestamp(str(told["epoch"]["until"]))] = told["epoch"]
            newest = told
    if not epochs:
        return None
    times = sorted(epochs)
    fixed = [float(value) for value in newest.get("fixed_by_epoch", ())]
    if len(fixed) > len(times):  # an answer that told of an epoch was lost on its way: leave out what came before it
        fixed = fixed[-len(times) :]
    times = times[len(times) - len(fixed) :]
    if not times:
        return None
    ours, incumbent, best = ([float(epochs[ts][name]) for ts in times] for name in ("ours", "incumbent", "best"))
    if len(later := newest.get("best_by_epoch", ())) >= len(times):  # what joined since may have been better
        best = [float(value) for value in later[-len(times) :]]
    params = newest.get("best_fixed", {}).get("params", {})
    text = ", ".join(f"{name} {value:.4g}" for name, value in params.items() if isinstance(value, int | float))
    compared, waiting = (int(newest.get(name, 0)) for name in ("compared", "waiting"))
    found = account(ours, incumbent, fixed, best)
    return History(np.array(times, np.int64), found, text, compared, waiting, str(newest.get("obstacle") or ""))


def ahead(content: Mapping[str, Any]) -> tuple[float, float, float] | None:
    """The interval a proposal foretells for its difference over the next epoch: lower, upper, level."""
    told = content.get("next_epoch")
    if not isinstance(told, Mapping) or not isinstance(level := told.get("level"), int | float):
        return None
    lower, upper = told.get("lower"), told.get("upper")
    low = float(lower) if isinstance(lower, int | float) else -math.inf
    high = float(upper) if isinstance(upper, int | float) else math.inf
    return low, high, float(level)


def _data(row: Row) -> dict[str, Any]:
    try:
        value = orjson.loads(row["body"])
    except orjson.JSONDecodeError:
        return {}
    found = value.get("data") if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}
