from hypothesis import given
from hypothesis import strategies as st

from tidewright.coordination.admission import RefusedError
from tidewright.coordination.patterns.master_slave import TAKEOVER_CYCLES, Candidate, MasterSlave
from tidewright.coordination.patterns.opinion import Opinion

NAMES = ("a", "b", "c")


class Fence:
    """What stands in front of a venue: the greatest token counts (a session's is its lease, tests/trading)."""

    def __init__(self):
        self.token, self.holder = 0, ""

    def admit(self, agent, token):
        if token < self.token or (token == self.token and self.holder not in ("", agent)):
            raise RefusedError(f"{agent} acts with token {token}, {self.holder} has {self.token}")
        self.token, self.holder = token, agent


class World:
    """Candidates that beat to each other over links that may be cut, in front of one fence."""

    def __init__(self):
        self.nodes = {name: Candidate(name, NAMES) for name in NAMES}
        self.fence = Fence()
        self.acted: list[tuple[int, str, int]] = []
        self.number = 0

    def cycle(self, dead=frozenset(), cut=frozenset()):
        """One cycle: the living beat, then act; a beat does not pass a cut link."""
        self.number += 1
        beats = []
        for name in NAMES:
            if name not in dead and self.nodes[name].cycle():
                beats.append((name, self.nodes[name].token))
        for name, token in beats:
            for other in NAMES:
                if other not in dead and (name, other) not in cut:
                    self.nodes[other].hear(name, token)
        for name, token in beats:
            try:
                self.fence.admit(name, token)
                self.acted.append((self.number, name, token))
            except RefusedError:
                self.nodes[name].refused(self.fence.token)


def test_a_standby_takes_over_within_the_stated_cycles_and_the_old_master_comes_back_as_standby():
    world = World()
    for _ in range(5):
        world.cycle()
    for _ in range(TAKEOVER_CYCLES + 1):
        world.cycle(dead={"a"})
    assert [name for _, name, _ in world.acted] == ["a"] * 5 + ["b"]
    for _ in range(TAKEOVER_CYCLES + 1):
        world.cycle(dead={"a", "b"})
    assert world.acted[-1][1] == "c"
    for _ in range(4):
        world.cycle()
    assert {name for number, name, _ in world.acted if number > world.number - 3} == {"c"}
    assert [world.nodes[name].is_master for name in NAMES] == [False, False, True]


links = st.sets(st.sampled_from([(a, b) for a in NAMES for b in NAMES if a != b]))
weather = st.lists(st.tuples(st.sets(st.sampled_from(NAMES), max_size=2), links), min_size=1, max_size=60)


@given(weather)
def test_never_two_masters_whatever_dies_and_whichever_links_are_cut(events):
    world = World()
    for dead, cut in events:
        world.cycle(dead, cut)
    tokens = [token for _, _, token in world.acted]
    assert tokens == sorted(tokens)  # who has been overtaken never acts again with its old token
    holders = {}
    for _, name, token in world.acted:
        assert holders.setdefault(token, name) == name
    for _ in range(2 * TAKEOVER_CYCLES + len(NAMES) + 2):  # the storm is over: one master soon, and one only
        world.cycle()
    last = [name for number, name, _ in world.acted if number == world.number]
    assert len(last) == 1
    assert sum(node.is_master for node in world.nodes.values()) == 1


proposals = st.lists(
    st.builds(Opinion, st.sampled_from(["x", "y"]), st.just({"levels": 9.0}), st.integers(-2, 2), st.floats(0, 0.5)),
    max_size=3,
)


@given(proposals)
def test_silent_dead_or_unsure_advisors_change_nothing(unsure):
    pattern, alone = MasterSlave(0.6, ["executor"]), MasterSlave(0.6, ["executor"])
    own = Opinion("executor", {}, 1, 0.5)
    found, kept = pattern.decide({"levels": 3.0}, [own, *unsure]), alone.decide({"levels": 3.0}, [own])
    assert (found.params, found.stance, found.shares) == (kept.params, kept.stance, kept.shares)
    assert found.params == {"levels": 3.0}


def test_the_most_confident_good_proposal_is_taken_and_unknown_names_are_not():
    said = [Opinion("x", {"levels": 5, "nonsense": 1}, 0, 0.7), Opinion("y", {"levels": 6}, 0, 0.8)]
    assert MasterSlave().decide({"levels": 3}, said).params == {"levels": 6}


def test_capital_passes_on_when_the_master_is_silent_and_nobody_holds_it_in_between():
    pattern = MasterSlave(succession=["m", "s"])
    standby = [Opinion("s")]
    held = [pattern.decide({}, standby).shares for _ in range(TAKEOVER_CYCLES + 2)]
    assert held == [{}] * TAKEOVER_CYCLES + [{"s": 1.0}] * 2
