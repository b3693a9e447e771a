"""Strategies of users' own: the engine's results with them, what is compiled when, and what a mistake is told with."""

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numba
import numpy as np
import pytest

import tidewright as tw
from tests.engine.example import SECOND, all_bytes, differences, market, packet_ends
from tests.strategies.test_grid import view
from tidewright.engine.replay import Replay, ReplayConfig
from tidewright.market.errors import DataError, NotFoundError, UsageError
from tidewright.risk.limits import Limits
from tidewright.strategies import custom, registry
from tidewright.strategies.custom_errors import StrategyError
from tidewright.strategies.dispatch import quote
from tidewright.strategies.view import MAX_LEVELS, new_quotes

GRID = """
import math
import tidewright as tw

PARAMETERS = [
    tw.Parameter("spread_percentage", 0.18, 1e-6, 100.0, 0.02, 1.0, log=True),
    tw.LEVELS,
    tw.BASE_QUANTITY,
    tw.MAX_POSITION,
]

@tw.strategy(parameters=PARAMETERS)
def my_grid(view, params, quotes):
    '''The built-in grid, written anew.'''
    lots = math.floor(params.base_quantity / view.lot + 1e-9)
    half_mid = view.mid2 / 2.0
    step = params.spread_percentage / 100.0 / 2.0
    limit = params.max_position / view.lot
    bids = asks = 0
    if view.position < limit - 1e-9:
        for k in range(1, int(params.levels) + 1):
            price = math.floor(half_mid * (1.0 - step * k))
            if price > 0:
                quotes.bid_price[bids] = price
                quotes.bid_qty[bids] = lots
                bids += 1
    if view.position > -limit + 1e-9:
        for k in range(1, int(params.levels) + 1):
            quotes.ask_price[asks] = math.ceil(half_mid * (1.0 + step * k))
            quotes.ask_qty[asks] = lots
            asks += 1
    return bids, asks
"""

# One parameter decides what goes wrong, so that all of it is compiled once.
FAULTY = """
import math
import tidewright as tw
from numba import njit

@njit
def reciprocal(x):
    return 1.0 / x  # divides

@tw.strategy(parameters=[tw.Parameter("fault", 0, 0, 20, integer=True), tw.BASE_QUANTITY])
def faulty(view, params, quotes):
    fault = params.fault
    count = 1
    quotes.bid_price[0] = view.best_bid
    quotes.bid_qty[0] = 7
    if fault == 1:
        return 33, 0  # too many
    if fault == 2:
        return 1, -1  # negative
    if fault == 3:
        quotes.bid_price[0] = math.log(view.position - fault)  # no number
    if fault == 4:
        quotes.bid_qty[0] = view.position  # no quantity
    if fault == 5:
        quotes.bid_price[0] = view.position - 3  # no price
    if fault == 6:
        for k in range(MOST):
            quotes.bid_price[k] = 1  # beyond the buffer
    if fault == 7:
        count = int(reciprocal(float(view.position)))
    if fault == 8:
        raise ValueError("not today")  # says so
    if fault == 9:
        quotes.bid_price[0] = 1 << 52
        quotes.bid_qty[0] = 1 << 52  # more than there is
    if fault == 10:
        quotes.ask_price[-40] = 1  # before the buffer
    if fault == 11:
        count = 2
    return count, 0

MOST = 100_000
"""


def written(folder: Path, text: str, name: str = "mine.py") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def line_with(text: str, words: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if words in line)


