"""Whether a policy that learned elsewhere can have seen the windows it is to be judged in.

What is known is in its file: of each tape it learned on the SHA-256 of its rows and how many they were, and which hours
of which market it held. The hash tells a tape it learned on, and one that begins with such a tape; the hours also one
that was cut, reduced, recorded or imported in another way. Files of older versions name no hours, but the settings of
synthetic markets. Another venue's rows of the same hours are not recognised.
"""

from collections.abc import Sequence

from tidewright.agents.executor.learned_on import Hours, shared
from tidewright.agents.executor.policy import Policy
from tidewright.agents.executor.policy_run import tape_hash
from tidewright.agents.executor.seating import reports
from tidewright.market.clock import iso
from tidewright.market.errors import UsageError
from tidewright.market.tape import Tape


def learned_until(policy: Policy, tape: Tape) -> int | None:
    """Time of the last row of a tape that a policy is known to have learned on, ns; ``None``: none is known."""
    seen = [0]
    for one in policy.header.get("data", ()):
        rows = int(one["rows"])
        if seen[-1] < rows <= len(tape) and tape_hash(_beginning(tape, rows)) == one["sha256"]:
            seen.append(rows)
    return int(tape.data.ts[seen[-1] - 1]) if seen[-1] else None


def unseen(policy: Policy, tapes: Sequence[Tape], firsts_ns: Sequence[int]) -> str:
    """What can be said of a policy that is judged on tapes from these times on, a sentence or more.

    Raises
    ------
    UsageError
        If it is known to have learned on rows of a tape after its time.
    DataError
        If its file tells of its examinations in another form.
    """
    said = []
    examined = [one for report in reports(policy) for one in report.tapes]
    for tape, first_ns in zip(tapes, firsts_ns, strict=True):
        until = learned_until(policy, tape)
        if until is not None and until > first_ns:
            raise UsageError(
                f"the policy learned on {tape.path} until {iso(until)}, and the first window begins {iso(first_ns)}: "
                "a comparison needs a tape that it has not seen, or a later part of one (--train)"
            )
        if until is not None:
            said.append(f"It learned on {tape.path} until {iso(until)}, before the windows.")
        judged = Hours(Hours.of(tape).market, first_ns, tape.end_ns)
        if (learned := shared(policy.header, judged)) is not None:
            raise UsageError(
                f"the policy learned on {learned.words()}, and {tape.path} is judged from {iso(first_ns)} to "
                f"{iso(judged.end_ns)}: the same market at the same time, whatever the rows; a comparison needs hours "
                "that it has not seen"
            )
        if any(one["sha256"] == tape_hash(tape) or Hours.kept(one).meets(Hours.of(tape)) for one in examined):
            said.append(f"It was examined on {tape.path}: whoever chose it may have seen how it does there.")
    return " ".join([_known(policy), *said])


def _known(policy: Policy) -> str:
    data = policy.header.get("data", ())
    count, unknown = len(data), sum(not Hours.kept(one).market for one in data)
    if count == 0:
        return "The given policy's file does not say what it learned on: it may have seen the windows judged here."
    told = f"The given policy learned on {count} tape{'' if count == 1 else 's'}"
    if "parent" in policy.header:
        told += ", its parent's included"
    told += "; as far as market, time and SHA-256 tell, on none of the windows judged here"
    if unknown:
        told += (
            f" (of {unknown} only the SHA-256 is known, and a tape that was cut or imported in another way has another)"
        )
    return f"{told}."


def _beginning(tape: Tape, rows: int) -> Tape:
    return Tape(tape.path, tape.instrument, tape.meta, tape.data.rows(0, rows))
