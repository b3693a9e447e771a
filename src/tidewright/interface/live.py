"""A plain live display of a session in the terminal, and one line an hour where there is no terminal."""

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tidewright.interface import agents_view, risk_view, seat_view
from tidewright.market.clock import HOUR, iso
from tidewright.market.codes import BUY
from tidewright.market.instrument import Instrument, units_text
from tidewright.trading.now import Now
from tidewright.trading.state_file import agent_figures

_FILLS_SHOWN = 5
_REFRESH_S = 0.2
_WAIT_SHOWN_AFTER_S = 2.0
_WAIT_SAID_EVERY_S = 30.0
_WATCH_S = 0.5


class LiveDisplay:
    """Observer that draws the session; use it as a context manager.

    Parameters
    ----------
    title
        What is run.
    notes
        Lines that stay under the title: what was chosen on purpose.
    """

    def __init__(self, console: Console, title: str, notes: tuple[str, ...] = ()) -> None:
        self._console, self._title, self._notes = console, title, notes
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._speed = Speed()
        self._drawn = float("-inf")
        self._now = Now()
        self.instrument: Instrument | None = None

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def __call__(self, now: Now) -> None:
        """Draw, at most five times a second."""
        self._now = now
        self._speed.note(now.market_ns)
        moment = time.monotonic()
        if moment - self._drawn < _REFRESH_S and now.stage != "ended":
            return
        self._drawn = moment
        self._live.update(render(now, self.instrument, self._title, self._notes, self._speed()), refresh=True)

    def waits(self, seconds: float) -> None:
        """Draw again, with the seconds for which the session has waited for its optimizer."""
        shown = render(self._now, self.instrument, self._title, self._notes, self._speed())
        self._live.update(Group(shown, Text(_waiting(seconds), "yellow")), refresh=True)


async def watch(waited_s: Callable[[], float], display: "LiveDisplay | LineDisplay", every_s: float = _WATCH_S) -> None:
    """Tell a display, until cancelled, of each wait for the optimizer that takes longer than two seconds.

    Parameters
    ----------
    waited_s
        Wall seconds of the wait so far; 0 when there is none.
    """
    while True:
        await asyncio.sleep(every_s)
        if (seconds := waited_s()) >= _WAIT_SHOWN_AFTER_S:
            display.waits(seconds)


def _waiting(seconds: float) -> str:
    return f"waiting for the optimizer's answer (its first one compiles its kernels): {seconds:.0f} s so far"


class Speed:
    """Market seconds per wall second over the last few seconds."""

    def __init__(self, wall_s: Callable[[], float] = time.monotonic) -> None:
        self._wall_s = wall_s
        self._points: list[tuple[float, int]] = []

    def note(self, market_ns: int) -> None:
        """Market time is here now."""
        wall = self._wall_s()
        self._points.append((wall, market_ns))
        while len(self._points) > 2 and wall - self._points[0][0] > 5.0:
            del self._points[0]

    def __call__(self) -> float:
        """Market seconds per wall second; 0 before it is known."""
        if len(self._points) < 2:
            return 0.0
        (wall, market), (later, market_later) = self._points[0], self._points[-1]
        return (market_later - market) / 1e9 / (later - wall) if later > wall else 0.0


def render(now: Now, instrument: Instrument | None, title: str, notes: tuple[str, ...], speed: float) -> Group:
    """The display of one moment."""
    head = Text.assemble((title, "bold"), "\n", *(f"{note}\n" for note in notes))
    # The fills come last: they are what a low terminal can do without.
    own = _agents(now, instrument) if now.agents else _advice(now)
    return Group(head, _figures(now, instrument, speed), _risk(now), own, _fills(now, instrument))


def _figures(now: Now, instrument: Instrument | None, speed: float) -> Table:
    table = Table.grid(padding=(0, 2))
    gain = now.equity_units - now.start_equity_units if now.start_equity_units else 0
    quote = instrument.quote if instrument else ""
    due = f" of {now.cycles_due}" if now.cycles_due else ""
    table.add_row("market time", iso(now.market_ns)[:19].replace("T", " "), "speed", f"{speed:,.0f}x")
    table.add_row("stage", now.stage, "cycle", f"{now.cycle}{due}")
    table.add_row("mid", _price(now.mid2, instrument), "position", _lots(now.position_lots, instrument))
    table.add_row("equity", f"{_money(now.equity_units)} {quote}", "gain", f"{_money(gain, sign=True)} {quote}")
    # What was held at the start gains and loses with the price, whatever is traded: it must not pass for skill.
    table.add_row(
        "of it traded",
        f"{_money(now.traded_units, sign=True)} {quote} after fees",
        "start balance",
        f"{_money(gain - now.traded_units, sign=True)} {quote}",
    )
    table.add_row(
        "realised", f"{_money(now.realised_units, sign=True)} {quote}",
        "unrealised", f"{_money(now.unrealised_units, sign=True)} {quote}",
    )  # fmt: skip
    table.add_row("orders", f"{now.orders} placed, {now.cancels} cancelled", "open quotes", str(len(now.quotes)))
    table.add_row(
        "fills",
        f"{now.fills}, fees {_money(now.fees_units)} {quote}",
        "rejected, errors",
        f"{now.rejected}, {now.errors}",
    )
    if now.why:
        table.add_row("held back", Text(now.why, "yellow"))
    return table


def _risk(now: Now) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, text in risk_view.lines(now.risk().to_json()):
        table.add_row(Text(name, "dim"), text)
    return table


def _fills(now: Now, instrument: Instrument | None) -> Table:
    table = Table(box=None, title="newest fills", title_justify="left", show_header=False, pad_edge=False)
    for fill in now.newest_fills[-_FILLS_SHOWN:]:
        side = Text("buy ", "green") if fill.side == BUY else Text("sell", "red")
        table.add_row(
            iso(fill.ts_ns)[11:19],
            side,
            _lots(fill.qty_lots, instrument),
            "at",
            _price(2 * fill.price_ticks, instrument),
            "maker" if fill.maker else "taker",
            f"fee {units_text(fill.fee_units)} {fill.fee_asset}",
        )
    return table


def _agents(now: Now, instrument: Instrument | None) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_row(Text("coordination", "dim"), now.coordination)
    for name, text in agents_view.lines([agent_figures(agent, instrument) for agent in now.agents]):
        table.add_row(Text(name, "dim"), text)
    return table


def _advice(now: Now) -> Text:
    params = ", ".join(f"{name} {value:g}" for name, value in now.params.items())
    counts = f"{_count(now.proposals, 'proposal')}, {now.accepted} accepted, {now.refused} refused"
    return Text.assemble(
        *(f"{name:<11} {text}\n" for name, text in seat_view.lines(now.seat)),
        f"parameters  {params}\n",
        f"stage       {now.rollout or 'steady'}\n",
        f"optimizer   {counts}\n",
        f"last answer {now.advice or 'none yet'}\n",
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _price(mid2: int, instrument: Instrument | None) -> str:
    if instrument is None or not mid2:
        return "-"
    return f"{float(instrument.tick) * mid2 / 2:,.10g}"


def _lots(lots: int, instrument: Instrument | None) -> str:
    if instrument is None:
        return str(lots)
    return f"{'-' if lots < 0 else ''}{instrument.qty_text(abs(lots))} {instrument.base}"


def _money(units: int, *, sign: bool = False) -> str:
    return f"{units / 1e8:+,.2f}" if sign else f"{units / 1e8:,.2f}"


class LineDisplay:
    """Observer for logs: one line at the first fill, an hour of market time, a failure of the optimizer and the end."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._hour, self._filled, self._failure = -1, False, ""
        self._began = time.monotonic()
        self._waited = 0.0
        self.instrument: Instrument | None = None

    def __call__(self, now: Now) -> None:
        """Say something if there is something to say."""
        wall = time.monotonic() - self._began
        if now.fills and not self._filled:
            self._filled = True
            self._say(f"first fill at {iso(now.market_ns)} after {wall:.1f} s")
        failure = now.advice if now.advice.startswith("error") else ""
        if failure and failure != self._failure:
            self._say(f"{iso(now.market_ns)[:16]} optimizer {failure}; trading goes on with what it has")
        self._failure = failure
        hour = now.market_ns // HOUR
        if (hour != self._hour and now.stage in ("warm-up", "trading")) or now.stage == "ended":
            self._hour = hour
            self._say(
                f"{iso(now.market_ns)[:16]} {now.stage}: equity {units_text(now.equity_units)[:-6]}, "
                f"{_count(now.fills, 'fill')}, {_count(now.orders, 'order')}, {now.accepted} accepted, "
                f"{now.refused} refused, {_count(now.errors, 'error')}, {wall:.1f} s"
                f"{f'; {now.why}' if now.stage == 'trading' and now.why and not now.orders else ''}"
            )

    def waits(self, seconds: float) -> None:
        """Say once, and again every half minute, that the session waits for its optimizer."""
        if seconds < self._waited:  # another wait
            self._waited = 0.0
        if not self._waited or seconds - self._waited >= _WAIT_SAID_EVERY_S:
            self._waited = seconds
            self._say(_waiting(seconds))
