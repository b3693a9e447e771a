"""Latency as a user gives it: a duration, recorded in a file, or sampled."""

from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from tidewright.engine.latency import Latency, LatencyTable, SampledLatency
from tidewright.market.clock import parse_duration
from tidewright.market.errors import UsageError
from tidewright.market.latency_file import read_latencies

FORMS: Final = "50ms, table:FILE, or sampled:50ms,response=50ms,sigma=0.3,spike=500ms,p=0.01,seed=7"

LatencyLike = str | int | float | Latency


class Latencies(NamedTuple):
    """What a run is made with: constant ones, or a model in their place.

    Attributes
    ----------
    entry_ns, response_ns
        Constant latencies, or typical ones of the model: the median of what is drawn, or of a table's rows, each row
        counting once whatever time it stands for.
    model
        ``None``: they are constant.
    said
        In words.
    """

    entry_ns: int
    response_ns: int
    model: Latency | None
    said: str


def parse_latency(value: LatencyLike, response: str | int | float | None = None) -> Latencies:
    """Latencies of a duration, of ``table:FILE``, of ``sampled:...`` (see FORMS), or of a model.

    Parameters
    ----------
    response
        Of the venue's answer where that of orders is a duration; ``None``: the same.

    Raises
    ------
    UsageError
        If the text is none of the forms, or a value out of range.
    NotFoundError, DataError
        If a file is not there, or no table of latencies.
    """
    if isinstance(value, str) and value.startswith("table:"):
        value = LatencyTable(read_latencies(Path(value.removeprefix("table:")).expanduser()))
    elif isinstance(value, str) and value.startswith("sampled:"):
        value = _sampled(value)
    if isinstance(value, SampledLatency | LatencyTable):
        if response is not None:
            raise UsageError("a latency that is not constant says the response's too: leave `response` out")
        return _of_model(value)
    entry_ns = parse_duration(value)
    response_ns = entry_ns if response is None else parse_duration(response)
    return Latencies(entry_ns, response_ns, None, f"constant: {_ms(entry_ns)} there, {_ms(response_ns)} back")


def _of_model(model: Latency) -> Latencies:
    if isinstance(model, LatencyTable):
        entry_ns, response_ns = (int(value) for value in np.median(model.rows[:, 1:], axis=0))
        longest = model.rows[:, 1:].max(axis=0).tolist()
        said = (
            f"interpolated in time between {len(model.rows)} recorded rows: median of the rows {_ms(entry_ns)} there, "
            f"{_ms(response_ns)} back, longest {_ms(longest[0])} and {_ms(longest[1])}"
        )
        return Latencies(entry_ns, response_ns, model, said)
    said = (
        f"sampled, log-normal: median {_ms(model.entry_ns)} there, {_ms(model.response_ns)} back, "
        f"sigma {model.sigma:g}, spikes of {_ms(model.spike_ns)} with probability "
        f"{model.spike_odds:g}, seed {model.seed}"
    )
    return Latencies(model.entry_ns, model.response_ns, model, said)


def _sampled(text: str) -> SampledLatency:
    first, *rest = text.removeprefix("sampled:").split(",")
    entry_ns = parse_duration(first.strip())
    values: dict[str, Any] = {"entry_ns": entry_ns, "response_ns": entry_ns}
    for word in rest:
        name, equals, amount = (part.strip() for part in word.partition("="))
        if not equals:
            raise UsageError(f"latency must be {FORMS}; was {text!r}")
        try:
            match name:
                case "response":
                    values["response_ns"] = parse_duration(amount)
                case "spike":
                    values["spike_ns"] = parse_duration(amount)
                case "p":
                    values["spike_odds"] = float(amount)
                case "sigma":
                    values["sigma"] = float(amount)
                case "seed":
                    values["seed"] = int(amount)
                case _:
                    raise UsageError(f"a sampled latency has no {name!r}: {FORMS}")
        except UsageError:
            raise
        except ValueError:
            raise UsageError(f"{name} of a sampled latency must be a number, was {amount!r}") from None
    if (values.get("spike_ns", 0) > 0) != (values.get("spike_odds", 0.0) > 0.0):
        raise UsageError("a spike needs a size and a probability: spike=500ms,p=0.01")
    return SampledLatency(**values)


def _ms(ns: int) -> str:
    return f"{ns / 1e6:g} ms"
