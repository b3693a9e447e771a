"""Only the process with the greatest token writes; the lock goes with the process."""

import os
import signal
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidewright.market.errors import UsageError
from tidewright.store import schema
from tidewright.store.database import Database
from tidewright.trading.lease import ENDING, SUCCESSION, FencedError, Lease, LeaseRow, Lock, retire
from tidewright.trading.standby import Standby


def row(number):
    return {"session": "s", "ts": number, "mid2_ticks": 1, "equity_units": 1, "base_units": 1, "quote_units": 1,
            "position_lots": 0, "realised_units": 0, "unrealised_units": 0, "fees_units": 0}  # fmt: skip


@settings(max_examples=25)
@given(moves=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["claim", "write", "beat", "end"])), max_size=30))
def test_whoever_claims_when_only_the_newest_master_writes(moves, tmp_path_factory):
    path = tmp_path_factory.mktemp("lease") / "session.db"
    stores = [Database(path) for _ in range(4)]
    leases = [Lease(store, SUCCESSION[rank]) for rank, store in enumerate(stores)]
    for lease in leases:
        lease.guard()
    master, tokens, written = None, [], []
    for number, (who, what) in enumerate(moves):
        if what == "claim":
            assert leases[who].claim()
            master = who
            tokens.append(leases[who].token)
            continue
        try:
            if what == "write":
                stores[who].add(schema.equity, [row(number)])
                stores[who].commit()
                written.append(number)
            elif what == "beat":
                leases[who].beat(number)
            else:
                stores[who].end_session("s", number)
            assert who == master, "somebody wrote who is not master"
        except FencedError:
            assert who != master
    assert tokens == sorted(set(tokens))
    kept = [found["ts"] for found in stores[0].rows(schema.equity, "s")]
    assert kept == written, "what a fenced process meant to write never was, also not later"
    for store in stores:
        store.close()


def test_a_claim_that_comes_second_fails(tmp_path):
    one, two = (Database(tmp_path / "session.db") for _ in range(2))
    first, second = Lease(one, "standby-1"), Lease(two, "standby-2")
    Lease(one).claim()
    token = first.read().token
    assert first.claim(token + 1)
    assert not second.claim(token + 1), "the same token again"
    assert second.read().holder == "standby-1"
    second.guard()
    with pytest.raises(FencedError, match="another process is master now"):
        second.beat(1)
    with pytest.raises(FencedError):
        second.give_back()
    retire(two)
    assert first.read().holder == ""
    assert not second.claim(token + 10), "what was given back in order is not taken over"
    assert Lease(two, "standby-3").claim(), "but may be begun anew"
    with pytest.raises(UsageError, match="one of executor"):
        Lease(one, "somebody")
    one.close()
    two.close()


def test_a_living_process_that_ends_its_session_is_not_silent(tmp_path):
    database = Database(tmp_path / "session.db")
    master = Lease(database)
    master.claim()
    assert master.read().ending is False
    master.beat(ENDING)
    row = master.read()
    assert row.ending and row.pid == os.getpid()
    watching = Standby(tmp_path, database, 1, 1_000_000_000, None, print)
    assert not any(watching._is_silent(row) for _ in range(20)), "it still ends"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead = LeaseRow(row.token, row.holder, gone.pid, row.beat, True)
    assert any(watching._is_silent(dead) for _ in range(20)), "it died while it ended"
    other = Standby(tmp_path, database, 2, 1_000_000_000, None, print)
    hangs = LeaseRow(row.token, row.holder, row.pid, row.beat)
    assert not other._is_silent(hangs) and any(other._is_silent(hangs) for _ in range(20)), "alive, and says nothing"
    database.close()


def test_the_lock_is_held_by_one_and_freed_by_death(tmp_path):
    text = (
        "import sys, time, pathlib; from tidewright.trading.lease import Lock; lock = Lock(pathlib.Path(sys.argv[1]));"
        "assert lock.take(); print('held', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", text, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None and other.stdout.readline() == "held\n"
    mine = Lock(tmp_path)
    assert not mine.take() and mine.holder == other.pid
    os.kill(other.pid, signal.SIGKILL)
    other.communicate()
    assert mine.take() and mine.take() and mine.holder == os.getpid()
    mine.give_up()
    again = Lock(tmp_path)
    assert again.take()
    again.give_up()
