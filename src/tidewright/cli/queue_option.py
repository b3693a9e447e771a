"""``--queue`` and ``--queue-power``: the model of an order's place in the queue, on the command line."""

from typing import Annotated, Final

import typer

from tidewright.engine.config import QUEUES, ReplayConfig
from tidewright.market.errors import UsageError

POWER: Final = ReplayConfig().queue_power
QUEUE_HELP: Final = f"Place in the queue: {', '.join(QUEUES)} (docs/engine.md)."
POWER_HELP: Final = f"Exponent n of --queue prob, > 0. [default: {POWER:g}]"

Queue = Annotated[str, typer.Option("--queue", help=QUEUE_HELP)]
QueuePower = Annotated[float | None, typer.Option("--queue-power", help=POWER_HELP)]


def power_of(queue: str, power: float | None) -> float:
    """The exponent that was given, else the default.

    Raises
    ------
    UsageError
        If one was given and the queue model has none.
    """
    if power is not None and queue != "prob":
        raise UsageError(f"--queue-power is the exponent of --queue prob; {queue} has none")
    return POWER if power is None else power