def run(strategy: str, params: dict[str, object], slices: int = 1) -> Replay:
    tape = market(hours=0.25)
    config = ReplayConfig(cycle_ns=5 * SECOND, limits=Limits(), record_fills=2, record_equity=1)
    replay = Replay(tape.instrument, config, strategy, params, quote_units=10**13)  # type: ignore[arg-type]
    ends = packet_ends(tape.data)
    rows = [0, *(ends[len(ends) * part // slices - 1] for part in range(1, slices + 1))]
    for first, last in pairwise(rows):
        replay.feed(tape.data.rows(first, last))
        if slices > 1:
            replay = Replay.restore(tape.instrument, replay.snapshot())
    replay.finish()
    return replay


# -- results ----------------------------------------------------------------------------------------------------------

SWEEP = {"spread_percentage": np.linspace(0.005, 0.2, 8), "levels": [1, 2, 3, 4] * 2, "max_position": 0.004}


def test_the_grid_written_as_a_users_own_gives_the_same_bytes(tmp_path: Path) -> None:
    built_in, own = run("grid", SWEEP), run(written(tmp_path, GRID), SWEEP)
    assert built_in.statistics()["n_fills"].sum() > 50
    assert differences(all_bytes(built_in), all_bytes(own)) == []


def test_threads_share_a_users_strategy(tmp_path: Path) -> None:
    reference, tape = written(tmp_path, GRID), market(hours=0.1)
    one, two = (tw.backtest(tape, reference, SWEEP, cycle="5s", threads=count) for count in (1, 2))
    assert {name: values.tobytes() for name, values in one.statistics.items()} == {
        name: values.tobytes() for name, values in two.statistics.items()
    }


def test_a_saved_run_goes_on_byte_for_byte_and_carries_no_address(tmp_path: Path) -> None:
    reference = written(tmp_path, GRID)
    whole = run(reference, SWEEP)
    assert whole._rule is not None
    assert whole._rule.number.to_bytes(8, "little") not in whole.snapshot()
    assert differences(all_bytes(whole), all_bytes(run(reference, SWEEP, slices=3))) == []


def test_a_saved_run_is_not_resumed_with_an_edited_strategy(tmp_path: Path) -> None:
    reference = written(tmp_path, GRID)
    saved = run(reference, SWEEP).snapshot()
    written(tmp_path, GRID.replace("/ 2.0", "/ 2.5"))
    registry.resolve(reference)
    with pytest.raises(DataError, match="has changed since the snapshot"):
        Replay.restore(market(hours=0.25).instrument, saved)


def test_a_backtest_takes_a_file_or_the_decorated_function(tmp_path: Path) -> None:
    tape = market(hours=0.1)
    reference = written(tmp_path, GRID)
    by_file = tw.backtest(tape, reference, {"levels": 2})
    assert by_file.strategy == f"{reference}:my_grid"
    declared = custom.load(reference).declaration
    by_function = tw.backtest(tape, declared, {"levels": 2})
    assert by_function.metrics["total_return"] == by_file.metrics["total_return"]
    assert declared.summary == "The built-in grid, written anew."


def test_a_declared_function_can_be_called_as_plain_python(tmp_path: Path) -> None:
    mine = custom.load(written(tmp_path, GRID)).declaration
    quotes = new_quotes()
    assert mine(view(), mine.params(levels=2), quotes) == (2, 2)
    assert quotes.bid_price[0] < view().best_bid


def test_under_one_lot_nothing_is_asked_of_a_strategy(tmp_path: Path) -> None:
    """How an optimizer's idle lane stands aside, whatever the user's function does with its quantity."""
    rule = registry.strategy(written(tmp_path, FAULTY)).bind()
    for quantity, count in ((0.0, 0), (0.5e-5, 0), (1e-5, 1)):
        assert quote(rule.number, view(), np.array([0.0, quantity]), new_quotes()) == (count, 0)


# -- what is compiled when --------------------------------------------------------------------------------------------

ASK = """
import sys, tidewright, numpy as np
from tests.strategies.test_grid import view
from tidewright.strategies import custom, dispatch, registry
from tidewright.strategies.view import new_quotes
rule, quotes = registry.strategy(sys.argv[1]).bind(), new_quotes()
counts = dispatch.quote(rule.number, view(), registry.rows(sys.argv[1], {})[0], quotes)
compiled = custom.load(sys.argv[1])._compiled
print(counts, quotes.bid_price[:2].tolist(), rule.take_fault(), "hits", compiled and compiled.keep.cache_hits)
"""


def asked(reference: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", ASK, reference],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    return done.stdout.strip()


NEIGHBOUR = "import os\nOFFSET = float(os.environ.get('OFFSET_OF_MINE', '1'))\n"
WITH_NEIGHBOUR = GRID.replace("import math", "import math\nfrom neighbour_of_mine import OFFSET").replace(
    "view.mid2 / 2.0", "view.mid2 / 2.0 + OFFSET"
)


def test_another_process_finds_it_compiled_but_not_with_another_constant(tmp_path: Path) -> None:
    """The constant is not in the file: it comes from a neighbour, which reads the environment."""
    written(tmp_path, NEIGHBOUR, "neighbour_of_mine.py")
    reference = written(tmp_path, WITH_NEIGHBOUR)
    first = asked(reference)
    assert asked(reference) == first.split("hits")[0] + "hits 1"
    shifted = asked(reference, OFFSET_OF_MINE="1001")
    assert shifted.split("]")[0] != first.split("]")[0]


def test_an_edited_neighbour_is_noticed(tmp_path: Path) -> None:
    written(tmp_path, NEIGHBOUR, "neighbour_of_mine.py")
    reference = written(tmp_path, WITH_NEIGHBOUR)
    registry.resolve(reference)
    written(tmp_path, "OFFSET = 2.0\n", "neighbour_of_mine.py")
    with pytest.raises(StrategyError, match=r"neighbour_of_mine.py, which mine.py imports, was edited"):
        registry.resolve(reference)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    written(elsewhere, NEIGHBOUR, "neighbour_of_mine.py")
    with pytest.raises(StrategyError, match="another neighbour_of_mine is loaded already"):
        registry.strategy(written(elsewhere, WITH_NEIGHBOUR))


def test_it_runs_as_plain_python_for_a_debugger(tmp_path: Path) -> None:
    reference = written(tmp_path, GRID)
    quotes = new_quotes()
    counts = quote(registry.strategy(reference).bind().number, view(), registry.rows(reference, {})[0], quotes)
    assert asked(reference, NUMBA_DISABLE_JIT="1").startswith(f"{counts} {quotes.bid_price[:2].tolist()} ")


def test_a_process_keeps_what_it_read_until_a_backtest_looks_again(tmp_path: Path) -> None:
    """A session must not change under an edit; who calls backtest again wants the edit."""
    reference = written(tmp_path, GRID)
    before = registry.strategy(reference).digest
    written(tmp_path, GRID.replace("my_grid", "other_grid"))
    assert registry.strategy(reference).digest == before
    result = tw.backtest(market(hours=0.05, seed=2), reference)
    assert result.strategy.endswith(":other_grid")


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
def test_helpers_are_checked_for_bounds_even_if_they_ask_for_a_cache_of_their_own(tmp_path: Path) -> None:
    text = FAULTY.replace("@njit\n", "@njit(cache=True)\n").replace("return 1.0 / x", "return np.zeros(2)[int(x) + 5]")
    rule = registry.strategy(written(tmp_path, text.replace("import math", "import math\nimport numpy as np"))).bind()
    assert quote(rule.number, view(), np.array([7.0, 1.0]), new_quotes()) == (0, 0)
    assert "IndexError" in rule.take_fault()


# -- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "words", "said"),
    [
        (1, "def faulty", "returned 33 bids, but 0 to 32 may be quoted"),
        (2, "def faulty", "returned -1 asks"),
        (3, "# no number", "math domain error"),
        (4, "# no quantity", "wrote 0 as quantity of bid 0"),
        (5, "# no price", "wrote -3 as price of bid 0"),
        (6, "# beyond the buffer", "IndexError"),
        (7, "# divides", "ZeroDivisionError"),
        (8, "# says so", "ValueError: not today"),
        (9, "# more than there is", f"wrote {1 << 52} as quantity of bid 0"),
        (10, "# before the buffer", "IndexError"),
        (11, "def faulty", "counted bid 1, but wrote no price for it"),
    ],
)
def test_what_goes_wrong_while_it_runs_names_the_line_and_harms_nothing(
    tmp_path: Path, fault: int, words: str, said: str
) -> None:
    reference = written(tmp_path, FAULTY)
    rule = registry.strategy(reference).bind()
    quotes = new_quotes()
    assert quote(rule.number, view(), np.array([float(fault), 1.0]), quotes) == (0, 0)
    told = rule.take_fault()
    assert f"{reference}, line {line_with(FAULTY, words)} " in told
    assert said in told
    assert f"fault {fault}" in told
    assert rule.take_fault() == ""
    assert quote(rule.number, view(), np.array([0.0, 1.0]), quotes) == (1, 0)
    rule.check()


def test_a_fault_in_one_lane_stops_the_run_with_its_parameters(tmp_path: Path) -> None:
    reference = written(tmp_path, FAULTY)
    with pytest.raises(StrategyError, match=r"mine.py, line \d+ .*fault 8.*decisions were at fault"):
        tw.backtest(market(hours=0.05, seed=2), reference, {"fault": [0, 0, 8]})


def test_a_fault_in_any_thread_of_a_sweep_is_told(tmp_path: Path) -> None:
    text = FAULTY.replace('ValueError("not today")', "ValueError(view.now_ns)")  # an argument made while it runs
    with pytest.raises(StrategyError, match=r"raised ValueError: \d+;.*fault 8"):
        tw.backtest(market(hours=0.05, seed=2), written(tmp_path, text), {"fault": [0, 8, 0, 8]}, threads=2)


HEAD = """import math
from numba import njit
import tidewright as tw

TABLE = {{"a": 1.0}}
COUNT = 0

def plain(x):
    return x

@njit
def helper(x):
    return x + {helper}

@tw.strategy(parameters=[tw.Parameter("spread", 0.1, 0.0, 1.0), tw.BASE_QUANTITY])
def maker(view, params, quotes):
    x = {value}  # here
    return {answer}
"""


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
@pytest.mark.parametrize(
    ("parts", "words", "said"),
    [
        ({"value": "nothing + 1"}, "# here", "name 'nothing' is not defined"),
        ({"value": "params.spred"}, "# here", "Unknown attribute 'spred' of params; it has: spread, base_quantity"),
        ({"value": "view.mid"}, "# here", "Unknown attribute 'mid' of view; it has: now_ns, elapsed_ns,"),
        ({"value": "math.sqroot(2.0)"}, "# here", "math has no 'sqroot'"),
        ({"value": "open('x')"}, "# here", "open cannot be used in compiled code"),
        ({"value": "TABLE['a']"}, "# here", "TABLE is a dict, which cannot be compiled in: use a tuple"),
        ({"value": "maker(view, params, quotes)"}, "# here", "maker calls itself"),
        ({"value": "sum(k for k in range(3))"}, "# here", "a generator cannot be compiled: write a list"),
        ({"value": "math.floor(x=1.0)"}, "# here", "Keyword arguments are not supported"),
        ({"value": "float(str(view.tick))"}, "# here", "could not convert string to float"),
        ({"value": "helper(1.0)", "helper": "helper(x)"}, "x + helper", "helper calls itself, which may exhaust"),
        ({"value": "helper(1.0)", "helper": "plain(x)"}, "x + plain", "decorate it with @numba.njit"),
        ({"value": "view.tick + 'a'"}, "# here", "add(float64, Literal[str](a))"),
        ({"value": "helper(1.0)", "helper": "'b'"}, "x + 'b'", "add(float64, Literal[str](b))"),
        ({"value": "plain(1.0)"}, "# here", "plain is a plain Python function: decorate it with @numba.njit"),
        ({"answer": "3"}, "return 3", "two whole numbers; it returns 3"),
        ({"answer": "1.0, 2.0"}, "return 1.0", "two whole numbers; it returns UniTuple(float64 x 2)"),
    ],
)
def test_what_cannot_be_compiled_names_the_line(tmp_path: Path, parts: dict[str, str], words: str, said: str) -> None:
    text = HEAD.format(**{"helper": "1.0", "value": "0", "answer": "0, 0", **parts})
    reference = written(tmp_path, text)
    with pytest.raises(StrategyError) as caught:
        registry.strategy(reference).bind()
    assert f"{reference}, line {line_with(text, words)} " in str(caught.value)
    assert said in str(caught.value)


STATEMENTS = """import math
from numba import njit
import tidewright as tw

COUNT = 0

@njit
def helper(x):
    {helper}
    return 1.0

@tw.strategy(parameters=[tw.Parameter("spread", 0.1, 0.0, 1.0), tw.BASE_QUANTITY])
def maker(view, params, quotes):
    x = helper(1.0)
    {body}
    quotes.bid_price[0] = math.floor(x)
    return 0, 0
"""

WRONG_ANYWHERE = {
    "a file is read": ("with open('y') as file: x = 2.0", "`with` cannot be compiled: read files at the top"),
    "an import": ("import math as m", "an import must stand at the top of the file"),
    "an import of a name": ("from math import floor", "an import must stand at the top of the file"),
    "a format": ("text = f'{x:.2f}'", "leave it out, as in f'{x}'"),
    "a repr": ("text = f'{x!r}'", "leave it out, as in f'{x}'"),
    "a class": ("class Thing: pass", "a class cannot be made inside a compiled function"),
    "a changed global": ("global COUNT; COUNT = 1", "COUNT cannot be changed: a strategy knows its arguments only"),
    "a rest": ("first, *rest = (1, 2, 3)", "`*name` on the left of ="),
    "del": ("del x", "`del` of a variable cannot be compiled"),
    "a typed except": ("try: x = 1.0\n    except ValueError: x = 2.0", "only `except Exception:`"),
    "a named except": ("try: x = 1.0\n    except Exception as e: x = 2.0", "cannot be kept in a variable"),
    "a loop without an end": ("while True: x += 1.0", "this loop never ends: it has neither `break` nor `return`"),
}
WRONG_IN_A_STRATEGY = {
    "text or a number": ("if x > 2.0: x = 'a'", "x must be of one type, but is a number in one place and text in"),
    "different returns": (
        "if x > 2.0: return 1, 0, 0",
        "every `return` of a function must give the same, but those of line 15 and 17",
    ),
    "view is set": ("view.position = 3", "view.position cannot be set, for view is read-only: keep"),
    "view is added to": ("view.position += 3", "view is read-only"),
    "view is unpacked into": ("x, view.position = 1.0, 2", "view is read-only"),
    "params are set": ("params.spread = 3", "params is read-only"),
    "an array is replaced": ("quotes.bid_price = 3", "write to the entries of an array of quotes, as in quotes.bid_"),
    "quotes are indexed": ("quotes['bid_price'] = 3", "write to the entries of an array of quotes"),
    "a yield": ("yield 1", "`yield` has no meaning here"),
    "an attribute of an array": ("quotes.bid_price.append(3)", "Unknown attribute 'append'"),
    "text in an array": ("quotes.bid_price[0] = 'a'", "cannot be compiled: it does not take these types"),
    "an unknown assignment": ("if (y := view.position) > 3: x = 2.0", "`:=` is not always understood"),
}


def told_of(folder: Path, helper: str, body: str) -> tuple[str, str, str]:
    """The file, its text, and what is said when it is compiled."""
    text = STATEMENTS.format(helper=helper, body=body)
    reference = written(folder, text)
    with pytest.raises(StrategyError) as caught:
        registry.strategy(reference).bind()
    return reference, text, str(caught.value)


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
@pytest.mark.parametrize("mistake", [*WRONG_ANYWHERE, *WRONG_IN_A_STRATEGY])
def test_a_statement_that_cannot_be_compiled_is_told_at_its_line_in_plain_words(tmp_path: Path, mistake: str) -> None:
    statement, said = (WRONG_ANYWHERE | WRONG_IN_A_STRATEGY)[mistake]
    reference, text, told = told_of(tmp_path, "pass", f"{statement}  # here")
    assert told.startswith(f"{reference}, line {line_with(text, '# here')} (") and said in told, told
    assert "\n" not in told and "Raised from" not in told


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
@pytest.mark.parametrize("mistake", WRONG_ANYWHERE)
def test_a_statement_of_a_helper_is_told_at_its_line_too(tmp_path: Path, mistake: str) -> None:
    statement, said = WRONG_ANYWHERE[mistake]
    reference, text, told = told_of(tmp_path, f"{statement}  # here", "pass")
    assert told.startswith(f"{reference}, line {line_with(text, '# here')} (") and said in told, told


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled")
@pytest.mark.parametrize("statement", ["x.position = 3", "x.position += 1"])
def test_a_helper_that_sets_what_is_read_only_is_told_at_its_line(tmp_path: Path, statement: str) -> None:
    reference, _, told = told_of(tmp_path, statement, "helper(view)")
    assert told.startswith(f"{reference}, line 9 (") and "position of view cannot be set" in told


FINE = """import math
import numba
import numpy as np
from numba import njit
import tidewright as tw

WEIGHTS = np.ones(4)

@njit
def total(x):
    found = 0.0
    for k in range(len(WEIGHTS)):
        found += WEIGHTS[k] * x
    return found

@njit
def counting(most):
    for k in range(most):
        yield k

@tw.strategy(parameters=[tw.BASE_QUANTITY])
def maker(view, params, quotes):
    words = {"a": 1.0}
    listed = [1, 2]
    for k in counting(3):
        listed.append(k)
    try:
        half = 1.0 / view.position
    except Exception:
        half = words["a"]
    while True:
        half += 1.0
        if half > 3.0:
            break
    def inner(x):
        while x < 5.0:
            x += 1.0
        return x
    text = f"{view.position}"
    if len(text) > 100:
        raise ValueError(f"at {view.position}")
    quotes.bid_price[0:2] = np.array([7, 6])
    quotes.bid_qty[0] = len(listed)
    quotes.bid_qty[1] = int(total(inner(half)))
    return 2, 0
"""


def test_what_numba_knows_is_not_refused_and_counting_loops_changes_nothing(tmp_path: Path) -> None:
    reference = written(tmp_path, FINE)
    rule, quotes, plainly = registry.strategy(reference).bind(), new_quotes(), new_quotes()
    assert quote(rule.number, view(), np.array([1.0]), quotes) == (2, 0), rule.take_fault()
    declared = custom.load(reference).declaration
    declared(view(), declared.params(), plainly)
    assert [part.tolist() for part in quotes] == [part.tolist() for part in plainly]
    assert quotes.bid_qty[:2].tolist() == [5, 20]


ENDLESS = """
import math
from numba import njit
import tidewright as tw

@njit
def climbs(x):
    while x > 0.0:  # in a helper
        x += 1.0
    return x

@tw.strategy(parameters=[tw.Parameter("fault", 0, 0, 20, integer=True), tw.BASE_QUANTITY])
def endless(view, params, quotes):
    half = 1.0
    if params.fault == 1:
        while half > 0.0:  # in itself
            half += 1.0
    if params.fault == 2:
        half = climbs(half)
    if params.fault == 3:
        for k in range(view.now_ns * 1_000_000):  # in a range
            half += math.sqrt(k)
    quotes.bid_price[0] = view.best_bid
    quotes.bid_qty[0] = 7
    return 1, 0
"""


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="plain Python is interrupted as ever")
@pytest.mark.parametrize(("fault", "words"), [(1, "# in itself"), (2, "# in a helper"), (3, "# in a range")])
def test_a_loop_without_an_end_is_a_mistake_at_its_line(tmp_path: Path, fault: int, words: str) -> None:
    reference = written(tmp_path, ENDLESS)
    rule, quotes = registry.strategy(reference).bind(), new_quotes()
    assert quote(rule.number, view(), np.array([float(fault), 1.0]), quotes) == (0, 0)
    told = rule.take_fault()
    assert f"{reference}, line {line_with(ENDLESS, words)} (" in told
    assert "took over 10,000,000 turns: does this one end?" in told
    assert quote(rule.number, view(), np.array([0.0, 1.0]), quotes) == (1, 0)
    assert rule.take_fault() == ""


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="plain Python is interrupted as ever")
def test_a_loop_without_an_end_in_a_helper_of_a_module_is_told_at_its_call(tmp_path: Path) -> None:
    helper = ENDLESS.partition("@tw")[0].replace("import tidewright as tw", "")
    written(tmp_path, helper, "climbing_of_mine.py")
    text = "import climbing_of_mine\n" + ENDLESS.replace("climbs(half)", "climbing_of_mine.climbs(half)  # calls it")
    rule = registry.strategy(written(tmp_path, text)).bind()
    assert quote(rule.number, view(), np.array([2.0, 1.0]), new_quotes()) == (0, 0)
    told = rule.take_fault()
    assert f"mine.py, line {line_with(text, '# calls it')} (" in told and "does this one end?" in told


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="plain Python is interrupted as ever")
def test_a_loop_without_an_end_in_some_lanes_stops_a_sweep_soon(tmp_path: Path) -> None:
    with pytest.raises(StrategyError, match=r"does this one end\?.*at least 10 decisions were at fault"):
        tw.backtest(market(hours=0.25), written(tmp_path, ENDLESS), {"fault": [0, 1] * 16}, cycle="1s")


