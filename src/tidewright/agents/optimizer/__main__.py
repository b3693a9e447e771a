"""``python -m tidewright.agents.optimizer``: requests in on stdin, one answer each out on stdout, JSON lines."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tidewright.agents.optimizer.advisor import Optimizer
from tidewright.agents.optimizer.memory import Memory
from tidewright.coordination.messages import DecisionMessage, OptimizeRequestMessage, message
from tidewright.coordination.process import ChildChannel
from tidewright.market.errors import DataError, TidewrightError


def serve(channel: ChildChannel, memory_file: Path | None, threads: int = 1, files: Sequence[str] = ()) -> None:
    """Answer every request until stdin ends; what is not a message is answered with a status that says so.

    Parameters
    ----------
    memory_file
        Where trials, forecasts and outcomes are kept over a restart; written before the answer goes out.
    threads
        Threads that share the lanes.
    files
        Strategies of users' own that requests may name.
    """
    optimizer = Optimizer(Memory() if memory_file is None else Memory.load(memory_file), threads=threads, files=files)
    now_ns = 0
    for item in channel.receive():
        if isinstance(item, DataError):
            content = {"state": "error", "reason": f"not a message: {item}"[:4000]}
            channel.send(message("status", now_ns, "optimizer", "session", content))
            continue
        now_ns = max(now_ns, item.timestamp_ns)
        if isinstance(item, OptimizeRequestMessage):
            answer = optimizer.answer(item)
            if memory_file is not None:
                optimizer.memory.save(memory_file)
            channel.send(answer)
        elif not isinstance(item, DecisionMessage):  # decisions are taken note of by what the next incumbent is
            reason = f"an optimizer does not act on {item.message_type}"
            content = {"state": "ignored", "reason": reason}
            channel.send(message("status", now_ns, item.target_agent, item.source_agent, content))


def main() -> None:
    """Run the agent."""
    parser = argparse.ArgumentParser(prog="tidewright.agents.optimizer", description=__doc__)
    parser.add_argument("--memory", type=Path, help="file that keeps trials and forecasts over a restart")
    parser.add_argument("--threads", type=int, default=1, help="threads that share the lanes; answers do not change")
    parser.add_argument(
        "--strategy", action="append", default=[], metavar="FILE:NAME", help="a strategy file that requests may name"
    )
    arguments = parser.parse_args()
    channel = ChildChannel.standard()
    try:
        serve(channel, arguments.memory, arguments.threads, arguments.strategy)
    except BrokenPipeError:
        os._exit(0)  # the session has gone; a normal exit would try to flush to it once more
    except KeyboardInterrupt:
        sys.exit(130)
    except TidewrightError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
