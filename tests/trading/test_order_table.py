import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidewright.trading.order_table import FINAL, TRANSITIONS, Event, IllegalTransition, State, step


def test_the_plain_life_of_an_order():
    state = State.PENDING_NEW
    for event, expected in (
        (Event.ACCEPTED, State.NEW),
        (Event.FILLED_PARTLY, State.PARTIALLY_FILLED),
        (Event.CANCEL_SENT, State.PENDING_CANCEL),
        (Event.FILLED_PARTLY, State.PENDING_CANCEL),
        (Event.CANCELED, State.CANCELED),
    ):
        state = step(state, event)
        assert state is expected


def test_a_fill_may_come_before_the_acknowledgement():
    assert step(step(State.PENDING_NEW, Event.FILLED_WHOLLY), Event.ACCEPTED) is State.FILLED


def test_a_cancel_that_came_too_late_is_asked_about_not_guessed():
    assert step(State.PENDING_CANCEL, Event.CANCEL_REFUSED) is State.UNKNOWN
    assert step(State.UNKNOWN, Event.FILLED_WHOLLY) is State.FILLED


def test_a_lost_answer_never_means_rejected():
    after = {TRANSITIONS[state, Event.ANSWER_LOST] for state in State if (state, Event.ANSWER_LOST) in TRANSITIONS}
    rejected_before = TRANSITIONS[State.REJECTED, Event.ANSWER_LOST]
    assert rejected_before is State.REJECTED
    assert all(TRANSITIONS[s, Event.ANSWER_LOST] is not State.REJECTED for s in State if s is not State.REJECTED)
    assert State.UNKNOWN in after


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (State.REJECTED, Event.FILLED_PARTLY),
        (State.REJECTED, Event.ACCEPTED),
        (State.FILLED, Event.CANCELED),
        (State.FILLED, Event.FILLED_PARTLY),
        (State.CANCELED, Event.FILLED_WHOLLY),
        (State.CANCELED, Event.CANCEL_SENT),
    ],
)
def test_contradictions_are_errors(state, event):
    with pytest.raises(IllegalTransition, match=state.value):
        step(state, event, "tw-1-1")


@given(st.lists(st.sampled_from(list(Event)), max_size=12))
def test_an_order_never_leaves_a_final_state(events):
    state = State.PENDING_NEW
    for event in events:
        if (state, event) not in TRANSITIONS:
            continue
        after = step(state, event)
        assert state not in FINAL or after is state
        state = after


def test_every_state_that_is_not_final_can_still_end():
    for state in State:
        if state in FINAL:
            continue
        for end in (Event.FILLED_WHOLLY, Event.CANCELED, Event.EXPIRED):
            assert step(state, end) in FINAL
