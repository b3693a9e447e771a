from dataclasses import replace

import pytest

from tidewright.agents.comparison.contenders import Effort, Fixed
from tidewright.agents.comparison.contest import compare
from tidewright.agents.comparison.learned import School, usual
from tidewright.agents.comparison.unseen import learned_until, unseen
from tidewright.agents.executor.learned_on import record
from tidewright.agents.executor.policy import Policy
from tidewright.agents.executor.policy_run import settings_of, tape_hash
from tidewright.agents.executor.seating import HEADER, Report, added, fingerprint
from tidewright.agents.optimizer.steered import SteeredLanes
from tidewright.cli.seat_option import shipped
from tidewright.market.clock import HOUR
from tidewright.market.errors import UsageError
from tidewright.market.synthetic import synthesize
from tidewright.market.tape import Tape

SHIPPED = Policy.load(shipped())
SMALL = Effort(candidates=8, generations=1, learning=1)


@pytest.fixture(scope="module")
def tape():
    return synthesize(None, hours=2.5, seed=11)


@pytest.fixture(scope="module")
def other():
    return synthesize(None, hours=2.5, seed=12)


def part(tape: Tape, first: int, last: int) -> Tape:
    return Tape(tape.path, tape.instrument, tape.meta, tape.data.rows(first, last))


def with_meta(tape: Tape, **told) -> Tape:
    return Tape(tape.path, tape.instrument, {**tape.meta, **told}, tape.data)


def learned_on(*tapes: Tape, recorded=False, source="x", **header) -> Policy:
    """A policy whose file tells what an older version's did, or, recorded, all that there is to tell."""
    data = [
        record(tape) if recorded else {"rows": len(tape), "sha256": tape_hash(tape), "source": source} for tape in tapes
    ]
    kept = {name: value for name, value in SHIPPED.header.items() if name != HEADER}
    return replace(SHIPPED, header={**kept, "data": data, **header})


def test_a_policy_does_not_compete_on_a_tape_it_learned_on(tape, other):
    with pytest.raises(UsageError, match=r"the policy learned on .* until \d{4}-"):
        compare([other, tape], lambda: usual(learned_on(tape)), effort=SMALL)


def test_nor_where_it_learned_on_a_beginning_that_reaches_into_the_windows(tape):
    most = learned_on(part(tape, 0, 3 * len(tape) // 4))
    with pytest.raises(UsageError, match="a later part"):
        compare([tape], lambda: usual(most), effort=SMALL)


def test_nor_under_a_runner_that_was_given_to_a_rule(tape):
    own = learned_on(tape)
    under = Fixed("mine", "shaped", {}, runner=SteeredLanes(own, settings_of(own)))
    with pytest.raises(UsageError, match="the policy learned on"):
        compare([tape], lambda: [under], effort=SMALL)


def test_a_beginning_before_the_windows_may_be_learned_on_and_is_told(tape, other):
    rows = len(tape) // 4
    early = learned_on(other, part(tape, 0, rows), part(tape, 0, rows // 2))
    assert learned_until(early, tape) == int(tape.data.ts[rows - 1])
    told = unseen(early, [tape], [tape.start_ns + HOUR])
    assert "learned on 3 tapes; as far as market, time and SHA-256 tell, on none of the windows" in told
    assert "before the windows" in told


def test_the_hours_that_were_learned_on_are_known_again_in_other_rows(tape):
    """Further on in a tape, reduced, or recorded by somebody else: the message names both spans."""
    later = part(tape, len(tape) // 2, len(tape))
    with pytest.raises(
        UsageError, match=r"learned on synthetic: seed 11, .*Z to .*Z, and .* is judged from .*Z to .*Z"
    ):
        unseen(learned_on(later, recorded=True), [tape], [tape.start_ns])
    plain = {"source": "recorded", "detail": "L2+trades", "notes": {}}
    real, cut = (with_meta(one, **plain) for one in (tape, part(tape, 1, len(tape))))
    with pytest.raises(UsageError, match=r"learned on BTCUSDT at binance, .*the same market at the same time"):
        unseen(learned_on(cut, recorded=True), [real], [real.start_ns + HOUR])
    elsewhere = Tape(real.path, replace(real.instrument, venue="elsewhere"), real.meta, real.data)
    assert "on none of the windows" in unseen(learned_on(cut, recorded=True), [elsewhere], [real.start_ns])
    early = learned_on(part(real, 5, len(real) // 4), recorded=True)
    assert "on none of the windows" in unseen(early, [real], [real.start_ns + HOUR])


def test_a_synthetic_market_is_known_by_its_seed_and_settings_also_in_older_files(tape, other):
    longer = synthesize(None, hours=3.0, seed=11)
    with pytest.raises(UsageError, match="the same market at the same time"):
        unseen(learned_on(longer, source=longer.meta["source"]), [tape], [tape.start_ns + HOUR])
    told = unseen(learned_on(longer, source=longer.meta["source"]), [other], [other.start_ns])
    assert "on none of the windows judged here." in told
    short = learned_on(other, source="synthetic: seed 11, 0.5 h, 2.5 packets/s")
    assert "on none of the windows" in unseen(short, [tape], [tape.start_ns + HOUR])


def test_of_an_unknown_market_only_the_hash_is_judged(tape):
    """A paper session's tape is whatever its exchange replayed."""
    later = part(tape, len(tape) // 2, len(tape))
    assert "of 1 only the SHA-256 is known" in unseen(learned_on(later), [tape], [tape.start_ns])
    paper = with_meta(later, source="paper session x", detail="L2+trades", notes={})
    assert "of 1 only the SHA-256 is known" in unseen(learned_on(paper, recorded=True), [tape], [tape.start_ns])


def test_what_the_file_does_not_say_is_not_claimed(tape):
    assert "may have seen the windows" in unseen(learned_on(), [tape], [tape.start_ns])
    child = learned_on(part(tape, 0, 10), parent="ab")
    assert "learned on 1 tape, its parent's included" in unseen(child, [tape], [tape.end_ns])


def test_a_tape_of_the_examination_is_named(tape, other):
    on = [{"rows": len(tape), "sha256": tape_hash(tape), "source": "x"}]
    report = Report(fingerprint(SHIPPED), on, (0.0,), 240, False, ())
    policy = learned_on(other, **{HEADER: added(report)})
    assert f"It was examined on {tape.path}" in unseen(policy, [tape], [tape.start_ns])
    assert "examined" not in unseen(policy, [other], [other.end_ns])


def test_the_result_says_what_is_known_and_that_a_given_policy_always_sits(tape, other):
    def two():
        return [one for one in usual(learned_on(other)) if one.name in ("traditional", "RL + optimizer")]

    found = compare([tape], two, fees_bp=(2.0,), window="35m", effort=SMALL)
    assert found.assumptions["policy"].startswith("The given policy learned on 1 tape; ")
    meaning = found.heats[0].rows[1].meaning
    assert meaning.startswith("the given policy, and its base rule re-tuned by the optimizer before every window")


def test_who_learns_here_was_given_nothing():
    assert [one.given for one in usual()] == [None] * 6
    assert [one.given is SHIPPED for one in usual(SHIPPED)] == [False] * 4 + [True] * 2
    assert School().policy is None
