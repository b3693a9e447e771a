"""A challenger, and a policy that learned more on a live tape, with the real exchange, session, optimizer and child."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.trading.paper_market import PaperMarket
from tidewright import bootstrap
from tidewright.agents.executor.environment import Spaces
from tidewright.agents.executor.environment_kernel import STANCES
from tidewright.agents.executor.environment_tape import HOLD, Randomisation, TapeSettings
from tidewright.agents.executor.learning.evolution import Evolution, EvolutionSettings
from tidewright.agents.executor.policy import Network, Policy
from tidewright.agents.executor.policy_run import settings_of
from tidewright.agents.executor.seat import file_hash
from tidewright.agents.executor.seating import reports
from tidewright.market.clock import SECOND
from tidewright.market.tape import Tape
from tidewright.store import schema
from tidewright.store.database import Database

pytestmark = pytest.mark.slow

CYCLE = 5 * SECOND
TRADING = TapeSettings(
    cycle_ns=CYCLE, decisions=60, warm_up=5, kappa=2.0, gamma=0.001, random=Randomisation((100_000,))
)
TEXT = """
strategy = "shaped"
cycle = "5s"
warmup = "6m"
restart = "{restart}"
policy = "sits.tw"
override_examination = true
%s
[venue]
state = "exchange.json"
[params]
kappa = 2.0
gamma = 0.001
[limits]
daily_loss = 1
stop_loss = 1
[advice]
epoch = "%s"
answer_cycles = 10
candidates = 16
generations = 1
[canary]
cycles = 30
"""


def constant(levels: int) -> Policy:
    """Its base rule with so many levels; 0: it stands aside."""
    outputs = 3 + TRADING.levels + 1 + STANCES
    bias = np.zeros(outputs, np.float32)
    bias[3 + levels] = bias[3 + TRADING.levels + 1 + HOLD] = 1.0
    network = Network((np.zeros((outputs, 8), np.float32),), (bias,))
    header = {"environment": TRADING.to_json(), "version": "0"}
    return Policy(Spaces(8, 3, (TRADING.levels + 1, STANCES)), (network,), header=header)


def traded(market: PaperMarket, text: str) -> tuple[dict[str, object], list[dict[str, object]]]:
    """The session's answer, and every message of its journal."""
    process = market.start_session(text=text)
    out, error = process.communicate(timeout=900)
    assert process.returncode == 0, error
    database = Database(market.folder / "run" / bootstrap.DATABASE, readonly=True)
    rows = database.rows(schema.messages, database.sessions()[-1]["session"])
    database.close()
    return json.loads(out.splitlines()[-1]), [json.loads(row["body"]) for row in rows]


def seats(messages: list[dict]) -> list[str]:
    told = [item["data"]["state"] for item in messages if item["message_type"] == "status"]
    return [state for state in told if state.startswith("seat_")]


def test_a_challenger_that_stands_aside_takes_the_seat_of_one_that_loses_to_fees(tmp_path: Path) -> None:
    constant(3).save(tmp_path / "sits.tw")
    constant(0).save(tmp_path / "aside.tw")
    with PaperMarket(tmp_path, hours=0.75) as market:
        answer, messages = traded(market, TEXT % ('challenger = "aside.tw"', "5m"))
    assert answer["errors"] == 0
    assert seats(messages) == ["seat_opened", "seat_shadow", "seat_canary", "seat_full"]
    shadows = [item["data"]["challenge"] for item in messages if item["data"].get("challenge")]
    assert len(shadows) >= 2
    database = Database(tmp_path / "run" / bootstrap.DATABASE, readonly=True)
    decisions = database.rows(schema.decisions, database.sessions()[-1]["session"])
    database.close()
    sat = [json.loads(row["quotes"])["seat"] for row in decisions]
    assert (sat[0], sat[-1]) == tuple(file_hash(tmp_path / f"{name}.tw")[:12] for name in ("sits", "aside"))
    assert json.loads(decisions[-1]["quotes"])["action"]["discrete"][0] == 0


def test_a_policy_is_trained_on_on_the_live_tape_and_goes_the_way_of_every_challenger(tmp_path: Path) -> None:
    """One that sees two states together."""
    with PaperMarket(tmp_path, hours=1.0) as market:
        tape = Tape.open(tmp_path / "market")
        few = EvolutionSettings(generations=1, lanes=4, stretches=1, hidden=4, frames=2)
        parent = Evolution([tape], replace(TRADING, decisions=30), few).policy(
            {"environment": TRADING.to_json(), "version": "0"}
        )
        parent.save(tmp_path / "sits.tw")
        answer, messages = traded(market, TEXT % ("fine_tune = true", "12m"))
    assert answer["errors"] == 0
    proposals = [item["data"]["policy_proposal"] for item in messages if item["data"].get("policy_proposal")]
    assert len(proposals) == 1, [item["data"].get("fine_tune_failed") for item in messages]
    (proposal,) = proposals
    assert proposal["parent"] == file_hash(tmp_path / "sits.tw")
    assert proposal["figures"]["difference"]["value"] > 0.0
    assert proposal["trained"][1] < proposal["held_out"][0]
    made = Path(proposal["policy"]["path"])
    assert file_hash(made) == proposal["policy"]["sha256"]
    assert settings_of(Policy.load(made)).random.maker_fees == (100_000,)
    (report,) = reports(Policy.load(made))
    assert {one.name for one in report.results} >= {"leak", "fair_game"}
    # It is put to the test in shadow lanes, or refused with the examination it failed.
    assert seats(messages)[1] in ("seat_shadow", "seat_proposal_refused")
