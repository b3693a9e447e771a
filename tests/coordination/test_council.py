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


def insight(agent, sure, value=0.001, subject="return"):
    data = {"subject": subject, "value": value, "horizon_ns": 60, "confidence_score": sure}
    return message("insight", 0, agent, "executor", data)


def test_forecasts_become_one_probability_by_the_pattern_in_force():
    found = {}
    for pattern in PATTERNS:
        council = Council(MEMBERS, pattern)
        assert not council.hear(insight("a", 0.8, subject="volatility")), "not about the price"
        for agent, sure, value in (("a", 0.8, 0.001), ("b", 0.7, 0.002), ("c", 0.9, -0.001)):
            assert council.hear(insight(agent, sure, value))
        council.say(Opinion("executor"))
        outcome = council.decide({"levels": 3.0})
        found[pattern] = (outcome.belief, outcome.lean)
        assert council.decide({"levels": 3.0}).belief is None, "a forecast counts in its round"
    assert found["master_slave"] == (None, 0), "the master has not forecast"
    assert found["peer_to_peer"][0] == pytest.approx(0.5030, abs=1e-3)
    assert found["hierarchical"][0] == found["peer_to_peer"][0], "equal weights"
    assert found["democratic"] == (pytest.approx(0.7), 1), "three of four have spoken: the median"


def test_one_sure_liar_turns_no_belief_of_a_democracy():
    council = Council(MEMBERS, "democratic")
    for agent, sure in (("a", 0.7), ("b", 0.75)):
        council.hear(insight(agent, sure))
    council.hear(insight("c", 1.0, value=-1.0))
    council.say(Opinion("executor"))
    assert council.decide({}).belief == pytest.approx(0.7)


def test_a_neighbour_must_be_a_member():
    with pytest.raises(UsageError, match="x is no neighbour"):
        Council(MEMBERS, neighbours={"a": ["x"]})
