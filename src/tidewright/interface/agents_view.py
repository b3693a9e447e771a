"""Several strategies on one account, in words for screens and reports."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tidewright.market.codes import UNIT
from tidewright.market.instrument import Instrument, units_text
from tidewright.measure.agents_section import AgentAccount
from tidewright.store.database import Row


def lines(agents: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Label and text of each agent; none where one strategy trades.

    Parameters
    ----------
    agents
        Plain values of :class:`tidewright.trading.now.AgentNow`, as the state file has them.
    """
    found = []
    for agent in agents:
        kind = "" if agent["strategy"] == agent["name"] else f" ({agent['strategy']})"
        text = (
            f"{agent['share']:.0%} of the capital ({_money(agent['capital'])}), position {agent['position']}, "
            f"earned {_money(agent['gain'], sign=True)} after fees {_money(agent['fees'])}, {agent['trades']} trades"
        )
        if agent.get("fault"):
            text += f"; silent: {agent['fault']}"
        found.append((f"{agent['name']}{kind}", text))
    return found


def notes(rows: Sequence[Row], instrument: Instrument) -> tuple[tuple[str, str], ...]:
    """What each agent's sub-account came to, for the report: rows of the store's table ``sub_accounts``."""
    newest = {row["agent"]: row for row in sorted(rows, key=lambda row: int(row["ts"]))}
    found = []
    for agent, row in newest.items():
        lots = int(row["position_lots"])
        position = f"{'-' if lots < 0 else ''}{instrument.qty_text(abs(lots))} {instrument.base}"
        gain, fees, capital = (units_text(row[name]) for name in ("gain_units", "fees_units", "capital_units"))
        text = (
            f"capital {_money(capital)}, position {position}, earned {_money(gain, sign=True)} {instrument.quote} "
            f"after fees {_money(fees)}, {row['fills']} trades"
        )
        found.append((f"Agent {agent}", text))
    return tuple(found)


def accounts(rows: Sequence[Row], instrument: Instrument) -> tuple[AgentAccount, ...]:
    """Each agent's sub-account over time, for the report: rows of the store's table ``sub_accounts``."""
    by_agent: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: int(row["ts"])):
        by_agent.setdefault(row["agent"], []).append(row)
    found = []
    for agent, own in by_agent.items():
        lots = int(own[-1]["position_lots"])
        gain, capital, fees = (
            np.array([row[name] for row in own], np.float64) / UNIT
            for name in ("gain_units", "capital_units", "fees_units")
        )
        position = f"{'-' if lots < 0 else ''}{instrument.qty_text(abs(lots))} {instrument.base}"
        ts = np.array([row["ts"] for row in own], np.int64)
        found.append(AgentAccount(agent, ts, gain, capital, fees, position, int(own[-1]["fills"])))
    return tuple(found)


def _money(amount: str, *, sign: bool = False) -> str:
    return f"{float(amount):+,.2f}" if sign else f"{float(amount):,.2f}"
