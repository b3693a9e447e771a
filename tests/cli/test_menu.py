"""The menu drives a real session on a real paper exchange, keys typed through a pipe."""

import json
import subprocess
import time

import pytest

from tests.trading.paper_market import command
from tidewright.market.synthetic import synthesize
from tidewright.trading import state_file


@pytest.fixture
def menu(tmp_path):
    process = subprocess.Popen(
        command("menu"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
    )
    yield process
    if process.poll() is None:
        process.kill()
        process.communicate()


def wait_until(condition, timeout_s=120.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_start_watch_set_report_and_emergency_stop_by_numbers(tmp_path, menu):
    synthesize(tmp_path / "market", hours=3.0, seed=11)
    exchange = subprocess.Popen(
        command(
            "exchange", "--tape", str(tmp_path / "market"), "--state", str(tmp_path / "exchange.json"), "--pace", "60x"
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        exchange.stdout.readline()
        config = tmp_path / "session.toml"
        config.write_text(
            'strategy = "grid"\nwarmup = "1m"\n[venue]\nstate = "exchange.json"\npace = "60x"\n[params]\n'
            "spread_percentage = 0.03\nbase_quantity = 0.002\nmax_position = 0.02\n"
            "[limits]\nmax_position_share = 0.05\n[advice]\nenabled = false\n"
        )
        menu.stdin.write(f"1\n{config}\n")
        menu.stdin.flush()
        wait_until(lambda: list((tmp_path / "runs").glob("*/session.json")))
        path = next((tmp_path / "runs").glob("*/session.json"))
        wait_until(lambda: state_file.read(path)["fills"] >= 1)
        menu.stdin.write("2\n9\n10\nspread_percentage=0.05 levels=2\n10\nlevels=99999\n12\n")
        menu.stdin.flush()
        wait_until(lambda: state_file.read(path)["paused"] and state_file.read(path)["open_orders"] == 0)
        assert state_file.read(path)["params"]["spread_percentage"] == 0.05
        menu.stdin.write("12\n7\n13\n15\ny\n2\n0\n")
        menu.stdin.flush()
        text, _ = menu.communicate(timeout=120)
    finally:
        exchange.terminate()
        exchange.communicate(timeout=20)
    state = state_file.read(path)
    assert state["stage"] == "ended", text
    assert state["ended_by"].startswith("emergency_stop: emergency stop from the menu; ")
    assert "spread_percentage 0.03 → 0.05, levels 4 → 2" in text.replace("\n", " ") or "→ 0.05" in text
    assert "error: refused: " in text
    assert "there is no entry '7'" in text
    assert (path.parent / "report.html").is_file()
    assert "Traceback" not in text
    journal = [json.loads(line) for line in (path.parent / "messages.jsonl").read_text().splitlines()]
    commands = [line["message"]["data"]["command"] for line in journal if line["message"]["message_type"] == "command"]
    assert commands == ["set_parameters", "set_parameters", "pause", "resume", "emergency_stop"]


def test_without_a_session_it_says_so_and_the_end_of_the_input_ends_it(menu):
    text, _ = menu.communicate("2\n15\n", timeout=60)
    assert menu.returncode == 0
    assert text.count("no session: [1] starts one") == 2
