"""A challenger and whoever sits, each a shadow lane on the same events since the challenge began."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tidewright.agents.optimizer.judge import Judge
from tidewright.agents.optimizer.study import complete
from tidewright.agents.optimizer.windows import Window
from tidewright.coordination.payloads import OptimizeRequest
from tidewright.coordination.policy_payloads import ChallengeRequest, PolicyReference
from tidewright.measure.sequential import block_sums

F64 = np.ndarray[Any, np.dtype[np.float64]]


def compare(
    judge_of: Callable[[OptimizeRequest, int], Judge], data: OptimizeRequest, asked: ChallengeRequest, earliest_ns: int
) -> dict[str, Any]:
    """What the challenger earned more in the whole blocks that have come since they were last told.

    The lanes run from the beginning of the challenge, so that what they hold and remember is what they would hold and
    remember; only the new blocks are told. A policy's file that is not there any more is an error.
    """
    cycle, begin = data.cycle_ns, asked.from_ns
    block_ns = asked.block * cycle
    until_ns = begin + (data.until_ns - begin) // block_ns * block_ns
    seen_ns = begin + (asked.seen_ns - begin) // block_ns * block_ns
    told: dict[str, Any] = {
        "challenge_id": asked.challenge_id,
        "from_ns": seen_ns,
        "until_ns": max(seen_ns, until_ns),
        "cycles": max(0, until_ns - seen_ns) // cycle,
        "block": asked.block,
        "differences": [],
    }
    if until_ns <= seen_ns:
        return told
    params = complete(data.strategy, data.incumbent.values())
    window = Window(begin, until_ns)

    def increments(policy: PolicyReference) -> F64:
        judge = judge_of(data.model_copy(update={"policy": policy}), earliest_ns)
        one = {name: np.array([value]) for name, value in params.items()}
        return judge.evaluate(window, one, 1, record=True).increments[:, 0]

    differences = increments(asked.challenger) - increments(asked.seated)
    told["differences"] = block_sums(differences[(seen_ns - begin) // cycle :], asked.block).tolist()
    return told
