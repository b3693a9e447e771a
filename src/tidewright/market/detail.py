"""How much of the market a tape tells, and what that means for fills: every result names it.

A tape's ``meta.json`` says in words what its source held (``detail``). Here these words become one of a few levels,
with a sentence on what fills on such a tape are worth, and with the rule by which the engine reads the book.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

L2: Final = "L2+trades"
SNAPSHOTS: Final = "book snapshots+trades"
QUOTES: Final = "best quotes+trades"
TRADES: Final = "trades only"
BARS: Final = "bars"
UNSTATED: Final = "not stated"

_SNAPSHOTS: Final = re.compile(r"book snapshots|\d+ levels every")

_FILLS: Final = {
    L2: "an order queues behind the depth recorded at its price, and fills by recorded trades",
    SNAPSHOTS: "an order queues behind the depth of the last snapshot; what happened between two snapshots is unknown",
    QUOTES: "an order queues at the touch only: behind it the depth is unknown, and an order there joins the back of "
    "its price when that becomes the touch",
    TRADES: "the book was not recorded: the touch is assumed around every print, of the print's size, so fills are a "
    "rough guess about prices and say next to nothing about queues",
    BARS: "four inferred prints a bar, known at its end, and a touch assumed around them: fills only tell that a price "
    "was traded in a bar, not in what order, nor how much of it was ahead",
    UNSTATED: "the tape does not say what its source held: believe fills as far as you know the source",
}
_NO_TRADES: Final = "; without trades an order fills only when the other side of the book reaches its price"
_NO_BOOK: Final = "the tape has no book: no decision is taken and nothing fills; import it with assumed quotes"


@dataclass(frozen=True, slots=True)
class Detail:
    """What a tape tells.

    Attributes
    ----------
    level
        One of the levels above.
    text
        The tape's own words.
    fills
        What this means for fills, one sentence.
    touch_only
        The best level of each side is all that is known of the book; see
        :class:`tidewright.engine.config.ReplayConfig`.
    """

    level: str
    text: str
    fills: str
    touch_only: bool


def detail_of(meta: Mapping[str, Any]) -> Detail:
    """The detail level of a tape, by the words in its ``meta``."""
    text = str(meta.get("detail", ""))
    words = text.lower()
    level = _level(words)
    assumed = "assumed quotes" in words
    fills = _FILLS[level]
    if level in (TRADES, BARS) and not assumed:
        fills = _NO_BOOK
    elif level in (L2, SNAPSHOTS, QUOTES) and "trades" not in words:
        fills += _NO_TRADES
    return Detail(level, text, fills, level == QUOTES or assumed)


def _level(words: str) -> str:
    if words.startswith("bars"):
        return BARS
    if "l2" in words:
        return L2
    if _SNAPSHOTS.search(words):
        return SNAPSHOTS
    if "best bid/ask" in words or "best quotes" in words:
        return QUOTES
    return TRADES if "trades" in words else UNSTATED
