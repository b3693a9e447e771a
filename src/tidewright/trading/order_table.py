"""The states of an order and every legal step between them, written down as a table.

A step that is not in the table is an error, not a guess. The oddities of the real world that are in it are named.
"""

from enum import StrEnum
from typing import Final

from tidewright.market.errors import TidewrightError


class State(StrEnum):
    """What we know about one of our orders."""

    PENDING_NEW = "PENDING_NEW"  # written to the store, perhaps sent, not answered
    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    PENDING_CANCEL = "PENDING_CANCEL"  # live, a cancel is on its way
    UNKNOWN = "UNKNOWN"  # an answer was lost: only the venue knows
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"

    @property
    def final(self) -> bool:
        """Whether nothing can happen to the order any more."""
        return self in FINAL

    @property
    def settled(self) -> bool:
        """Whether the state is what the venue told us, not something on its way."""
        return self not in (State.PENDING_NEW, State.PENDING_CANCEL, State.UNKNOWN)


FINAL: Final = frozenset({State.FILLED, State.CANCELED, State.REJECTED, State.EXPIRED})


class Event(StrEnum):
    """What can happen to an order."""

    ACCEPTED = "accepted"  # the venue has it in its book
    REJECTED = "rejected"  # the venue said no
    FILLED_PARTLY = "filled partly"
    FILLED_WHOLLY = "filled wholly"
    CANCEL_SENT = "cancel sent"
    CANCELED = "canceled"
    CANCEL_REFUSED = "cancel refused"
    EXPIRED = "expired"
    ANSWER_LOST = "answer lost"  # time-out, disconnect, server error: of an order or of a cancel
    NOT_FOUND = "not found"  # asked, and the venue stated that it has no such order


class IllegalTransition(TidewrightError):
    """Something was reported that cannot follow from what is known: the venue or we are wrong, and trading stops."""


_S, _E = State, Event

TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    # An order on its way.
    (_S.PENDING_NEW, _E.ACCEPTED): _S.NEW,
    (_S.PENDING_NEW, _E.REJECTED): _S.REJECTED,
    (_S.PENDING_NEW, _E.ANSWER_LOST): _S.UNKNOWN,
    (_S.PENDING_NEW, _E.CANCEL_SENT): _S.PENDING_CANCEL,
    (_S.PENDING_NEW, _E.EXPIRED): _S.EXPIRED,
    (_S.PENDING_NEW, _E.NOT_FOUND): _S.REJECTED,  # found at a restart: written down, never sent
    # A fill before the acknowledgement: the stream overtook the answer.
    (_S.PENDING_NEW, _E.FILLED_PARTLY): _S.PARTIALLY_FILLED,
    (_S.PENDING_NEW, _E.FILLED_WHOLLY): _S.FILLED,
    # A cancel seen before the acknowledgement: at a restart, or by the venue itself.
    (_S.PENDING_NEW, _E.CANCELED): _S.CANCELED,
    # A resting order.
    (_S.NEW, _E.ACCEPTED): _S.NEW,  # told twice: by the answer and by the stream
    (_S.NEW, _E.FILLED_PARTLY): _S.PARTIALLY_FILLED,
    (_S.NEW, _E.FILLED_WHOLLY): _S.FILLED,
    (_S.NEW, _E.CANCEL_SENT): _S.PENDING_CANCEL,
    (_S.NEW, _E.CANCELED): _S.CANCELED,  # by the venue, or by hand
    (_S.NEW, _E.EXPIRED): _S.EXPIRED,
    (_S.NEW, _E.ANSWER_LOST): _S.NEW,  # the stream told us already, the answer is not needed
    (_S.PARTIALLY_FILLED, _E.ACCEPTED): _S.PARTIALLY_FILLED,  # the acknowledgement came after the fill
    (_S.PARTIALLY_FILLED, _E.FILLED_PARTLY): _S.PARTIALLY_FILLED,
    (_S.PARTIALLY_FILLED, _E.FILLED_WHOLLY): _S.FILLED,
    (_S.PARTIALLY_FILLED, _E.CANCEL_SENT): _S.PENDING_CANCEL,
    (_S.PARTIALLY_FILLED, _E.CANCELED): _S.CANCELED,
    (_S.PARTIALLY_FILLED, _E.EXPIRED): _S.EXPIRED,
    (_S.PARTIALLY_FILLED, _E.ANSWER_LOST): _S.PARTIALLY_FILLED,
    # A cancel on its way.
    (_S.PENDING_CANCEL, _E.CANCELED): _S.CANCELED,
    (_S.PENDING_CANCEL, _E.FILLED_PARTLY): _S.PENDING_CANCEL,  # a fill after the cancel was sent
    (_S.PENDING_CANCEL, _E.FILLED_WHOLLY): _S.FILLED,  # the cancel came too late
    (_S.PENDING_CANCEL, _E.CANCEL_REFUSED): _S.UNKNOWN,  # too late, most likely: ask what became of it
    (_S.PENDING_CANCEL, _E.ANSWER_LOST): _S.UNKNOWN,
    (_S.PENDING_CANCEL, _E.ACCEPTED): _S.PENDING_CANCEL,  # the acknowledgement came after the cancel was sent
    (_S.PENDING_CANCEL, _E.REJECTED): _S.REJECTED,  # the order itself had been refused
    (_S.PENDING_CANCEL, _E.EXPIRED): _S.EXPIRED,
    (_S.PENDING_CANCEL, _E.CANCEL_SENT): _S.PENDING_CANCEL,  # sent again
    (_S.PENDING_CANCEL, _E.NOT_FOUND): _S.REJECTED,
    # An outcome nobody has told us: every answer of the venue settles it.
    (_S.UNKNOWN, _E.ACCEPTED): _S.NEW,
    (_S.UNKNOWN, _E.REJECTED): _S.REJECTED,
    (_S.UNKNOWN, _E.FILLED_PARTLY): _S.PARTIALLY_FILLED,
    (_S.UNKNOWN, _E.FILLED_WHOLLY): _S.FILLED,
    (_S.UNKNOWN, _E.CANCELED): _S.CANCELED,
    (_S.UNKNOWN, _E.EXPIRED): _S.EXPIRED,
    (_S.UNKNOWN, _E.CANCEL_REFUSED): _S.UNKNOWN,
    (_S.UNKNOWN, _E.ANSWER_LOST): _S.UNKNOWN,
    (_S.UNKNOWN, _E.CANCEL_SENT): _S.PENDING_CANCEL,
    (_S.UNKNOWN, _E.NOT_FOUND): _S.REJECTED,
    # After the end. The stream and the answers travel apart, so an end may be told twice, and late fills of a cancelled
    # or expired order are real.
    (_S.FILLED, _E.ACCEPTED): _S.FILLED,
    (_S.FILLED, _E.FILLED_WHOLLY): _S.FILLED,
    (_S.FILLED, _E.CANCEL_REFUSED): _S.FILLED,
    (_S.FILLED, _E.ANSWER_LOST): _S.FILLED,
    (_S.CANCELED, _E.CANCELED): _S.CANCELED,
    (_S.CANCELED, _E.ACCEPTED): _S.CANCELED,
    (_S.CANCELED, _E.FILLED_PARTLY): _S.CANCELED,
    (_S.CANCELED, _E.CANCEL_REFUSED): _S.CANCELED,
    (_S.CANCELED, _E.ANSWER_LOST): _S.CANCELED,
    (_S.REJECTED, _E.REJECTED): _S.REJECTED,
    (_S.REJECTED, _E.CANCEL_REFUSED): _S.REJECTED,
    (_S.REJECTED, _E.ANSWER_LOST): _S.REJECTED,
    (_S.REJECTED, _E.NOT_FOUND): _S.REJECTED,
    (_S.EXPIRED, _E.EXPIRED): _S.EXPIRED,
    (_S.EXPIRED, _E.ACCEPTED): _S.EXPIRED,
    (_S.EXPIRED, _E.FILLED_PARTLY): _S.EXPIRED,
    (_S.EXPIRED, _E.CANCEL_REFUSED): _S.EXPIRED,
    (_S.EXPIRED, _E.ANSWER_LOST): _S.EXPIRED,
}


def step(state: State, event: Event, order: str = "") -> State:
    """State that follows.

    Raises
    ------
    IllegalTransition
        If the table has no such step.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"order {order}: {event.value!r} cannot follow {state.value}") from None