DECLARED = "import tidewright as tw\n@tw.strategy(parameters=[{0}])\ndef maker({1}):\n    return 0, 0\n"
ARGUMENTS = "view, params, quotes"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("import math\nx = = 1\n", 2, "invalid syntax"),
        ("import nonesuch_module\n", 1, "ModuleNotFoundError"),
        ("x = 1\ny = x / 0\n", 2, "ZeroDivisionError"),
        ("import sys\n\nsys.exit(3)\n", 3, "SystemExit"),
        (DECLARED.format("tw.BASE_QUANTITY", "view, params"), 2, "must take exactly (view, params, quotes)"),
        (DECLARED.format("tw.LEVELS", ARGUMENTS), 2, "needs the parameter base_quantity"),
        (DECLARED.format("tw.BASE_QUANTITY, tw.BASE_QUANTITY", ARGUMENTS), 2, "declared twice"),
        (DECLARED.format("tw.Parameter('x', 11, 0, 10)", ARGUMENTS), 2, "default must be in [0, 10], was 11"),
        (DECLARED.format("tw.Parameter('x', 1, 0, 10, 5, 20)", ARGUMENTS), 2, "must be within [0, 10]"),
        (DECLARED.format("tw.Parameter('x y', 1, 0, 10)", ARGUMENTS), 2, "must be a Python name"),
        (DECLARED.format("tw.Parameter('n', 1.5, 0, 10, integer=True)", ARGUMENTS), 2, "whole number"),
        (
            DECLARED.format("tw.BASE_QUANTITY, tw.Parameter('levels', 50, 1, 99, integer=True)", ARGUMENTS),
            2,
            f"lies in [0, {MAX_LEVELS}]",
        ),
    ],
)
def test_a_file_that_cannot_be_loaded_names_the_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    reference = written(tmp_path, text)
    with pytest.raises(StrategyError) as caught:
        registry.strategy(reference)
    assert f"{reference}, line {line} " in str(caught.value)
    assert said in str(caught.value)


