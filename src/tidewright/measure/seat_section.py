"""The executor's chair in a session's report: who sat, what it did when, what became of challengers."""

from dataclasses import dataclass, field
from html import escape
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tidewright.market.clock import iso

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
PARTS: Final = ("levels", "stance", "skew", "spread")


@dataclass(frozen=True, slots=True)
class SeatStep:
    """Somebody sat down, challenged, was seated, or went.

    Attributes
    ----------
    ts
        Market time, ns.
    stage
        One word.
    cause
        A sentence.
    """

    ts: int
    stage: str
    cause: str


@dataclass(frozen=True, slots=True)
class SeatAccount:
    """What a policy did in a session.

    Attributes
    ----------
    steps
        Oldest first.
    overridden
        What spoke against policies that an operator let sit, or challenge, all the same; each with its policy's name.
    doubts
        What of their examinations came to no result, likewise.
    ts, actions
        Times of the steered decisions, (n,) int64 ns, and levels, stance (-2..2), skew (half spreads) and spread (over
        the base rule's), (n, 4) float64.
    states, names
        The state at each, (n, k) float64, and the names of its numbers.
    repeated
        For how many journalled decisions the policy, asked again, gives the same action; ``None``: no file of it.
    sizing
        Mean share of ``base_quantity`` that was quoted.
    """

    steps: tuple[SeatStep, ...] = ()
    overridden: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    ts: I64 = field(default_factory=lambda: np.zeros(0, np.int64))
    actions: F64 = field(default_factory=lambda: np.zeros((0, len(PARTS))))
    states: F64 = field(default_factory=lambda: np.zeros((0, 0)))
    names: tuple[str, ...] = ()
    repeated: int | None = None
    sizing: float = 1.0

    @property
    def aside(self) -> float:
        """Share of decisions at which it quoted nothing; NaN without any."""
        return float((self.actions[:, 0] == 0.0).mean()) if len(self.actions) else float("nan")

    def behaviour(self) -> list[tuple[str, list[dict[str, float]]]]:
        """For each number of the state, in its lowest, middle and highest third: mean of each part of the action."""
        found = []
        for number, name in enumerate(self.names):
            values = self.states[:, number]
            order = np.argsort(values, kind="stable")
            thirds = [
                {
                    "from": float(values[part].min()),
                    "to": float(values[part].max()),
                    **dict(zip(PARTS, self.actions[part].mean(axis=0).tolist(), strict=True)),
                }
                for part in np.array_split(order, 3)
                if len(part)
            ]
            found.append((name, thirds))
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        known = len(self.actions) > 0
        return {
            "steps": [{"time": iso(step.ts), "stage": step.stage, "cause": step.cause} for step in self.steps],
            "overridden": list(self.overridden),
            "doubts": list(self.doubts),
            "decisions": len(self.actions),
            "repeated": self.repeated,
            "aside": self.aside if known else None,
            "sizing": self.sizing,
            "behaviour": dict(self.behaviour()) if known else {},
        }


def seat_html(account: SeatAccount | None, chart: str = "") -> str:
    """A section of a page; empty where nobody steered.

    Parameters
    ----------
    chart
        The place of the chart of actions over time.
    """
    if account is None:
        return ""
    parts = ["<h2>Who sat in the executor's chair, and what it did when</h2>"]
    if account.overridden:
        told = escape("; ".join(account.overridden))
        parts.append(f'<p class="invalid">Let in by an operator\'s override although: {told}.</p>')
    if account.doubts:
        parts.append(f'<p class="refused">Not decided: {escape("; ".join(account.doubts))}.</p>')
    parts.append(_steps(account))
    if len(account.actions):
        parts += [f'<p class="dim small">{escape(_words(account))}</p>', chart, _behaviour(account)]
    return "".join(parts)


def _words(account: SeatAccount) -> str:
    count = len(account.actions)
    again = (
        "its file is not there, so the journalled states were not shown to it again"
        if account.repeated is None
        else f"asked again, it does the same in {account.repeated:,} of them"
    )
    sized = "" if account.sizing == 1.0 else f" On average {account.sizing:.0%} of base_quantity was quoted."
    return f"{count:,} steered decisions; {again}. It stood aside in {account.aside:.0%}.{sized}"


def _steps(account: SeatAccount) -> str:
    if not account.steps:
        return ""
    rows = "".join(
        f'<tr><td class="num">{iso(step.ts)[5:16].replace("T", " ")}</td><td>{escape(step.stage)}</td>'
        f"<td>{escape(step.cause)}</td></tr>"
        for step in account.steps[::-1]
    )
    return (
        '<div class="scroll"><table><thead><tr><th class="num">Time</th><th>Stage</th><th>Cause</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _behaviour(account: SeatAccount) -> str:
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="num">{third["from"]:+.2f} to {third["to"]:+.2f}</td>'
        + "".join(f'<td class="num">{third[part]:.2f}</td>' for part in PARTS)
        + "</tr>"
        for name, thirds in account.behaviour()
        for third in thirds
    )
    head = "".join(f'<th class="num">{part}</th>' for part in ("from, to", *PARTS))
    return (
        '<p class="dim small">Means over thirds of the decisions by each number of the state: levels quoted a side, '
        "stance (-2 strong sell to 2 strong buy), skew in half spreads, spread over the base rule's.</p>"
        f'<div class="scroll"><table><thead><tr><th>State</th>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )
