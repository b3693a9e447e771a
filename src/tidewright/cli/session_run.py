"""A session from its start to its answer, with its display: what ``trade`` and ``demo`` have in common."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from tidewright import bootstrap
from tidewright.cli import session_answer
from tidewright.interface.live import LineDisplay, LiveDisplay, watch
from tidewright.interface.session_report import Report
from tidewright.market.errors import NotRunningError
from tidewright.trading import state_file
from tidewright.trading.settings import SessionSettings
from tidewright.trading.standby import Standby
from tidewright.trading.supervisor import supervise


async def run_session(
    folder: Path,
    name: str,
    address: bootstrap.VenueAddress,
    settings: SessionSettings,
    pace: float | None,
    about: Mapping[str, Any],
    console: Console,
    *,
    title: str,
    notes: Sequence[str] = (),
    headless: bool,
    began: float,
    standby: Standby | None = None,
) -> tuple[dict[str, Any], Report]:
    """Trade until the session's end, and answer as :func:`session_answer.answer` does.

    Parameters
    ----------
    about
        What the state file says of the session besides its state.
    title, notes
        Above the display; without a terminal the notes are lines.
    began
        ``time.monotonic()`` when the command started.
    standby
        That has become master and goes on with the session of another process.

    Raises
    ------
    NotRunningError
        If the session ended before it began to trade.
    """
    facts = {
        "mode": settings.mode,
        "folder": str(folder),
        "venue": address.public(),
        **session_answer.facts(settings),
        **about,
    }
    keeper = state_file.StateFile(folder / state_file.NAME, facts)
    display: LiveDisplay | LineDisplay
    with contextlib.ExitStack() as stack:
        if headless or not console.is_terminal:
            for note in notes:
                console.print(note)
            display = LineDisplay(console.print)
        else:
            display = stack.enter_context(LiveDisplay(Console(stderr=True, highlight=False), title, tuple(notes)))
        session, resources = bootstrap.build(folder, name, address, settings, pace, (keeper, display), standby)
        watching = asyncio.create_task(watch(lambda: session.optimizer_wait_s, display))
        try:
            await supervise(session)
        finally:
            watching.cancel()
            await resources.close()
    if session.now.stage != "ended":
        raise NotRunningError("the session ended before it began to trade")
    return session_answer.answer(session, folder, began)