def test_a_reference_that_leads_nowhere_says_where_to(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no strategy file is at"):
        registry.strategy(str(tmp_path / "none.py"))
    with pytest.raises(StrategyError, match="declares no strategy: decorate"):
        registry.strategy(written(tmp_path, "x = 1\n", "empty.py"))
    two = written(tmp_path, GRID + GRID.replace("my_grid", "his_grid"), "two.py")
    with pytest.raises(StrategyError, match="declares my_grid, his_grid: choose one"):
        registry.strategy(two)
    with pytest.raises(StrategyError, match="declares no strategy 'her_grid'"):
        registry.strategy(f"{two}:her_grid")
    assert registry.strategy(f"{two}:his_grid").title == "two.py:his_grid"


def test_parameters_are_checked_like_a_built_ins(tmp_path: Path) -> None:
    reference = written(tmp_path, GRID)
    with pytest.raises(UsageError, match=r"no parameter 'spread'\. It has: spread_percentage,"):
        tw.backtest(market(hours=0.05, seed=2), reference, {"spread": 1.0})
    with pytest.raises(UsageError, match=r"levels must be in \[1, 32\], was 33"):
        tw.backtest(market(hours=0.05, seed=2), reference, {"levels": 33})


# -- the example ------------------------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[2]
EXAMPLE = str(ROOT / "examples" / "imbalance_maker.py")


def test_the_example_trades_and_its_parameters_matter() -> None:
    result = tw.backtest(
        market(hours=0.25), EXAMPLE, {"spread_percentage": 0.02, "skew": [0.0, 5.0], "max_position": 1.0}, cycle="5s"
    )
    assert (result.statistics["n_fills"] > 10).all()
    assert result.statistics["n_fills"][0] != result.statistics["n_fills"][1]


def test_the_documents_example_trades_as_it_stands(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "strategies.md").read_text(), re.DOTALL)
    assert len(blocks) == 1
    params = {"calm_bps": [0.5, 2.0], "per_volatility": 0.0}
    result = tw.backtest(market(hours=0.25), written(tmp_path, blocks[0]), params, cycle="5s")
    assert result.statistics["n_fills"][0] > result.statistics["n_fills"][1] > 0
