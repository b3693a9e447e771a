"""What it means that two runs of a case agree."""

import math

from tests.reference.driver import Case, Result, run_engine, run_model
from tests.reference.model import Report

EXACT = frozenset(
    {
        "n_samples",
        "n_orders",
        "n_cancels",
        "n_fills",
        "n_buys",
        "n_sells",
        "n_rejects",
        "n_closed",
        "n_limited",
        "span_ns",
        "position_lots",
        "max_abs_position_lots",
    }
)
LOOSE = frozenset({"sum_duration_ns"})  # rounded to nanoseconds trade by trade


def numbered(reports: list[Report]) -> list[Report]:
    """Orders numbered by their first report: what an engine calls them is its own affair."""
    numbers: dict[int, int] = {}
    return [r._replace(number=numbers.setdefault(r.number, len(numbers)), tag=0) for r in reports]


def differences(case: Case) -> list[str]:
    """Where model and engine disagree on a case, in words; empty: nowhere."""
    found: list[str] = []
    slow, fast = run_model(case), run_engine(case)
    for lane, (one, other) in enumerate(zip(slow, fast, strict=True)):
        found += [f"lane {lane}: {text}" for text in lane_differences(case, one, other)]
    return found


def lane_differences(case: Case, slow: Result, fast: Result) -> list[str]:
    found: list[str] = []
    left, right = slow.reports, fast.reports
    if case.strategy is not None:
        left, right = numbered(left), numbered(right)
    for index in range(max(len(left), len(right))):
        one = left[index] if index < len(left) else None
        other = right[index] if index < len(right) else None
        if one != other:
            found.append(f"report {index}:\n  model  {one}\n  engine {other}")
            break
    money = ["position", "cash", "fee_base", "fee_quote", "funding"]
    if case.strategy is None:
        money += ["base_locked", "quote_locked"]
    for name in money:
        if getattr(slow, name) != getattr(fast, name):
            found.append(f"{name}: model {getattr(slow, name)}, engine {getattr(fast, name)}")
    if case.strategy is None:
        return found
    if [ts for ts, _ in slow.equity] != [ts for ts, _ in fast.equity]:
        found.append(f"equity times:\n  model  {slow.equity}\n  engine {fast.equity}")
    else:
        for (ts, one_amount), (_, other_amount) in zip(slow.equity, fast.equity, strict=True):
            if abs(one_amount - other_amount) > 1 + abs(one_amount) * 1e-14:
                found.append(f"equity at {ts}: model {one_amount}, engine {other_amount}")
                break
    for name, value in slow.statistics.items():
        if name == "n_even":
            continue
        if name not in fast.statistics:
            found.append(f"the engine has no statistic {name}")
        elif not close(name, value, fast.statistics[name], slow.statistics):
            found.append(f"statistic {name}: model {value!r}, engine {fast.statistics[name]!r}")
    return found


def close(name: str, one: float, other: float, slow: dict[str, float]) -> bool:
    if name == "n_wins":
        return one <= other <= one + slow["n_even"]
    if name in EXACT:
        return one == other
    if name in LOOSE:
        return abs(one - other) <= slow["n_closed"]
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-11) or (math.isnan(one) and math.isnan(other))
