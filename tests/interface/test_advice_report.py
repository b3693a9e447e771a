"""Stages and regret as a session's messages tell them."""

import orjson

from tidewright.coordination.messages import encode, message
from tidewright.interface.advice_report import regret, regrets, stages
from tidewright.market.clock import MINUTE, iso

START = 1_767_225_600 * 10**9


def answer(number: int, ours: float, agent: str = "executor", **more: object) -> dict:
    until = START + number * 30 * MINUTE
    epoch = {"until": iso(until), "ours": ours, "incumbent": 1.0, "best": 9.0, "best_fixed": 5.0}
    told = {"epoch": epoch, "fixed_by_epoch": [5.0] * number, "best_fixed": {"params": {"levels": 2}, "earned": 5.0}}
    told |= more
    item = message("status", until, "optimizer", agent, {"state": "no_proposal", "regret": told})
    return {"direction": "in", "message_type": "status", "body": encode(item).decode(), "ts": until, "why": ""}


def test_regret_is_put_together_from_the_messages_epoch_by_epoch() -> None:
    found = regret([answer(1, 2.0), answer(2, 3.0), answer(2, 3.0), answer(3, 4.0)])
    assert found is not None
    assert found.ts.tolist() == [START + k * 30 * MINUTE for k in (1, 2, 3)]
    assert (found.account.ours, found.account.incumbent, found.account.gain.total) == (9.0, 3.0, 6.0)
    assert (found.account.static.total, found.account.dynamic.total) == (6.0, 18.0)
    assert found.best_fixed == "levels 2"
    assert (found.compared, found.waiting) == (0, 0)  # messages of earlier versions do not say


def test_how_many_were_compared_and_what_was_better_in_hindsight_comes_from_the_newest_message() -> None:
    rows = [answer(1, 2.0), answer(2, 3.0, compared=260, waiting=1, best_by_epoch=[11.0, 9.0])]
    found = regret(rows)
    assert found is not None and (found.compared, found.waiting) == (260, 1)
    assert found.account.dynamic.total == 15.0


def test_of_several_agents_each_has_an_account_of_its_own() -> None:
    rows = [answer(1, 2.0, "grid"), answer(1, 7.0, "glft"), answer(2, 3.0, "grid", obstacle="gone", waiting=1)]
    found = regrets(rows)
    assert {name: one.account.ours for name, one in found.items()} == {"glft": 7.0, "grid": 5.0}
    assert (found["grid"].obstacle, found["glft"].obstacle) == ("gone", "")
    assert regrets([]) == {}


def test_a_lost_answer_or_none_at_all_is_survived() -> None:
    found = regret([answer(2, 3.0), answer(3, 4.0)])
    assert found is not None
    assert found.account.epochs == 2
    assert regret([]) is None
    assert regret([{"direction": "in", "message_type": "", "body": "not json", "ts": 1, "why": ""}]) is None


def test_stages_are_the_decisions_that_went_out() -> None:
    data = {"in_reply_to": "p-1", "accepted": True, "stage": "canary", "reasons": ["because"]}
    body = encode(message("decision", START, "executor", "optimizer", data)).decode()
    row = {"direction": "out", "message_type": "decision", "body": body, "ts": START, "why": "because"}
    old = {**row, "body": orjson.dumps({"data": {"in_reply_to": "p-0", "accepted": False}}).decode()}
    assert [(item.proposal_id, item.stage, item.cause) for item in stages([old, row])] == [("p-1", "canary", "because")]
