"""What a session that never began leaves behind: nothing."""

import asyncio
from pathlib import Path

import pytest

from tidewright import bootstrap
from tidewright.cli.main import main
from tidewright.market.errors import NotRunningError
from tidewright.trading.settings import SessionSettings
from tidewright.trading.supervisor import supervise

NOWHERE = bootstrap.VenueAddress(
    "BTCUSDT", "http://127.0.0.1:9", "ws://127.0.0.1:9", "ws://127.0.0.1:9/control", "", "key", "secret"
)


async def fail(folder: Path) -> None:
    session, resources = bootstrap.build(folder, "test", NOWHERE, SessionSettings())
    try:
        with pytest.raises(NotRunningError, match="no paper exchange answers"):
            await supervise(session)
    finally:
        await resources.close()


def test_a_start_without_an_exchange_leaves_no_new_folder(tmp_path: Path) -> None:
    asyncio.run(fail(tmp_path / "runs" / "one"))
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_before_stays(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    asyncio.run(fail(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_database_that_was_there_stays(tmp_path: Path) -> None:
    bootstrap.Database(tmp_path / bootstrap.DATABASE).close()
    asyncio.run(fail(tmp_path))
    assert (tmp_path / bootstrap.DATABASE).is_file()


@pytest.mark.parametrize(
    ("strategy", "code", "words"), [("grid", 3, "no paper exchange answers"), ("nope", 4, "unknown strategy 'nope'")]
)
def test_a_trade_that_fails_leaves_nothing_new(
    strategy: str,
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TIDEWRIGHT_API_KEY", "key")
    monkeypatch.setenv("TIDEWRIGHT_API_SECRET", "secret")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.toml").write_text(
        f'strategy = "{strategy}"\nsymbol = "BTCUSDT"\n[venue]\nrest = "http://127.0.0.1:9"\n'
        'ws = "ws://127.0.0.1:9"\ncontrol = "ws://127.0.0.1:9/control"\n'
    )
    with pytest.raises(SystemExit) as caught:
        main(["trade", "-c", "c.toml", "--headless"])
    assert caught.value.code == code
    assert words in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["c.toml"]
