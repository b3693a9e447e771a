"""Several strategies on one account in a session's report: what each has earned and been given, over time."""

from dataclasses import dataclass
from html import escape
from typing import Any, Final

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5d6975")
"""Okabe and Ito's, which stay apart for colour-blind readers; agents beyond them begin anew."""


@dataclass(frozen=True, slots=True)
class AgentAccount:
    """One agent's sub-account.

    Attributes
    ----------
    ts
        Decision times, (n,) int64 ns.
    gain, capital, fees
        What it has earned after fees, what it was given, and the fees, (n,) float64 quote.
    position
        Net filled quantity at the end, base, decimal text.
    trades
        Its parts of fills and its trades inside.
    """

    name: str
    ts: I64
    gain: F64
    capital: F64
    fees: F64
    position: str
    trades: int

    def to_json(self) -> dict[str, Any]:
        """Plain values at the end."""
        return {
            "name": self.name,
            "gain": float(self.gain[-1]),
            "fees": float(self.fees[-1]),
            "capital": float(self.capital[-1]),
            "position": self.position,
            "trades": self.trades,
        }


def agents_html(agents: tuple[AgentAccount, ...], quote: str, charts: str) -> str:
    """A section of a page; empty where one strategy traded.

    Parameters
    ----------
    charts
        The places of the charts.
    """
    if not agents:
        return ""
    rows = "".join(
        f'<tr><td>{escape(one.name)}</td><td class="num">{one.gain[-1]:+,.2f}</td><td class="num">{one.fees[-1]:,.2f}'
        f'</td><td class="num">{one.capital[-1]:,.2f}</td><td class="num">{one.capital.mean():,.2f}</td>'
        f'<td class="num">{escape(one.position)}</td><td class="num">{one.trades:,}</td></tr>'
        for one in agents
    )
    total = sum(float(one.gain[-1]) for one in agents)
    heads = (f"Earned, {quote}", "Fees", "Capital at the end", "Capital, mean", "Position", "Trades")
    head = "".join(f'<th class="num">{escape(text)}</th>' for text in heads)
    return (
        "<h2>The agents: what each earned on its own books</h2>"
        f'<p class="dim small">Earned after fees, position at the mid; all together {total:+,.2f} {escape(quote)}, '
        "which is what trading earned on the account. Trades inside, between two agents, are in both.</p>"
        f'{charts}<div class="scroll"><table><thead><tr><th>Agent</th>{head}</tr></thead><tbody>{rows}</tbody>'
        "</table></div>"
    )
