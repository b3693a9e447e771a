"""What every performance figure means: formula in words, unit, sample, annualisation; printed beside the numbers."""

from dataclasses import dataclass
from typing import Final, Literal

Sample = Literal["returns", "closed trades", "fills", "orders", "equity points", "span"]


@dataclass(frozen=True, slots=True)
class Definition:
    """Meaning of one figure.

    Attributes
    ----------
    name
        Key in the results of :mod:`tidewright.measure.figures`.
    title
        Name in reports, the one the field uses.
    formula
        The formula in words.
    unit
        ``"fraction"`` (0.01 is 1 %), ``"ratio"``, ``"quote"``, ``"ns"``, ``"count"``, ``"probability"``, ...
    sample
        What it rests on: the size of this sample stands beside the figure.
    annualised
        Whether it is scaled to a year of 365 days.
    better
        ``"higher"``, ``"lower"`` or ``""`` where neither is.
    """

    name: str
    title: str
    formula: str
    unit: str
    sample: Sample
    annualised: bool = False
    better: Literal["higher", "lower", ""] = ""


@dataclass(frozen=True, slots=True)
class Minimums:
    """Smallest samples a figure is given for; under them it is NaN and reports say "n/a" with the reason.

    Attributes
    ----------
    returns
        Equity returns for volatility, Sharpe and Sortino.
    closed_trades
        Closed trades for SQN and the mean-profit p-value (SQN is called unreliable below 30 trades).
    trades_described
        Closed trades for win rate, profit factor, expectancy and duration, which only describe.
    days
        Days for figures that compound to a year: CAGR and Calmar.
    """

    returns: int = 30
    closed_trades: int = 30
    trades_described: int = 1
    days: float = 30.0


DEFAULT_MINIMUMS: Final = Minimums()
NO_MINIMUMS: Final = Minimums(returns=2, closed_trades=2, trades_described=1, days=0.0)
"""Only what the formulas themselves need: for search algorithms, never for people."""

_RETURN = "the simple equity return of one cycle, the first interval included"
_TRADE = (
    "a closed trade is a fill, or the part of one, that reduces the position; its PnL is against average entry cost, "
    "net of fees"
)

_TABLE: Final = (
    Definition("equity_start", "Starting balance", "equity before the first interval", "quote", "equity points"),
    Definition(
        "equity_end", "Final balance", "cash and position at the last mid, fees taken off", "quote", "equity points"
    ),
    Definition(
        "total_return",
        "Total profit %",
        "final balance / starting balance − 1",
        "fraction",
        "equity points",
        better="higher",
    ),
    Definition(
        "cagr",
        "CAGR %",
        "(final / starting balance) to the power 365 days / span, − 1",
        "fraction",
        "span",
        True,
        "higher",
    ),
    Definition(
        "volatility",
        "Volatility",
        f"standard deviation (n − 1) of the returns × √(cycles a year); a return is {_RETURN}",
        "fraction",
        "returns",
        True,
        "lower",
    ),
    Definition(
        "sharpe",
        "Sharpe",
        "mean / standard deviation (n − 1) of the returns × √(cycles a year), no risk-free rate; "
        f"a return is {_RETURN}",
        "ratio",
        "returns",
        True,
        "higher",
    ),
    Definition(
        "sharpe_error",
        "Sharpe standard error",
        "√((1 + s²/2) / n) × √(cycles a year), s the Sharpe ratio of one cycle (Lo 2002; independent returns)",
        "ratio",
        "returns",
        True,
        "lower",
    ),
    Definition(
        "sortino",
        "Sortino",
        "mean return / √(mean of the squared negative returns) × √(cycles a year), target 0",
        "ratio",
        "returns",
        True,
        "higher",
    ),
    Definition("calmar", "Calmar", "CAGR / maximum drawdown", "ratio", "span", True, "higher"),
    Definition(
        "max_drawdown",
        "Max drawdown",
        "largest fall of equity from its highest point so far, as a share of that point, sampled once a cycle",
        "fraction",
        "equity points",
        better="lower",
    ),
    Definition(
        "sqn",
        "SQN",
        f"√(min(N, 100)) × mean / standard deviation (n − 1) of the closed trades' PnL; {_TRADE}",
        "ratio",
        "closed trades",
        better="higher",
    ),
    Definition(
        "sqn_uncapped",
        "SQN (uncapped)",
        "√N × mean / standard deviation (n − 1) of the closed trades' PnL: the t statistic of the mean",
        "ratio",
        "closed trades",
        better="higher",
    ),
    Definition(
        "mean_profit_p_value",
        "Mean profit p-value",
        "chance of a t statistic at least this high if the mean PnL of a closed trade were 0 (one-sided, n − 1 degrees "
        "of freedom, trades taken as independent)",
        "probability",
        "closed trades",
        better="lower",
    ),
    Definition(
        "win_rate",
        "Win rate",
        "closed trades with PnL > 0 / closed trades",
        "fraction",
        "closed trades",
        better="higher",
    ),
    Definition(
        "profit_factor",
        "Profit factor",
        "sum of winning PnL / sum of losing PnL, closed trades",
        "ratio",
        "closed trades",
        better="higher",
    ),
    Definition(
        "expectancy", "Expectancy", "mean PnL of a closed trade, net of fees", "quote", "closed trades", better="higher"
    ),
    Definition(
        "realised_profit", "Realised profit", f"sum of the closed trades' PnL; {_TRADE}", "quote", "closed trades"
    ),
    Definition(
        "average_trade_duration",
        "Avg. duration",
        "mean over closed trades of the time since the quantity-weighted mean entry time of the position it reduces",
        "ns",
        "closed trades",
    ),
    Definition("orders", "Orders", "orders sent", "count", "orders"),
    Definition("cancels", "Cancels", "orders that a cancel ended", "count", "orders"),
    Definition("rejects", "Rejects", "orders rejected", "count", "orders", better="lower"),
    Definition("fills", "Fills", "executions; an order filled in parts counts each part", "count", "fills"),
    Definition("buys", "Buy fills", "executions that bought", "count", "fills"),
    Definition("sells", "Sell fills", "executions that sold", "count", "fills"),
    Definition("closed_trades", "Closed trades", _TRADE, "count", "closed trades"),
    Definition("volume_quote", "Total trade volume", "sum of price × quantity over the fills", "quote", "fills"),
    Definition("turnover", "Turnover", "total trade volume / starting balance", "ratio", "fills"),
    Definition("fees_base", "Fees taken in base", "sum of commissions taken in the base asset", "base", "fills"),
    Definition("fees_quote", "Fees taken in quote", "sum of commissions taken in the quote asset", "quote", "fills"),
    Definition(
        "fees",
        "Fees",
        "all commissions, those in base valued at the price of their fill",
        "quote",
        "fills",
        better="lower",
    ),
    Definition(
        "funding",
        "Funding",
        "funding paid less received: at each funding time, position × mark price × rate; not among the fees",
        "quote",
        "fills",
        better="lower",
    ),
    Definition(
        "max_abs_position_lots", "Max position", "largest net filled quantity, long or short, in lots", "lots", "fills"
    ),
    Definition(
        "time_in_position", "Time in position", "share of the span with a net filled quantity ≠ 0", "fraction", "span"
    ),
)

DEFINITIONS: Final[dict[str, Definition]] = {definition.name: definition for definition in _TABLE}
"""Every figure by name, in the order of the report."""
