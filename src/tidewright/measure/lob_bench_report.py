"""Two tapes side by side: stylised facts, LOB-Bench scores and price responses, as plain values."""

import math
from typing import Any, Final

from tidewright.market import calibration_flow as flow_of
from tidewright.market.calibration import LEAST_ORDERS, measured_flow
from tidewright.market.calibration_flow import Flow
from tidewright.market.tape import Columns
from tidewright.measure import lob_bench, stylised_facts
from tidewright.measure.lob_bench import RESPONSE_LAGS, responses, scores
from tidewright.measure.stylised_facts import facts

FAR: Final = 3.0  # standard errors, or times the floor, from which a difference is marked


def compare(real: Columns, other: Columns, leave_out: tuple[int, int] | None = None) -> dict[str, Any]:
    """Everything that is measured of both tapes.

    Parameters
    ----------
    leave_out
        A stretch of the other tape that is not measured, begin and end in ns. Where too little is left it is measured.

    Returns
    -------
    ``facts``: by name ``real, real_error, real_size, other, other_error, other_size, far``; ``scores``: by name the
    fields of
    :class:`tidewright.measure.lob_bench.Score` and ``far``; ``responses``: by name the fields of
    :class:`tidewright.measure.lob_bench.Response`; ``lags``; ``summary``: the means of the distances over the scores of
    LOB-Bench and their floors, ``facts_far`` and ``scores_far``, how many differ by more than chance lets expect;
    ``left_out``: the stretch that was not measured. What cannot be told is ``None``.
    """
    mine, theirs = measured_flow(real)[1], measured_flow(other)[1]
    if leave_out is not None:
        rest = without(theirs, *leave_out)
        if rest.orders.shape[1] < LEAST_ORDERS:
            leave_out = None
        else:
            theirs = rest
    told_facts = {}
    both = zip(facts(mine).items(), facts(theirs).values(), strict=True)
    for (name, a), b in both:
        error = math.hypot(a.error, b.error)
        far = math.isfinite(error) and abs(a.value - b.value) > FAR * error
        told_facts[name] = {
            **{f"real_{key}" if key != "value" else "real": _number(value) for key, value in a._asdict().items()},
            **{f"other_{key}" if key != "value" else "other": _number(value) for key, value in b._asdict().items()},
            "far": far,
        }
    told_scores: dict[str, dict[str, Any]] = {}
    for name, score in scores(mine, theirs).items():
        far = score.l1 > max(0.05, FAR * score.floor_l1) if math.isfinite(score.floor_l1) else score.l1 > 0.1
        told_scores[name] = {**{key: _number(value) for key, value in score._asdict().items()}, "far": far}
    told_responses = {
        name: {
            "real": [_number(x) for x in r.real.tolist()],
            "other": [_number(x) for x in r.other.tolist()],
            "deviation": _number(r.deviation),
            "real_count": r.real_count,
            "other_count": r.other_count,
        }
        for name, r in responses(mine, theirs).items()
    }
    summary = {
        **{
            f"mean_{key}": _mean([s[key] for s in told_scores.values()])
            for key in ("l1", "floor_l1", "wasserstein", "floor_wasserstein")
        },
        "scores_far": sum(bool(s["far"]) for s in told_scores.values()),
        "facts_far": sum(bool(f["far"]) for f in told_facts.values()),
        "scores": len(told_scores),
        "facts": len(told_facts),
    }
    return {
        "facts": told_facts,
        "scores": told_scores,
        "responses": told_responses,
        "lags": list(RESPONSE_LAGS),
        "summary": summary,
        "left_out": leave_out,
    }


def without(found: Flow, begin_ns: int, end_ns: int) -> Flow:
    """A flow without what happened from ``begin_ns`` to before ``end_ns``, as if there were a gap of no length."""
    rows = []
    for part, time, segment in (
        (found.orders, flow_of.T, flow_of.SEGMENT),
        (found.books, flow_of.B_T, flow_of.B_SEGMENT),
    ):
        kept = part[:, (part[time] < begin_ns) | (part[time] >= end_ns)].copy()
        later = kept[time] >= end_ns
        kept[time, later] -= end_ns - begin_ns
        kept[segment, later] += 1
        rows.append(kept)
    return Flow(rows[0], rows[1], found.last_book)


def definitions() -> dict[str, str]:
    """What every name means."""
    return {**stylised_facts.DEFINITIONS, **lob_bench.DEFINITIONS}


def _number(value: float) -> float | int | None:
    if isinstance(value, int):
        return value
    return round(float(value), 6) if math.isfinite(value) else None


def _mean(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return round(sum(known) / len(known), 6) if known else None
