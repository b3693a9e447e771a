"""Stands over a session: signals end it in order, and whatever breaks it, its orders do not stay behind unattended."""

import asyncio
import logging
import signal
from typing import Final

from tidewright.market.errors import TidewrightError
from tidewright.trading.lease import FencedError
from tidewright.trading.session import Session

logger = logging.getLogger(__name__)

_EMERGENCY_S: Final = 30.0


async def supervise(session: Session) -> None:
    """Run a session to its end.

    SIGINT and SIGTERM let it end in order: open orders are cancelled and confirmed. After any error the venue is asked
    to cancel every open order of the session, and the error goes on to the caller; the store stays as it was, so that
    the next start finds the session unfinished and reconciles. A session whose place another process has taken touches
    nothing any more.

    Raises
    ------
    TidewrightError
        As :meth:`tidewright.trading.session.Session.run`.
    """
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, session.stop.set)
    try:
        await session.run()
    except FencedError as error:
        logger.error("%s; this process stops, and leaves the orders to the new master", error)
        raise
    except Exception as error:  # the one place where nothing may slip through: open orders are at stake
        if session.at_stake:
            logger.error("the session broke (%s): cancelling its open orders", type(error).__name__)
            await _emergency(session)
        raise
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
        await session.close()


async def _emergency(session: Session) -> None:
    try:
        left = await asyncio.wait_for(session.cancel_everything(), _EMERGENCY_S)
    except (TidewrightError, TimeoutError, RuntimeError) as error:
        logger.error("open orders could not be cancelled (%s); look at the venue", error)
        return
    if left:
        logger.error("not confirmed as cancelled: %s", ", ".join(left))
