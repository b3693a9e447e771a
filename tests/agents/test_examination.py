"""What a policy is asked before it may trade, and that the questions can be failed."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.agents.test_learning_environment import SETTINGS, neutral_policy
from tests.engine.example import market
from tidewright.agents.executor import examination as e
from tidewright.agents.executor.environment_tape import Randomisation, starts
from tidewright.agents.executor.examination_leak import PLACE, Told, _Leaking
from tidewright.agents.executor.examination_page import page
from tidewright.agents.executor.examination_panel import (
    BASE,
    FORESIGHT,
    POLICY,
    Contender,
    ablations,
    contenders,
    moves_of,
    run_panel,
)
from tidewright.agents.executor.policy import Network, Policy, ensemble
from tidewright.agents.executor.policy_run import run_policy, settings_of, tape_hash
from tidewright.agents.executor.seating import EXAMINATIONS, FAILED, PASSED, UNDECIDED, may_be_seated, reports
from tidewright.cli.seat_option import shipped
from tidewright.market.errors import UsageError
from tidewright.market.fair_game import fair_game
from tidewright.market.tape import Tape
from tidewright.measure.blocks import mean_of
from tidewright.measure.mids import tape_mids

FREE = ("0", "0.001")


def moving_policy(scale=0.4, seed=0, **changes) -> Policy:
    """One that shifts its quotes with all it sees."""
    neutral = neutral_policy(**changes)
    (network,) = neutral.members
    weight = scale * np.random.default_rng(seed).standard_normal(network.weights[0].shape).astype(np.float32)
    return Policy(neutral.spaces, (Network((weight,), network.biases),), header=neutral.header)


# -- the panel ---------------------------------------------------------------------------------------------------------


def test_the_first_lane_of_a_panel_is_the_policy_as_it_backtests():
    policy = moving_policy()
    alone, steered = run_policy(market(), policy, fees=FREE)
    found = run_panel(market(), policy, contenders(policy), FREE)
    assert found.panel.sizes == steered.sizes
    for name in ("n_fills", "equity_end", "volume_quote"):
        assert found.result.statistics[name][0] == alone.statistics[name][0]
    assert [row[:1].tobytes() for row in found.panel.observations] == [row.tobytes() for row in steered.observations]


def test_contenders_differ_from_the_policy_in_what_their_names_say():
    policy = ensemble([moving_policy(seed=1), moving_policy(seed=2)], moving_policy().header)
    listed = contenders(policy)
    found = run_panel(market(), policy, listed, FREE).panel
    names = [one.name for one in listed]
    continuous = np.stack([action[0] for action in found.actions])
    discrete = np.stack([action[1] for action in found.actions])
    for part, column in (("spread", 0), ("skew", 1), ("spacing", 2)):
        lane = names.index(f"{part} off")
        assert np.all(continuous[:, lane, column] == 0.0)
        assert np.any(continuous[:, lane, (column + 1) % 3] != 0.0)
    assert np.all(discrete[:, names.index("stance off"), 1] == 2)
    assert np.all(discrete[:, names.index("levels fixed"), 0] == 3)
    assert not np.any(continuous[:, names.index(BASE)])
    late = names.index("20 decisions late")
    assert np.array_equal(continuous[20:, late], continuous[:-20, 0])
    first = np.stack([policy.members[0].outputs(row[names.index("member 0")][None], "relu")[0] for row in
                      found.observations])  # fmt: skip
    assert np.allclose(continuous[:, names.index("member 0")], np.clip(first[:, :3], -1, 1))
    hidden = names.index("order_imbalance hidden")
    seen = np.stack(found.observations)[:, hidden].copy()
    seen[:, 4] = 0.0
    assert np.allclose(continuous[:, hidden], policy.act(seen)[0], atol=1e-6)
    assert set(ablations(listed)) == {place for place, one in enumerate(listed) if one.member is None} - {
        0,
        names.index(FORESIGHT),
    }


def test_moves_are_those_to_the_next_decision():
    assert moves_of([0.0, 10.0, 12.0, 11.0]).tolist() == [0.0, 2.0, -1.0, 0.0]
    assert moves_of([]).tolist() == []


def test_who_knows_the_next_move_earns_and_who_knows_a_wrong_one_loses():
    policy, listed = neutral_policy(), [Contender(POLICY), Contender(FORESIGHT, foresight=True)]
    blind = run_panel(market(), policy, listed, FREE)
    assert blind.result.statistics["n_fills"][1] == 0
    future = moves_of(blind.panel.mids)
    right, wrong = (run_panel(market(), policy, listed, FREE, sign * future).changes[:, 1].sum() for sign in (1, -1))
    assert right > 0.0 > wrong


# -- the questions -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def games():
    policy = neutral_policy()
    return e._fair_games([market()], policy, 1.0, lambda what: None)


def test_the_fair_games_are_failed_by_who_knows_the_future_and_passed_by_a_rule(games):
    assert e._fair(games, 1.0).verdict == PASSED
    cheat = {kind: game._replace(changes=game.changes[:, ::-1]) for kind, game in games.items()}
    assert e._fair(cheat, 1.0).verdict == FAILED


def test_a_tape_that_could_not_show_a_leak_fails_the_leak(games):
    listed = [Contender(POLICY), Contender(FORESIGHT, foresight=True)]
    random = np.random.default_rng(0)
    knowing = np.stack((random.standard_normal(500), 1.0 + random.standard_normal(500)), axis=1)
    assert e._leak(listed, knowing, games).verdict == PASSED
    assert e._leak(listed, knowing * 0.0, games).verdict == FAILED
    assert e._leak(listed, knowing[:5], games).verdict == UNDECIDED  # too little of it to call it great
    assert e._leak(listed, knowing[:, [1, 1]], games).verdict == FAILED  # the policy earns as much: it knows too
    assert e._leak(listed, knowing, games, trained=knowing).verdict == PASSED
    assert e._leak(listed, knowing, games, trained=knowing * 0.0).verdict == FAILED  # who learned finds no leak


def test_who_trades_no_more_earns_nothing_by_trades_whatever_happens_to_what_is_held():
    listed = [Contender(POLICY), Contender(FORESIGHT, foresight=True)]
    seen = run_panel(market(), neutral_policy(), listed, FREE, np.ones(60))  # it buys, then it knows nothing
    later = slice(60, -1)
    assert seen.result.statistics["n_fills"][1] > 0
    assert np.abs(seen.changes[later, 1]).max() > 1.0
    assert np.abs(seen.traded()[later, 1]).max() < 1e-3
    assert np.abs(seen.traded()[:60, 1]).max() > 0.1


def test_on_a_thin_market_with_a_coarse_tick_who_knows_the_next_move_is_told_from_chance():
    """Equity changes hide it there: they are mostly what an inventory happens to do."""
    policy, random = neutral_policy(), np.random.default_rng(3)
    tape = market()
    thin = Tape(tape.path, replace(tape.instrument, tick_size="60"), tape.meta, tape.data)
    steps = random.choice((-60.0, 0.0, 60.0), 20_000, p=(0.04, 0.92, 0.04))
    mids = 60_000.0 + np.cumsum(steps)
    listed = [Contender(POLICY), Contender(FORESIGHT, foresight=True)]
    game = fair_game(thin, mids, 4_000_000_000, "shuffled", seed=1)
    seen = run_panel(game, policy, listed, FREE, e._future(game, policy))
    plain, traded = mean_of(seen.changes[:, 1]), mean_of(seen.traded()[:, 1])
    assert plain.value < e.FAR * plain.deviation
    assert traded.value > e.FAR * traded.deviation


def test_who_is_told_sees_the_move_that_is_to_come_and_nothing_else_changes():
    policy = moving_policy()
    told, state = Told(policy, scale=0.5), np.linspace(-0.5, 0.5, 8, dtype=np.float32)
    for move, shown in ((0.25, 0.5), (-7.0, -1.0)):
        seen = state.copy()
        seen[2] = shown
        for mine, wanted in zip(told.act(state, move), policy.act(seen[None]), strict=True):
            assert mine.tobytes() == wanted.tobytes()


def test_a_leaking_lane_is_shown_what_the_mid_does_next():
    tape, settings = market(), settings_of(neutral_policy())
    seen = []

    class Watching(_Leaking):
        def _look(self, begin=0):
            super()._look(begin)
            seen.append((self.replay.decision_ns, float(self.observation[0, 0, PLACE])))

    mids = tape_mids(tape.data, float(tape.instrument.tick))
    cohort = Watching(mids, 1e6, starts(tape, settings), 2, settings, np.random.default_rng(0))
    cohort.begin()
    neutral = np.zeros((2, 3), np.float32), np.full((2, 2), 2)
    while not cohort.step(*neutral):
        pass
    times = np.array([when for when, _ in seen])
    moves = np.diff(mids.at(np.append(times, times[-1] + settings.cycle_ns)))
    assert [value for _, value in seen] == pytest.approx((moves / 1e6).tolist(), rel=1e-6)
    assert np.abs(moves).max() > 0.0


@pytest.mark.slow
def test_a_policy_that_learns_with_the_next_move_in_its_state_profits_greatly():
    """On the half it did not learn on; the rule that knows the move makes 1.7 basis points a cycle there."""
    policy = Policy.load(shipped())
    changes = e._trained(market(8.0, 3), policy, 0.0, lambda what: None)
    knowing, over = mean_of(changes[:, 1]), mean_of(changes[:, 1] - changes[:, 0])
    assert knowing.value > e.FAR * knowing.deviation
    assert over.value > e.FAR * over.deviation


def seeds_of(gains, noise=0.1):
    policy = neutral_policy()
    listed = [Contender(POLICY), Contender(BASE), *(Contender(f"member {k}", member=k) for k in range(len(gains)))]
    seen = run_panel(market(), policy, listed[:2], FREE)
    random = np.random.default_rng(0)
    changes = noise * random.standard_normal((2000, len(listed))) + np.array([0.0, 0.0, *gains])
    return e._seeds(listed, [e.Seen(1.0, changes, 1.0, seen.result, seen.panel)], 1.0)


def test_seeds_are_judged_by_the_middle_of_them_and_only_from_five_on():
    assert seeds_of([0.1] * 5).verdict == PASSED
    assert seeds_of([-0.1] * 5).verdict == FAILED
    assert seeds_of([0.1] * 4).verdict == UNDECIDED
    lucky = seeds_of([5.0, -0.02, 0.02, -0.03, 0.01])
    assert lucky.verdict == UNDECIDED
    assert lucky.figures["members"]["member 0"] > 100


def mean(value, count=400):
    noise = np.random.default_rng(1).standard_normal(count)
    return e.mean_of(value + noise - noise.mean())


def test_fees_it_learned_with_decide_and_others_are_shown():
    earns, loses, nothing = mean(0.5), mean(-0.5), mean(0.0)
    assert e._fees({0.0: earns, 8.0: loses}, [0.0]).verdict == PASSED
    assert e._fees({0.0: earns, 8.0: loses}, [0.0, 8.0]).verdict == FAILED
    assert e._fees({0.0: nothing, 8.0: loses}, [0.0]).verdict == UNDECIDED


def test_a_part_that_costs_money_fails_the_ablations():
    listed = contenders(neutral_policy())
    names = [one.name for one in listed]
    changes = 0.1 * np.random.default_rng(2).standard_normal((500, len(listed)))
    assert e._ablations(listed, changes, [0.0]).verdict == UNDECIDED
    better = changes.copy()
    better[:, 0] += 0.1
    assert e._ablations(listed, better, [0.0]).verdict == PASSED
    better[:, names.index("skew off")] += 0.2
    found = e._ablations(listed, better, [0.0])
    assert (found.verdict, found.figures["worse_than"]) == (FAILED, ["skew off"])


# -- as a whole --------------------------------------------------------------------------------------------------------

TEN = replace(SETTINGS, random=Randomisation((100_000,)))


def learned_at_ten(policy: Policy) -> Policy:
    """The policy as one that learned at a maker fee of 10 basis points."""
    return replace(policy, header={**policy.header, "environment": TEN.to_json()})


def test_an_examined_policy_carries_its_results_and_the_page_shows_them(tmp_path):
    members = [moving_policy(0.2, seed) for seed in range(2)]
    policy = learned_at_ten(ensemble(members, members[0].header))
    told = []
    found = e.examine([market()], policy, (2.0,), date="2026-01-02", command="a command", version="1",
                      tell=lambda share, what: told.append(share))  # fmt: skip
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert [one.name for one in found.examinations] == list(EXAMINATIONS)
    verdicts = {one.name: one.verdict for one in found.examinations}
    assert verdicts["leak"] != FAILED
    assert verdicts["seeds"] == UNDECIDED
    assert verdicts["behaviour"] == PASSED
    standing = {(one.who, one.fee_bp): one for one in found.standings}
    assert standing[POLICY, 0.0].quote > standing[POLICY, 2.0].quote
    assert standing[FORESIGHT, 0.0].profit.value > 0.0
    found.written(policy).save(tmp_path / "p.tw")
    kept = Policy.load(tmp_path / "p.tw")
    (report,) = reports(kept)
    assert report.tapes[0]["sha256"] == tape_hash(market())
    assert (report.date, report.command, report.version) == ("2026-01-02", "a command", "1")
    assert (report.fees_bp, report.cycles, report.train_leak) == ([0.0, 2.0, 10.0], 176, False)
    assert json.loads(json.dumps(kept.header["examinations"], allow_nan=False))[0]["results"][0]["name"] == "leak"
    assert any("examined on 176 cycles" in reason for reason in may_be_seated(kept))
    text = page(found, "p.tw", "it may not be seated: it failed")
    assert "It may not be seated: it failed." in text
    assert "20 decisions late" in text
    assert "member 1" in text


def test_verdicts_do_not_depend_on_the_fees_that_are_asked_for_or_on_any_order():
    """It is judged at the fee it learned with, and a leak is looked for without one."""
    policy = learned_at_ten(moving_policy())
    tapes = [market(), market(0.6, 8)]
    found = [
        e.examine(order, policy, fees).report
        for order, fees in ((tapes, (0.0,)), (tapes[::-1], (10.0,)), (tapes, (10.0, 3.0, 0.0)))
    ]
    for other in found[1:]:
        assert other.tapes == found[0].tapes
        assert [(one.name, one.verdict, one.rule) for one in other.results] == [
            (one.name, one.verdict, one.rule) for one in found[0].results
        ]
    assert [one.fees_bp for one in found] == [[0.0, 10.0], [0.0, 10.0], [0.0, 3.0, 10.0]]
    results = {one.name: one for one in found[0].results}
    assert "at the fees it learned with (10 bp)" in results["fees"].rule
    assert (results["leak"].figures["fee_bp"], results["fair_game"].figures["fee_bp"]) == (0.0, 10.0)
    assert results["leak"].verdict == PASSED


def test_tapes_it_learned_on_that_come_twice_or_that_are_too_short_are_refused():
    policy = moving_policy()
    known = Policy(policy.spaces, policy.members, header={**policy.header, "data": [{"sha256": tape_hash(market())}]})
    with pytest.raises(UsageError, match="the policy learned on"):
        e.examine([market()], known)
    with pytest.raises(UsageError, match="a tape counts once"):
        e.examine([market(), market(0.5, 8), market()], policy)
    with pytest.raises(UsageError, match="an examination needs"):
        e.examine([market()], moving_policy(cycle_ns=60 * 10**9))
