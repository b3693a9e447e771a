"""``python -m tidewright.agents.executor.learning.fine_tune``: train a seated policy on, on a session's tape so far.

A job as JSON on stdin, one JSON answer on stdout, the new policy's file on disk; a process of its own, started by the
optimizer, with low priority and a bound on its processor time. The newest part of the tape is kept apart: on it the new
policy is compared with its parent and examined.
"""

import json
import os
import shlex
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from tidewright import __version__
from tidewright.agents.executor.environment_tape import Randomisation, TapeSettings
from tidewright.agents.executor.examination import examine
from tidewright.agents.executor.learned_on import record
from tidewright.agents.executor.learning.evolution import Evolution, EvolutionSettings, evolve
from tidewright.agents.executor.policy import Policy, ensemble
from tidewright.agents.executor.policy_run import run_policy, settings_of
from tidewright.agents.executor.seat import file_hash
from tidewright.agents.executor.seating import HEADER
from tidewright.agents.optimizer.fold import stretch
from tidewright.coordination.tether import tether
from tidewright.market.clock import iso
from tidewright.market.codes import UNIT
from tidewright.market.errors import DataError, TidewrightError, UsageError
from tidewright.market.instrument import units_text
from tidewright.market.tape import Tape
from tidewright.measure.blocks import mean_of

