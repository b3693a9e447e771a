"""Training a seated policy on, beside the search: a child process now and then, its result a proposal."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from tidewright.agents.executor.learning.fine_tune import Job
from tidewright.agents.optimizer.memory import Memory
from tidewright.coordination.payloads import OptimizeRequest
from tidewright.market.errors import UsageError
from tidewright.measure.overfitting import expected_maximum

EVERY: Final = 4  # requests from one training to the next
_THREADS: Final = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Tuner:
    """Starts a training after an answer and collects it at the next request, so that the same requests give the same.

    Parameters
    ----------
    command
        The child's program and arguments.
    """

    def __init__(self, command: tuple[str, ...] = ()) -> None:
        self._command = command or (sys.executable, "-m", "tidewright.agents.executor.learning.fine_tune")
        self._child: subprocess.Popen[str] | None = None
        self._job: Job | None = None
        self._asked = 0

    def begin(self, data: OptimizeRequest) -> bool:
        """Start a training for a request that asks for one, at every fourth; whether one was started."""
        if not data.fine_tune or data.policy is None or self._child is not None:
            return False
        self._asked += 1
        if self._asked % EVERY:
            return False
        self._job = job = job_of(data)
        environment = {**os.environ, **dict.fromkeys(_THREADS, "1")}
        pipe = subprocess.PIPE
        self._child = subprocess.Popen(
            self._command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(asdict(job)))
        self._child.stdin.close()
        return True

    def collect(self, memory: Memory) -> dict[str, Any]:
        """What came of the training that runs, waited for: fields of an answer; nothing if none runs.

        It is proposed where it earned more on what it had not seen than the best of so many useless ones would, all
        trainings of the session counted.

        Parameters
        ----------
        memory
            Counts the training and the policies that were tried in it.
        """
        if self._child is None or self._job is None:
            return {}
        child, job = self._child, self._job
        self._child = self._job = None
        assert child.stdout is not None
        with child.stdout:
            text = child.stdout.read()
        code = child.wait()
        try:
            told = json.loads(text)
        except json.JSONDecodeError:
            return {"fine_tune_failed": f"the training ended with code {code}"}
        if "error" in told:
            return {"fine_tune_failed": str(told["error"])[:4000]}
        memory.count_training(int(told["tried"]))
        figures = told["figures"] | {"trainings": memory.trainings}
        found = figures["difference"]
        if found["value"] <= found["deviation"] * expected_maximum(memory.trainings):
            of = f", the best of {memory.trainings} trainings" if memory.trainings > 1 else ""
            return {"fine_tune_failed": f"it was no better on what it had not seen{of}: {found}"}
        name = f"tuned-{job.until_ns}"
        return {
            "policy_proposal": {
                "policy": {"name": name, "path": job.out, "sha256": told["sha256"]},
                "parent": job.sha256,
                "proposal_id": name,
                "trained": told["trained"],
                "held_out": told["held_out"],
                "figures": figures,
            }
        }

    def close(self) -> None:
        """End a training that runs."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            if self._child.stdout is not None:
                self._child.stdout.close()
            self._child = self._job = None


def job_of(data: OptimizeRequest) -> Job:
    """The training a request asks for.

    Raises
    ------
    UsageError
        If it says neither who sits nor what is paid.
    """
    if data.policy is None or data.fees is None:
        raise UsageError("training on needs the policy that sits and the fees")
    path = Path(data.policy.path)
    return Job(
        policy=str(path),
        sha256=data.policy.sha256,
        out=str(path.with_name(f"tuned-{data.until_ns}.tw")),
        tape=data.tape,
        rows=data.rows,
        from_ns=data.from_ns,
        until_ns=data.until_ns,
        maker_fee=data.fees.maker,
        latency_ns=data.latency.entry_ns,
        queue=data.queue,
        params=data.incumbent.values(),
        seed=data.seed,
    )
