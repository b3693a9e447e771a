"""Keys and the state file."""

import os
import socket
import stat
from pathlib import Path

import orjson
import pytest

from tidewright.market.errors import DataError, UsageError
from tidewright.venues.paper.credentials import KEY_FORM, ApiKey, StateFile

READY = {"rest": "http://127.0.0.1:1", "ws": "ws://127.0.0.1:1", "symbols": ["BTCUSDT"]}


def state(path: Path, key: ApiKey) -> StateFile:
    file = StateFile(path)
    file.write(READY | {"api_key": key.key, "api_secret": key.secret})
    return file


def test_keys_are_random_and_hidden() -> None:
    first, second = ApiKey.generate(), ApiKey.generate()
    assert KEY_FORM.match(first.key) and KEY_FORM.match(first.secret)
    assert len({first.key, first.secret, second.key, second.secret}) == 4
    assert first.key not in repr(first) and first.secret not in repr(first)


def test_the_state_file_is_private_whole_and_goes_at_the_end(tmp_path: Path) -> None:
    file = state(tmp_path / "state.json", ApiKey.generate())
    assert stat.S_IMODE((tmp_path / "state.json").stat().st_mode) == 0o600
    assert orjson.loads((tmp_path / "state.json").read_bytes())["pid"] == os.getpid()
    assert os.listdir(tmp_path) == ["state.json"]
    file.remove()
    assert os.listdir(tmp_path) == []
    file.remove()


def test_a_key_outlives_an_exchange_that_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert StateFile(path).load() is None
    key = ApiKey.generate()
    state(path, key)
    assert StateFile(path).load() == key


def test_an_exchange_that_still_answers_is_not_run_over(tmp_path: Path) -> None:

    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        key = ApiKey.generate()
        StateFile(tmp_path / "s").write(READY | {"rest": url, "api_key": key.key, "api_secret": key.secret})
        with pytest.raises(UsageError, match="running already") as caught:
            StateFile(tmp_path / "s").load()
    assert key.secret not in str(caught.value)


def test_a_state_file_of_another_process_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_bytes(orjson.dumps({"pid": os.getpid() + 1}))
    StateFile(path).remove()
    assert path.exists()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"pid": 1}', b"{"])
def test_what_is_no_state_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a state file"):
        StateFile(path).load()
    assert path.read_bytes() == content


def test_a_missing_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="folder of the state file does not exist"):
        StateFile(tmp_path / "no" / "s").write({})
