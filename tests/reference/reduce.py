"""Makes a case smaller as long as it still shows what it should: for cases that hypothesis did not draw."""

from collections.abc import Callable, Iterator
from dataclasses import fields, replace

from tests.reference.book import Row
from tests.reference.driver import Action, Case, Cut, Drop, Send
from tests.reference.model import Settings
from tidewright.market.codes import PACKET_END

PLAIN = Case([])
PLAIN_SETTINGS = Settings(cycle_ns=25)


def reduced(case: Case, shows: Callable[[Case], bool]) -> Case:
    """A case from which nothing more can be taken away without losing what it shows."""
    smaller: Case | None = case
    while smaller is not None:
        case = smaller
        smaller = next((each for each in simpler(case) if shows(each)), None)
    return case


def simpler(case: Case) -> Iterator[Case]:
    """Cases that are one step simpler, the largest steps first."""
    groups = packets(case.rows)
    size = len(groups) // 2
    while size >= 1:
        for start in range(0, len(groups), size):
            left = groups[:start] + groups[start + size :]
            if left:
                yield replace(case, rows=[row for group in left for row in group])
        size //= 2
    for index in range(len(case.actions)):
        yield replace(case, actions=without(case.actions, index))
    for index, row in enumerate(case.rows[:-1]):
        if not row.flags & PACKET_END:
            yield replace(case, rows=case.rows[:index] + case.rows[index + 1 :])
    if len(case.params) > 1:
        for one in case.params:
            yield replace(case, params=(one,))
    kept = {"rows", "actions", "settings", "strategy", "params", "lanes", "quote_units"}
    for each in fields(Case):
        plain = getattr(PLAIN, each.name)
        if each.name not in kept and getattr(case, each.name) != plain:
            yield replace(case, **{each.name: plain})
    for each in fields(Settings):
        plain = getattr(PLAIN_SETTINGS, each.name)
        if getattr(case.settings, each.name) != plain:
            yield replace(case, settings=replace(case.settings, **{each.name: plain}))


def packets(rows: list[Row]) -> list[list[Row]]:
    groups: list[list[Row]] = [[]]
    for row in rows:
        groups[-1].append(row)
        if row.flags & PACKET_END:
            groups.append([])
    return groups[:-1]


def without(actions: tuple[Action, ...], index: int) -> tuple[Action, ...]:
    """Actions without one; cancels of a removed order go too, those of later ones count anew."""
    gone = actions[index]
    left = actions[:index] + actions[index + 1 :]
    if isinstance(gone, Drop | Cut):
        return left
    number = sum(isinstance(each, Send) and each.lane == gone.lane for each in actions[:index])
    result: list[Action] = []
    for each in left:
        if isinstance(each, Drop | Cut) and each.lane == gone.lane:
            if each.number == number:
                continue
            each = each._replace(number=each.number - (each.number > number))
        result.append(each)
    return tuple(result)
