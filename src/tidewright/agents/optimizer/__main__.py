"""``python -m tidewright.agents.optimizer``: requests in on stdin, one answer each out on stdout, JSON lines."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tidewright.agents.optimizer.advisor import Optimizer
from tidewright.agents.optimizer.bounds import Bounds, Pacer, release
from tidewright.agents.optimizer.memory import Memory
from tidewright.coordination.messages import DecisionMessage, Message, OptimizeRequestMessage, message
from tidewright.coordination.process import ChildChannel
from tidewright.coordination.tether import tether
from tidewright.market.errors import DataError, TidewrightError


def serve(
    channel: ChildChannel,
    memory_file: Path | None,
    bounds: Bounds | None = None,
    files: Sequence[str] = (),
    apart: Sequence[str] = (),
) -> None:
    """Answer every request until stdin ends; what is not a message is answered with a status that says so.

    Parameters
    ----------
    memory_file
        Where trials, forecasts and outcomes are kept over a restart; written before the answer goes out.
    bounds
        What the process may take; its threads and its share of a core are kept here.
    files
        Strategies of users' own that requests may name.
    apart
        Agents whose requests are about a strategy of their own: what is known of each is kept apart, in a file with the
        agent's name behind the first one's.
    """
    bounds = bounds or Bounds()
    pacer = Pacer(bounds.cpu_share)
    optimizers = _Optimizers(
        memory_file, apart, lambda memory: Optimizer(memory, None, bounds.threads, files, pacer.pause)
    )
    try:
        _serve(channel, optimizers, bounds, pacer)
    finally:
        optimizers.close()


class _Optimizers:
    """One for each agent: what was foretold for one says nothing about another; how much was tried counts for all."""

    def __init__(self, memory_file: Path | None, apart: Sequence[str], make: Callable[[Memory], Optimizer]) -> None:
        self._file = memory_file
        paths = {name: self._path(name) for name in apart or ("",)}
        self._known = {name: make(Memory() if path is None else Memory.load(path)) for name, path in paths.items()}

    def of(self, agent: str) -> Optimizer:
        """That agent's, told what the others have tried; of an agent that was not named, the first one's."""
        found = self._known.get(agent) or next(iter(self._known.values()))
        found.memory.elsewhere = sum(item.memory.own for item in self._known.values() if item is not found)
        return found

    def save(self, agent: str) -> None:
        """Write down what is known of an agent."""
        name = agent if agent in self._known else next(iter(self._known))
        path = self._path(name)
        if path is not None:
            self._known[name].memory.save(path)

    def close(self) -> None:
        """End what runs beside them."""
        for optimizer in self._known.values():
            optimizer.close()

    def _path(self, agent: str) -> Path | None:
        if self._file is None or not agent:
            return self._file
        return self._file.with_name(f"{self._file.stem}-{agent}{self._file.suffix}")


def _serve(channel: ChildChannel, optimizers: _Optimizers, bounds: Bounds, pacer: Pacer) -> None:
    now_ns = 0
    for item in channel.receive():
        if isinstance(item, DataError):
            content = {"state": "error", "reason": f"not a message: {item}"[:4000]}
            channel.send(message("status", now_ns, "optimizer", "session", content))
            continue
        now_ns = max(now_ns, item.timestamp_ns)
        if isinstance(item, OptimizeRequestMessage):
            pacer.begin()
            answer = _answer(optimizers.of(item.source_agent), item, bounds)
            optimizers.save(item.source_agent)
            channel.send(answer)
        elif not isinstance(item, DecisionMessage):  # decisions are taken note of by what the next incumbent is
            reason = f"an optimizer does not act on {item.message_type}"
            content = {"state": "ignored", "reason": reason}
            channel.send(message("status", now_ns, item.target_agent, item.source_agent, content))


def _answer(optimizer: Optimizer, item: OptimizeRequestMessage, bounds: Bounds) -> Message:
    """The answer; a search that needs more memory than it may take is an error message, not the end."""
    try:
        return optimizer.answer(item)
    except MemoryError:
        release()
        reason = (
            f"the search needs more than the {bounds.memory_mb} MiB it may take: give it more (--memory-mb), or fewer "
            "candidates, a shorter window or fewer rows"
        )
        content = {"state": "error", "reason": reason}
        if item.data.request_id is not None:
            content["in_reply_to"] = item.data.request_id
        return message("status", item.timestamp_ns, item.target_agent, item.source_agent, content)


def main() -> None:
    """Run the agent."""
    parser = argparse.ArgumentParser(prog="tidewright.agents.optimizer", description=__doc__)
    parser.add_argument("--memory", type=Path, help="file that keeps trials and forecasts over a restart")
    usual = Bounds()
    parser.add_argument(
        "--threads", type=int, default=usual.threads, help="that share the lanes; answers do not change"
    )
    parser.add_argument("--nice", type=int, default=usual.nice, help="added to the niceness, 0 to 19")
    parser.add_argument("--cpu-share", type=float, default=usual.cpu_share, help="of one core, over 0 to 1")
    parser.add_argument("--memory-mb", type=int, default=usual.memory_mb, help="most private memory, MiB; 0: no bound")
    parser.add_argument("--idle", action="store_true", help="only while nothing else wants the core (Linux)")
    parser.add_argument(
        "--strategy", action="append", default=[], metavar="FILE:NAME", help="a strategy file that requests may name"
    )
    parser.add_argument(
        "--agent", action="append", default=[], metavar="NAME", help="one of several that ask, with a memory of its own"
    )
    arguments = parser.parse_args()
    tether("optimizer")
    channel = ChildChannel.standard()
    try:
        bounds = Bounds(arguments.nice, arguments.cpu_share, arguments.memory_mb, arguments.threads, arguments.idle)
        bounds.apply()
        serve(channel, arguments.memory, bounds, arguments.strategy, arguments.agent)
    except BrokenPipeError:
        os._exit(0)  # the session has gone; a normal exit would try to flush to it once more
    except KeyboardInterrupt:
        sys.exit(130)
    except TidewrightError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