HELD_OUT: Final = 0.35  # newest share of the stretch
EMBARGO: Final = 2  # cycles between the two parts
LEAST_CYCLES: Final = 480  # of the whole stretch
# Cycles that it reaches back where the tape does: what is held out is then enough of an examination for a seat.
STRETCH: Final = 3_100
CPU_SECONDS: Final = 900
NICE: Final = 10


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done.

    Attributes
    ----------
    policy, sha256, out
        The policy that sits, the SHA-256 of its file, and where the new one is written.
    tape, rows, from_ns, until_ns
        The session's tape, how many rows of it there are, and what the search looks back on; training reaches
        :data:`STRETCH` cycles back where the tape does.
    maker_fee, latency_ns, queue, params
        As the session has them: rate in 1e-8, of orders and answers, queue model, and the base rule's parameters.
    seed, generations, lanes, stretches
        Of :class:`~tidewright.agents.executor.learning.evolution.Evolution`; every further member of an ensemble has
        the next seed.
    """

    policy: str
    sha256: str
    out: str
    tape: str
    rows: int
    from_ns: int
    until_ns: int
    maker_fee: int
    latency_ns: int
    queue: str
    params: dict[str, float]
    seed: int = 0
    generations: int = 12
    lanes: int = 64
    stretches: int = 4


def run(job: Job) -> dict[str, Any]:
    """Train, compare, examine, write.

    Returns
    -------
    dict
        ``trained`` and ``held_out`` (first and last time, ns), ``tried`` (policies that were judged to find it),
        ``figures``, ``sha256`` of the new file.

    Raises
    ------
    TidewrightError
        If the policy is another one, the stretch is too short, or the policy's form cannot be trained on.
    """
    if file_hash(Path(job.policy)) != job.sha256:
        raise DataError(f"policy {job.policy} is another one: its SHA-256 is not {job.sha256}")
    parent = Policy.load(Path(job.policy))
    trading = _trading(settings_of(parent), job)
    whole = Tape.open(Path(job.tape))
    from_ns = min(job.from_ns, max(whole.start_ns, job.until_ns - STRETCH * trading.cycle_ns))
    cycles = (job.until_ns - from_ns) // trading.cycle_ns
    if cycles < LEAST_CYCLES:
        raise UsageError(f"training on needs {LEAST_CYCLES} cycles of market, there are {cycles}")
    middle = from_ns + round((1.0 - HELD_OUT) * cycles) * trading.cycle_ns
    earlier = stretch(whole, job.rows, from_ns, middle)
    later = stretch(whole, job.rows, middle + EMBARGO * trading.cycle_ns, job.until_ns)
    settings = EvolutionSettings(
        job.generations, job.lanes, job.stretches, 0.03, 0.01, _hidden(parent), frames=parent.frames
    )
    members = [
        evolve(Evolution([earlier], trading, settings, job.seed + number, replace(parent, members=(member,))))
        for number, member in enumerate(parent.members)
    ]
    made = ensemble(members, origin(job, parent, whole, earlier, settings, trading))
    figures = _compared(later, parent, made, trading)
    fee_bp = 1e4 * job.maker_fee / UNIT
    found = examine([later], _under(made, trading), (fee_bp,), date=iso(job.until_ns)[:10], version=__version__)
    # What was examined is the policy over the parameters in use; its file keeps those it first learned with.
    examined = found.written(_under(made, trading))
    examined.save(Path(job.out))
    return {
        "trained": [from_ns, middle],
        "held_out": [middle + EMBARGO * trading.cycle_ns, job.until_ns],
        "tried": settings.generations * settings.lanes * len(members),
        "figures": {**figures, "verdicts": {one.name: one.verdict for one in found.examinations}},
        "sha256": file_hash(Path(job.out)),
    }


def origin(
    job: Job, parent: Policy, whole: Tape, earlier: Tape, settings: EvolutionSettings, trading: TapeSettings
) -> dict[str, Any]:
    """What the new policy's file says of how it was made: enough to make it again.

    Parameters
    ----------
    whole, earlier
        The session's tape, and the part of it that was learned on.
    settings, trading
        How it learned, and what with.

    Returns
    -------
    dict
        The parent's header but for its examinations, and: ``parent`` (SHA-256 of its file), ``command`` (to be run
        beside files of these names), ``job``, ``tape`` (the rows that the job took), ``learner``, ``seeds``, and
        ``data``, all that it or its parent learned on.
    """
    names = {name: Path(getattr(job, name)).name for name in ("policy", "out", "tape")}
    told = {**asdict(job), **names}
    program = "python -m tidewright.agents.executor.learning.fine_tune"
    taken = Tape(whole.path, whole.instrument, whole.meta, whole.data.rows(0, job.rows))
    return {
        **{name: value for name, value in parent.header.items() if name != HEADER},
        "version": __version__,
        "parent": job.sha256,
        "command": f"echo {shlex.quote(json.dumps(told))} | {program}",
        "job": told,
        "tape": record(taken),
        "learner": {"method": "evolution", **settings.to_json()},
        "seeds": [job.seed + number for number in range(len(parent.members))],
        "data": [*parent.header.get("data", ()), record(earlier)],
        "environment": replace(settings_of(parent), random=trading.random).to_json(),
    }


def _trading(settings: TapeSettings, job: Job) -> TapeSettings:
    """What the parent learned with, in the session's market and over its base rule's parameters."""
    drawn = Randomisation((job.maker_fee,), (job.latency_ns,), (job.queue,))
    return replace(
        settings.with_rule(job.params),
        decisions=min(settings.decisions, 120),
        entry_ns=job.latency_ns,
        response_ns=job.latency_ns,
        queue=job.queue,
        random=drawn,
    )


def _under(policy: Policy, trading: TapeSettings) -> Policy:
    return replace(policy, header={**policy.header, "environment": trading.to_json()})


def _hidden(policy: Policy) -> int:
    return max(1, len(policy.members[0].biases[0]) // 2)


def _compared(tape: Tape, parent: Policy, made: Policy, trading: TapeSettings) -> dict[str, Any]:
    """Equity changes of the new policy less its parent's on the held-out stretch, quote a cycle."""
    options = {"fees": (units_text(trading.random.maker_fees[0]), units_text(tape.instrument.taker_fee))}
    changes = []
    for policy in (made, parent):
        result, _ = run_policy(tape, _under(policy, trading), record_equity=True, **options)
        assert result.equity_values is not None
        changes.append(np.diff(result.equity_values[:, 0]))
    return {"cycles": len(changes[0]), "difference": mean_of(changes[0] - changes[1])._asdict()}


def main() -> None:
    """Do the job that is on stdin."""
    tether("training")  # it is stopped with the optimizer, whose process group it is in
    if hasattr(os, "nice"):
        os.nice(NICE)
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    try:
        answer = run(Job(**json.load(sys.stdin)))
    except TidewrightError as error:
        answer = {"error": str(error)}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
