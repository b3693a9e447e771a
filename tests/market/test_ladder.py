"""The dense book against two dictionaries."""

from hypothesis import given
from hypothesis import strategies as st

from tidewright.market import ladder as book

WIDTH = 64
ROWS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, WIDTH - 1), st.sampled_from([0, 0, 1, 5])), max_size=80)


@given(ROWS)
def test_bests_and_levels_are_those_of_a_dictionary(rows: list[tuple[int, int, int]]) -> None:
    made = book.new_ladder(WIDTH)
    book.move_window(made, 1_000)
    levels: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for side, offset, qty in rows:
        price = 1_000 + offset
        old = book.set_level(made, side, book.index_of(made, side, price), qty)
        assert old == levels[side].pop(price, 0)
        if qty:
            levels[side][price] = qty
        for each, best in ((0, max), (1, min)):
            index = made.reg[book.BEST + each]
            seen = book.price_at(made, each, index) if index >= 0 else None
            assert seen == (best(levels[each]) if levels[each] else None)


def test_a_level_that_left_the_window_is_unknown_when_it_returns() -> None:
    made = book.new_ladder(WIDTH)
    book.move_window(made, 1_000)
    book.set_level(made, 0, book.index_of(made, 0, 1_010), 7)
    book.set_level(made, 0, book.index_of(made, 0, 1_050), 3)
    book.move_window(made, 1_030)
    assert book.price_at(made, 0, made.reg[book.BEST]) == 1_050
    book.move_window(made, 1_000)
    assert made.qty[book.index_of(made, 0, 1_010)] == book.UNKNOWN
    assert made.qty[book.index_of(made, 0, 1_050)] == 3
