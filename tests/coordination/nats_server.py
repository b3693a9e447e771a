"""A real nats-server on a free port with a store of its own, for tests; skipped aloud where there is none."""

import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

SERVER = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class NatsServer:
    """Starts, stops, starts again on the same port and store; use it as a context manager."""

    def __init__(self, folder: Path, config: str = "") -> None:
        if SERVER is None:
            pytest.skip("no nats-server here: apt-get install nats-server")
        self.port, self._folder = free_port(), folder
        self._config = folder / "nats.conf"
        self._config.write_text(
            f"listen: '127.0.0.1:{self.port}'\njetstream {{ store_dir: '{folder}/store' }}\nmax_payload: 2MB\n{config}"
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        log = (self._folder / "nats.log").open("ab")
        self._process = subprocess.Popen([str(SERVER), "-c", str(self._config)], stdout=log, stderr=log)
        log.close()
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
                return
            except OSError:
                assert self._process.poll() is None, (self._folder / "nats.log").read_text()
                time.sleep(0.05)
        raise AssertionError("nats-server does not listen")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)

    def __enter__(self) -> "NatsServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
