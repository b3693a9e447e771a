"""A policy seated in a session: journalled, kept over a restart, challenged, refused where it does not belong."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.agents.test_executor_seat import policy
from tests.agents.test_executor_seating import examined
from tests.agents.test_learning_environment import SETTINGS as LEARNED
from tests.trading.fake_session import CYCLE, START, Stage
from tests.trading.test_advice import FakeLine
from tidewright.agents.executor.canary import CanaryRules
from tidewright.agents.executor.challenge import ChallengeRules
from tidewright.agents.executor.environment_tape import Randomisation
from tidewright.agents.executor.policy import Policy
from tidewright.agents.executor.seat import Sitter
from tidewright.agents.executor.seating import FAILED, UNDECIDED
from tidewright.agents.executor.sizing import SizingRules
from tidewright.coordination.messages import message
from tidewright.coordination.process import Delivery
from tidewright.interface import seat_report, seat_view
from tidewright.market.codes import ASK, BID, PACKET_END
from tidewright.market.errors import UsageError
from tidewright.market.tape import columns
from tidewright.measure.seat_section import seat_html
from tidewright.risk.limits import OFF, Limits
from tidewright.store import schema
from tidewright.trading.advice import EXECUTOR, OPTIMIZER, Advice
from tidewright.trading.seat_settings import SeatSettings
from tidewright.trading.settings import AdviceSettings

TRADING = replace(LEARNED, cycle_ns=CYCLE, random=Randomisation((100_000,)))
LIMITS = Limits(max_position_share=0.05, daily_loss=None, stop_loss=None, volatility_cutoff=None)
ADVICE = AdviceSettings(epoch_ns=10 * CYCLE, answer_cycles=2, timeout_s=5.0)
TRIAL = ChallengeRules(CanaryRules(cycles=40, blind_cycles=200))


def made(tmp_path: Path, name: str = "mine", settings=TRADING, **options) -> str:
    path = tmp_path / f"{name}.tw"
    policy(settings, **options).save(path)
    return str(path)


def passed(tmp_path: Path, name: str = "mine", **verdicts) -> str:
    """One that passed its examinations but those given."""
    path = Path(made(tmp_path, name))
    examined(Policy.load(path), **verdicts).save(path)
    return str(path)


def prices(number: int) -> tuple[int, int]:
    step = 300 * (number % 7)
    return 5_999_000 + step, 6_001_000 + step


def moving(stage: Stage, number: int) -> None:
    ts, before = stage.at(number) - 1, prices(number - 1)
    gone = [(ts, ts, side, 0, price, 0) for side, price in zip((BID, ASK), before, strict=True)]
    bid, ask = prices(number)
    new = [(ts, ts, BID, 0, bid, 1000), (ts, ts, ASK, PACKET_END, ask, 1000)]
    stage.feed.coming.append(columns([*gone, *new]))
    live = [order for order in stage.venue.book.values() if order.status.live]
    if number % 4 == 0 and live:
        stage.venue.fill(live[number % len(live)].client_order_id, 1)


def staged(folder: Path, seat: SeatSettings, cycles: int = 12, on_release=moving, **more) -> Stage:
    folder.mkdir(exist_ok=True)
    options = {"strategy": "shaped", "params": {"kappa": 1.0}, "limits": LIMITS, "seat": seat}
    return Stage(folder, cycles, on_release, **{**options, **more})


def seated(tmp_path: Path, **more) -> SeatSettings:
    return SeatSettings(policy=made(tmp_path), override_examination=True, **more)


def states(stage: Stage) -> list[str]:
    rows = stage.database.rows(schema.messages, "s")
    told = [json.loads(row["body"])["data"]["state"] for row in rows if row["message_type"] == "status"]
    return [state for state in told if state.startswith("seat_")]


def test_every_decision_says_what_the_policy_saw_and_did_and_it_does_it_again(tmp_path):
    stage = staged(tmp_path, seated(tmp_path))
    session = stage.run()
    decisions = stage.database.rows(schema.decisions, "s")
    told = [(row, json.loads(row["quotes"])) for row in decisions]
    assert len(told) == 11
    assert all(quotes["action"] for _, quotes in told)
    assert seat_report.repeated(tmp_path, told) == 11
    account = seat_report.account(tmp_path, decisions, stage.database.rows(schema.messages, "s"))
    assert account is not None
    assert account.repeated == len(account.actions) == 11
    assert account.overridden[0].startswith("mine: it was never examined")
    assert session.now.seat["name"] == "mine"
    assert session.now.seat["action"]["words"]
    assert states(stage) == ["seat_opened"]


def test_what_came_to_no_result_is_told_beside_the_policy_that_sits(tmp_path):
    stage = staged(tmp_path, SeatSettings(policy=passed(tmp_path, fees=UNDECIDED)))
    session = stage.run()
    doubt = "the examination 'fees' came to no result"
    assert (session.now.seat["overridden"], session.now.seat["doubts"]) == ([], [doubt])
    assert ("doubts", doubt) in seat_view.lines(session.now.seat)
    account = seat_report.account(tmp_path, [], stage.database.rows(schema.messages, "s"))
    assert account is not None
    assert (account.overridden, account.doubts) == ((), (f"mine: {doubt}",))
    assert "Not decided: mine: the examination" in seat_html(account)
    assert doubt in account.steps[0].cause


def test_sizes_come_in_the_proportions_that_were_learned(tmp_path):
    session = staged(tmp_path, seated(tmp_path)).run()
    params = session.now.params
    equity = session.now.start_equity_units / 1e8
    assert params["max_position"] * 60_000 == pytest.approx(0.5 * 0.05 * equity, rel=0.01)
    assert params["base_quantity"] == pytest.approx(params["max_position"] / 3, rel=0.01)


class Killed(BaseException):
    pass


def killed(tmp_path: Path) -> Stage:
    def dies(stage, number):
        moving(stage, number)
        if number == 11:
            raise Killed

    first = staged(tmp_path / "cut", seated(tmp_path), cycles=20, on_release=dies)
    with pytest.raises(Killed):
        first.run()
    first.database.close()
    return first


def resume(again: Stage, first: Stage) -> None:
    """Where the first one stopped: the same venue, the time and the book of then."""
    number = first.cycles._at
    again.venue, again.session._parts.venue = first.venue, first.venue
    again.cycles._at = number

    async def start(instrument):
        again.feed.quote(again.at(number) - 1, *prices(number), snapshot=True)

    again.feed.start = start


def test_another_policy_under_the_same_name_does_not_go_on_with_a_session(tmp_path):
    first = killed(tmp_path)
    seat = SeatSettings(policy=made(tmp_path, seed=9), override_examination=True)
    again = staged(tmp_path / "cut", seat, cycles=20)
    resume(again, first)
    with pytest.raises(UsageError, match="was begun with"):
        again.run()


def test_a_restart_goes_on_as_if_nothing_had_happened(tmp_path):
    whole = staged(tmp_path / "whole", seated(tmp_path), cycles=20)
    whole.run()
    first = killed(tmp_path)
    again = staged(tmp_path / "cut", seated(tmp_path), cycles=20)
    resume(again, first)
    again.run()
    assert states(again) == ["seat_opened", "seat_resumed"]
    kept = [stage.database.rows(schema.decisions, "s") for stage in (whole, again)]
    for row, other in zip(*kept, strict=False):
        assert (row["ts"], json.loads(row["state"])) == (other["ts"], json.loads(other["state"]))
    both = [[json.loads(row["quotes"])["action"] for row in rows] for rows in kept]
    assert both[0] == both[1]
    assert [row["state"] for row in kept[0]] == [row["state"] for row in kept[1]]


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_a_policy_of_another_cycle_is_refused_before_anything_is_written(tmp_path):
    path = made(tmp_path, settings=replace(TRADING, cycle_ns=2 * CYCLE))
    stage = staged(tmp_path, SeatSettings(policy=path, override_examination=True))
    with pytest.raises(UsageError, match='set cycle = "60s"'):
        stage.run()
    assert stage.database.sessions() == []


def test_one_that_was_never_examined_is_refused_unless_somebody_overrides_it(tmp_path):
    stage = staged(tmp_path, SeatSettings(policy=made(tmp_path)))
    with pytest.raises(UsageError, match=r"never examined.*--override-examination"):
        stage.run()
    assert stage.database.sessions() == []


def test_a_challenger_that_failed_is_refused_before_anything_is_written(tmp_path):
    told = {"policy": passed(tmp_path), "challenger": passed(tmp_path, "other", fees=FAILED)}
    stage = staged(tmp_path, SeatSettings(**told), advice=ADVICE)
    with pytest.raises(UsageError, match=r"policy other may not sit: it failed 'fees' in report 1 of 1"):
        stage.run()
    assert stage.database.sessions() == []


def test_sizes_of_another_scale_are_refused(tmp_path):
    params = {"kappa": 1.0, "base_quantity": 0.0001, "max_position": 0.0002}
    with pytest.raises(UsageError, match="set max_position to about"):
        staged(tmp_path, seated(tmp_path), params=params).run()


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"sizing": "all"}, "sizing must be"),
        ({"challenger": "base"}, "somebody to challenge"),
        ({"policy": "base", "challenger": "base"}, "cannot challenge itself"),
        ({"policy": "base", "fine_tune": True}, "only a learned policy"),
    ],
)
def test_settings_that_cannot_work_are_refused(told, says):
    with pytest.raises(UsageError, match=says):
        SeatSettings(**told)


# -- challengers -------------------------------------------------------------------------------------------------------


class Shadows(FakeLine):
    """An optimizer that proposes nothing and tells of a challenge what the test says."""

    def __init__(self, difference: float, proposes: str = "") -> None:
        super().__init__()
        self.difference, self.proposes, self.asked = difference, proposes, []

    async def send(self, item) -> None:
        await super().send(item)
        if item.message_type != "optimize_request":
            return
        at, data = item.timestamp_ns, item.data
        self.asked.append(data)
        reply = {"in_reply_to": data.request_id}
        if self.proposes:
            told = Sitter.load(Path(self.proposes)).reference()
            stretch = {"trained": [START, at - CYCLE], "held_out": [at - CYCLE, at]}
            reply["policy_proposal"] = {
                "policy": told, "parent": data.policy.sha256, "proposal_id": "tuned", **stretch, "figures": {}
            }  # fmt: skip
            self.proposes = ""
        if data.challenge is not None:
            asked = data.challenge
            cycles = (at - asked.seen_ns) // CYCLE
            reply["challenge"] = {
                "challenge_id": asked.challenge_id,
                "from_ns": asked.seen_ns,
                "until_ns": at,
                "cycles": cycles,
                "block": asked.block,
                "differences": [self.difference * (1.0 + 0.01 * k) for k in range(cycles // asked.block)],
            }
        content = {"state": "no_proposal", "reason": "no", **reply}
        self.answers.put_nowait(Delivery(message("status", at, OPTIMIZER, EXECUTOR, content)))


def challenged(tmp_path: Path, line: Shadows, cycles: int, seat: SeatSettings, on_release=moving) -> Stage:
    stage = staged(tmp_path, seat, cycles, on_release, advice=ADVICE)

    async def connect(instrument, registration, note, clock):
        return Advice(line, stage.session._settings, instrument, registration, "/tape", note)

    stage.session._parts.advice = connect
    return stage


def test_a_better_challenger_takes_the_seat_by_the_same_stages_as_parameters(tmp_path):
    seat = seated(tmp_path, challenger=made(tmp_path, "other", seed=5), challenge=TRIAL)
    line = Shadows(1.0)
    stage = challenged(tmp_path, line, 200, seat)
    session = stage.run()
    assert states(stage)[:4] == ["seat_opened", "seat_shadow", "seat_canary", "seat_full"]
    assert session.now.seat["name"] == "other"
    rows = stage.database.rows(schema.decisions, "s")
    told = [(row, json.loads(row["quotes"])) for row in rows]
    assert len({quotes["seat"] for _, quotes in told}) == 2
    assert min(quotes.get("scale", 1.0) for _, quotes in told) == pytest.approx(0.25, abs=0.01)
    assert "scale" not in told[-1][1]
    assert seat_report.repeated(tmp_path, told) == len(told)
    assert line.asked[0].policy.name == "mine"
    assert line.asked[-1].policy.name == "other"
    assert set(line.asked[0].space) == {"gamma", "kappa"}


def test_a_worse_one_does_not_and_is_not_asked_about_any_more(tmp_path):
    seat = seated(tmp_path, challenger="base", challenge=TRIAL)
    line = Shadows(-1.0)
    stage = challenged(tmp_path, line, 200, seat)
    session = stage.run()
    assert states(stage) == ["seat_opened", "seat_shadow", "seat_refused"]
    assert session.now.seat["name"] == "mine"
    assert line.asked[-1].challenge is None


def test_a_session_killed_with_a_challenger_in_its_seat_goes_on_with_it(tmp_path):
    def dies(stage, number):
        moving(stage, number)
        if stage.session.now.seat.get("challenge", {}).get("stage") == "canary":
            raise Killed

    seat = seated(tmp_path, challenger=made(tmp_path, "other", seed=5), challenge=TRIAL)
    first = challenged(tmp_path, Shadows(1.0), 200, seat, dies)
    with pytest.raises(Killed):
        first.run()
    before = first.session.now.seat["challenge"]
    first.database.close()
    again = challenged(tmp_path, Shadows(1.0), first.cycles._at + 3, seat)
    resume(again, first)
    session = again.run()
    assert session.now.seat["name"] == "other"
    assert {**session.now.seat["challenge"]} == before


NEVER = "it was never examined"


def steps_of(stage: Stage) -> dict[str, dict]:
    """What the newest message of each state says."""
    rows = stage.database.rows(schema.messages, "s")
    told = [json.loads(row["body"])["data"] for row in rows if row["message_type"] == "status"]
    return {data["state"]: data for data in told if data["state"].startswith("seat_")}


def test_a_challengers_override_is_told_in_the_journal_the_report_and_the_status_until_it_sits(tmp_path):
    seat = SeatSettings(passed(tmp_path), True, made(tmp_path, "other", seed=5), TRIAL)
    stage = challenged(tmp_path, Shadows(1.0), 200, seat)
    session = stage.run()
    told = steps_of(stage)
    assert told["seat_opened"]["overridden"] == []
    for state in ("seat_shadow", "seat_canary", "seat_full"):
        assert told[state]["overridden"][0].startswith(NEVER)
        assert f"by an operator's override although {NEVER}" in told[state]["reason"]
    assert session.now.seat["name"] == "other"
    assert session.now.seat["overridden"][0].startswith(NEVER)
    account = seat_report.account(tmp_path, [], stage.database.rows(schema.messages, "s"))
    assert account is not None
    assert [line.partition(":")[0] for line in account.overridden] == ["other"]
    assert "Let in by an operator's override although: other: it was never examined" in seat_html(account)


@pytest.mark.parametrize("proposed", [False, True])
def test_one_in_the_shadow_is_told_beside_who_sits_also_when_the_optimizer_proposed_it(tmp_path, proposed):
    other = made(tmp_path, "other", seed=5)
    seat = SeatSettings(passed(tmp_path), True, "" if proposed else other, TRIAL)
    stage = challenged(tmp_path, Shadows(0.0, other if proposed else ""), 30, seat)
    session = stage.run()
    assert states(stage) == ["seat_opened", "seat_shadow"]
    assert steps_of(stage)["seat_shadow"]["overridden"][0].startswith(NEVER)
    told = session.now.seat
    assert (told["name"], told["overridden"]) == ("mine", [])
    assert told["challenge"]["overridden"][0].startswith(NEVER)
    names = [name for name, _ in seat_view.lines(told)]
    assert names.index("overridden") == names.index("challenger") + 1


def test_an_override_of_a_challenger_ends_with_the_session_it_was_given_to(tmp_path):
    def dies(stage, number):
        moving(stage, number)
        if stage.session.now.seat.get("challenge", {}).get("stage") == "canary":
            raise Killed

    told = passed(tmp_path), made(tmp_path, "other", seed=5)
    first = challenged(tmp_path, Shadows(1.0), 200, SeatSettings(told[0], True, told[1], TRIAL), dies)
    with pytest.raises(Killed):
        first.run()
    first.database.close()
    again = challenged(tmp_path, Shadows(1.0), first.cycles._at + 3, SeatSettings(told[0], False, "", TRIAL))
    resume(again, first)
    with pytest.raises(UsageError, match=f"policy other may not sit: {NEVER}"):
        again.run()


# -- sizes -------------------------------------------------------------------------------------------------------------


def test_sizes_follow_the_edge_and_are_journalled(tmp_path):
    seat = SeatSettings(sizing="kelly", kelly=SizingRules(least=0.5, block=2))
    params = {"spread_percentage": 0.2, "levels": 1, "base_quantity": 0.01, "max_position": 0.1}
    stage = staged(tmp_path, seat, strategy="grid", params=params, limits=OFF, cycles=8)
    session = stage.run()
    rows = [json.loads(row["quotes"]) for row in stage.database.rows(schema.decisions, "s")]
    assert rows[0]["scale"] == pytest.approx(0.5)
    assert rows[0]["bids"][0][1] == round(0.005 / float(stage.venue.instrument.lot))
    assert session.now.seat["sizing"]["words"].startswith("Kelly")
    assert "action" not in rows[0]
    assert rows[0]["bids"][0][0] > 0
    assert stage.at(0) == START
