import pytest

from tidewright.coordination.agent_payloads import PATTERNS
from tidewright.coordination.council import Council
from tidewright.coordination.messages import message
from tidewright.coordination.patterns.opinion import Opinion, Result
from tidewright.market.errors import UsageError

MEMBERS = ("executor", "a", "b", "c")


def vote(agent, round_=0, **changes):
    data = {"question": "q", "round": round_, "params": {"levels": 5.0}, "confidence_score": 0.9, **changes}
    return message("vote", 0, agent, "executor", data)


def test_a_council_can_be_switched_while_it_runs_and_every_pattern_has_learned():
    council = Council(MEMBERS)
    for _ in range(60):
        council.decide({"levels": 3.0}, {name: Result(0.1 if name == "b" else 0.9) for name in MEMBERS})
    found = {}
    for pattern in PATTERNS:
        council.switch(pattern)
        for name, levels in zip(MEMBERS, (3.0, 4.0, 5.0, 6.0), strict=True):
            council.say(Opinion(name, {"levels": levels}, 0, levels / 10))
        found[pattern] = council.decide({"levels": 3.0})
    assert found["master_slave"].params == {"levels": 6.0}  # the most confident
    assert found["peer_to_peer"].params == {"levels": 4.5}
    assert found["hierarchical"].params == {"levels": 5.0}  # b has done best
    assert found["democratic"].params == {"levels": 4.5}
    assert found["master_slave"].shares == {"executor": 1.0}
    assert max(found["peer_to_peer"].shares, key=found["peer_to_peer"].shares.get) == "b"
    with pytest.raises(UsageError, match="must be one of"):
        council.switch("anarchic")


def test_strangers_and_votes_of_another_round_are_not_heard():
    council = Council(MEMBERS)
    assert not council.hear(vote("stranger"))
    assert not council.hear(vote("a", 3))
    assert council.hear(vote("a"))
    council.decide({})
    assert not council.hear(vote("a", 0))


def test_one_voter_alone_moves_nothing_in_a_democracy_but_a_confident_one_does_under_a_master():
    for pattern, levels in (("democratic", 3.0), ("master_slave", 5.0)):
        council = Council(MEMBERS, pattern)
        council.hear(vote("a"))
        council.say(Opinion("executor"))
        assert council.decide({"levels": 3.0}).params == {"levels": levels}
