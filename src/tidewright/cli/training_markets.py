"""The synthetic markets that ``tidewright train`` and ``tidewright evolve`` learn on."""

from pathlib import Path
from typing import Final

from tidewright.market.errors import UsageError
from tidewright.market.synthetic import synthesize
from tidewright.market.tape import Tape, concatenate

REGIMES: Final = "calm,trending,volatile,switching"


def training_markets(count: int, hours: float, like: Path | None, regimes: str | None) -> list[Tape]:
    """Markets in memory, seeds 1, 2, ...

    Parameters
    ----------
    like
        A tape they resemble; ``None``: the plain market, which changes its regimes by itself.
    regimes
        With ``like``: regimes that the markets take in turn, as of ``data synth --like``, separated by commas.

    Raises
    ------
    UsageError
        If a regime is unknown, or regimes are given without ``like``.
    """
    if like is None:
        if regimes is not None:
            raise UsageError("--regimes needs --like TAPE; the plain market changes its regimes by itself")
        return [synthesize(None, hours, 1 + number) for number in range(count)]
    from tidewright.market.queue_reactive import DETAIL, LikeGenerator
    from tidewright.market.synthetic_market import measure_market, regimes_of

    tape = Tape.open(like)
    names = (regimes or REGIMES).split(",")
    chosen = [regimes_of(name, tape.data) for name in names]
    profile = measure_market(tape.data)
    found = []
    for number in range(count):
        place = number % len(names)
        data = concatenate(LikeGenerator(profile, hours, 1 + number, regimes=chosen[place]))
        source = f"like {like.name}: seed {1 + number}, {hours:g} h, regimes {names[place]}"
        meta = {"rows": len(data.ts), "detail": DETAIL, "source": source, "notes": {"synthetic": True}}
        found.append(Tape(Path(), tape.instrument, meta, data))
    return found
