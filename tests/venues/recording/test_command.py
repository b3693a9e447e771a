"""The command as users run it: a process of its own, ended by Ctrl-C or by its time."""

import asyncio
import os
import signal
import sys

import orjson
import pytest

from tests.venues.recording.harness import caught_up, tapes
from tests.venues.recording.markets import coinbase_info, generated
from tests.venues.recording.servers import LocalCoinbase
from tidewright.market.check import check_tape
from tidewright.market.codes import GAP


def local() -> LocalCoinbase:
    return LocalCoinbase(generated(["BTC-USD"], 60, coinbase_info(["BTC-USD"])))


async def command(server, out, *options: str) -> asyncio.subprocess.Process:
    words = ["data", "record", "--venue", "coinbase", "--symbols", "btc/usd", "--out", str(out)]
    urls = ["--rest-url", server.url, "--ws-url", server.ws_url]
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tidewright.cli.main", *words, *urls, *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip


def test_ctrl_c_ends_with_code_0_and_a_summary_and_a_kill_is_survived(tmp_path):
    async def scenario():
        async with local() as server:
            first = await command(server, tmp_path)
            await server.subscribed(timeout_s=30)
            await server.play(20)
            await caught_up(server, tmp_path)
            first.kill()
            await first.wait()
            second = await command(server, tmp_path, "--json")
            await server.subscribed(2, timeout_s=30)
            await server.play()
            await caught_up(server, tmp_path)
            second.send_signal(signal.SIGINT)
            out, errors = await asyncio.wait_for(second.communicate(), 15)
            assert second.returncode == 0, errors.decode()
            summary = orjson.loads(out.decode().splitlines()[-1])
            (tape,) = tapes(tmp_path, "coinbase", "BTC-USD")
            assert summary["symbols"]["BTC-USD"]["tapes"] == [str(tape.path)]
            assert list(tape.data.kind).count(GAP) == 1
            assert check_tape(tape).usable
            assert "BTC-USD  live" in errors.decode()
            assert "Traceback" not in errors.decode()

    asyncio.run(scenario())


def test_it_ends_by_itself_after_its_time(tmp_path):
    async def scenario():
        async with local() as server:
            process = await command(server, tmp_path, "--for", "1s", "--rotate", "1h")
            await server.subscribed(timeout_s=30)
            await server.play()
            out, errors = await asyncio.wait_for(process.communicate(), 30)
            assert process.returncode == 0, errors.decode()
            assert "Recorded coinbase" in out.decode()
            assert tapes(tmp_path, "coinbase", "BTC-USD")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--symbols", "BTC-USD"], "each symbol may be named once, BTC-USD is twice"),
        (["--tick", "ETH-USD=1"], "a step is given for ETH-USD, which is not among the symbols"),
        (["--tick", "1", "--tick", "2"], "--tick takes one step for all, or one SYMBOL=STEP for each symbol, was '2'"),
        (["--for", "0s"], "--for must be longer than nothing"),
        (["--depth", "5"], "--depth cannot be chosen for coinbase"),
        (["--ws-url", "http://x"], "--ws-url must begin with ws:// or wss://"),
    ],
)
def test_mistakes_are_named_before_anything_is_begun(options, words, tmp_path, capsys):
    from tidewright.cli.main import main

    with pytest.raises(SystemExit) as ended:
        main(["data", "record", "--venue", "coinbase", "--symbols", "BTC-USD", "--out", str(tmp_path / "x"), *options])
    assert ended.value.code == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "x").exists()
