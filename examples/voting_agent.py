"""An agent outside Tidewright: standard library only, JSON lines on stdin and stdout, or over NATS.

It hears each round from the executor and votes for a wider spread when the market is restless and a narrower one when
it is calm.

    [agents.commands]                                   # in session.toml: a child of the session
    voter = ["python3", "examples/voting_agent.py"]

    python3 examples/voting_agent.py --nats 127.0.0.1:4222 --name voter --key-file keys.json

Any language can do the same: read a line of JSON, write a line of JSON; docs/agents.md has the protocol.
"""

import argparse
import hashlib
import hmac
import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CALM = 0.0002  # deviation of a cycle's return


def vote(heard: dict[str, Any], name: str) -> dict[str, Any] | None:
    """The answer to a message of the executor; ``None`` where it asks nothing."""
    data = heard.get("data", {})
    if heard.get("message_type") != "status" or data.get("state") != "round":
        return None
    params = data.get("params", {})  # of several strategies on one account by agent: grid.spread_percentage
    spreads = {name: value for name, value in params.items() if name.rpartition(".")[2] == "spread_percentage"}
    if not spreads:
        return None
    factor = 1.1 if data.get("volatility", 0.0) > CALM else 0.9
    return {
        "timestamp": heard["timestamp"],  # market time, as the executor has it
        "source_agent": name,
        "target_agent": heard["source_agent"],
        "message_type": "vote",
        "data": {
            "question": data["question"],
            "round": data["round"],
            "stance": 0,
            "params": {name: min(1.0, max(0.02, spread * factor)) for name, spread in spreads.items()},
            "confidence_score": 0.65,
        },
    }


def over_pipes(name: str) -> None:
    """One JSON object a line, in on stdin, out on stdout; the end of stdin is the end."""
    for line in sys.stdin:
        answer = vote(json.loads(line), name)
        if answer is not None:
            print(json.dumps(answer), flush=True)


def nats_messages(stream: Any) -> Iterator[bytes]:
    """Payloads of a NATS connection; pings are answered."""
    while line := stream.readline():
        words = line.split()
        if words[:1] == [b"PING"]:
            stream.write(b"PONG\r\n")
            stream.flush()
        elif words[:1] == [b"-ERR"]:
            sys.exit(f"the server says {line.decode().strip()}")
        elif words[:1] == [b"MSG"]:
            payload = stream.read(int(words[-1]))
            stream.readline()
            yield payload
        elif words[:1] == [b"HMSG"]:
            head, whole = int(words[-2]), int(words[-1])
            payload = stream.read(whole)[head:]
            stream.readline()
            yield payload


def over_nats(address: str, name: str, key: bytes, prefix: str) -> None:
    """The NATS text protocol by hand: subscribe to what is meant for all, publish signed votes."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port))) as connection, connection.makefile("rwb") as stream:
        stream.readline()  # INFO
        options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "name": name}
        stream.write(f"CONNECT {json.dumps(options)}\r\nSUB {prefix}.agents 1\r\nPING\r\n".encode())
        stream.flush()
        for payload in nats_messages(stream):
            answer = vote(json.loads(payload), name)
            if answer is None:
                continue
            raw = json.dumps(answer).encode()
            signature = hmac.new(key, raw, hashlib.sha256).hexdigest()
            head = (
                f"NATS/1.0\r\nNats-Msg-Id: {name}:{answer['data']['question']}:{answer['timestamp']}\r\n"
                f"Tidewright-Signature: {signature}\r\n\r\n"
            ).encode()
            subject = f"{prefix}.{answer['target_agent']}"
            stream.write(f"HPUB {subject} {len(head)} {len(head) + len(raw)}\r\n".encode() + head + raw + b"\r\n")
            stream.flush()


def main() -> None:
    """Choose the transport."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="voter")
    parser.add_argument("--nats", help="host:port of the server; without it: stdin and stdout")
    parser.add_argument("--prefix", default="tidewright")
    parser.add_argument("--key-file", type=Path, help="JSON object of hexadecimal keys by agent")
    chosen = parser.parse_args()
    if not chosen.nats:
        over_pipes(chosen.name)
        return
    if chosen.key_file is None:
        parser.error("over NATS messages are signed: name a --key-file")
    over_nats(
        chosen.nats, chosen.name, bytes.fromhex(json.loads(chosen.key_file.read_text())[chosen.name]), chosen.prefix
    )


if __name__ == "__main__":
    main()
