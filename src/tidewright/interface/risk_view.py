"""Risk on the screens: limits and their use, VaR, stress losses, what was blocked and why."""

from collections.abc import Mapping
from typing import Any

_MONEY = ("order_notional",)
_COUNTS = ("orders_per_minute",)


def lines(risk: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows of a name and a text, from the plain values of :class:`tidewright.trading.guard.RiskNow`."""
    found: list[tuple[str, str]] = []
    for row in risk.get("limits", []):
        if row.get("limit") is None:
            continue
        text = f"{_amount(row['name'], row['value'])} of {_amount(row['name'], row['limit'])}"
        if row.get("use") is not None:
            text += f" ({row['use']:.0%} used)"
        if row.get("as_set") not in (None, row["limit"]):
            text += f", tightened from {_amount(row['name'], row['as_set'])}"
        found.append((row["name"].replace("_", " "), text))
    if risk.get("value_at_risk") is not None:
        text = f"{risk['value_at_risk']:.3%} of equity, shortfall {risk['expected_shortfall']:.3%}"
        found.append(("VaR 99 %, a day", text))
    if risk.get("unwind_cost") is not None:
        found.append(
            ("leaving costs", f"{risk['unwind_cost']:.3%} of the position, {risk['unwind_time_s'] or 0:,.0f} s")
        )
    worst = [f"{row['shock']} {row['loss_share']:.2%}" for row in risk.get("stress", [])[:3]]
    if worst:
        found.append(("worst crises", ", ".join(worst)))
    pairs = [
        f"{row['first']} {row['second']} {row['now']:.2f}{' ' + row['alarm'].upper() if row['alarm'] else ''}"
        for row in risk.get("correlations", [])
    ]
    if pairs:
        found.append(("correlation", ", ".join(pairs)))
    if risk.get("halted"):
        found.append(("halted by", ", ".join(risk["halted"])))
    blocked = sorted(risk.get("blocked", {}).items(), key=lambda item: -item[1])
    if blocked:
        found.append(("blocked", ", ".join(f"{count} by {why}" for why, count in blocked)))
    for event in list(risk.get("events", []))[-3:]:
        found.append(("risk event", event))
    return found


def _amount(name: str, value: float | None) -> str:
    if value is None:
        return "unknown"
    if name in _COUNTS or name.startswith("unwind_time"):
        return f"{value:,.0f}"
    return f"{value:,.2f}" if name in _MONEY else f"{value:.2%}"
