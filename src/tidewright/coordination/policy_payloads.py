"""What messages say of policies: who sits in the executor's chair, who challenges, who is proposed."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
_Stretch = Annotated[list[int], Field(min_length=2, max_length=2)]
_Path = Annotated[str, Field(max_length=4096, pattern=r"^[^\x00-\x1f\x7f]*$")]


class _Closed(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class PolicyReference(_Closed):
    """A policy by its file; without a path it is the base rule, which nobody shapes.

    Attributes
    ----------
    name
        For people.
    path, sha256
        The file, and the SHA-256 of its bytes: another file under that name is refused.
    """

    name: _Name
    path: _Path = ""
    sha256: _Sha256 | Annotated[str, Field(max_length=0)] = ""


class ChallengeRequest(_Closed):
    """Replay these two in shadow lanes and tell the difference since a time.

    Attributes
    ----------
    challenge_id
        The challenge's own id.
    challenger, seated
        Whose equity is taken, and whose is subtracted.
    from_ns, seen_ns
        The lanes run from the first time without a break; blocks of cycles after the second are told.
    block
        Cycles a block.
    """

    challenge_id: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_.:/@-]+$")]
    challenger: PolicyReference
    seated: PolicyReference
    from_ns: int
    seen_ns: int
    block: Annotated[int, Field(ge=1)] = 10


class ChallengeComparison(_Closed):
    """What a challenger earned more than who sits, on the events of a stretch.

    Attributes
    ----------
    challenge_id
        As in the request.
    from_ns, until_ns, cycles
        The stretch that is told of, and the decisions in it: whole blocks only.
    block, differences
        Cycles a block, and challenger's less seated one's equity change of each, quote, oldest first.
    """

    challenge_id: str
    from_ns: int
    until_ns: int
    cycles: Annotated[int, Field(ge=0)]
    block: Annotated[int, Field(ge=1)]
    differences: list[int | float]


class PolicyProposal(_Closed):
    """A policy somebody proposes to seat: it becomes a challenger.

    Attributes
    ----------
    policy
        Its file.
    parent
        SHA-256 of the policy it was made from; empty: of none.
    proposal_id
        The proposal's own id.
    trained, held_out
        Market time it learned on, and that it was looked at afterwards and did not learn on: first and last, ns.
    figures
        What it showed on the held-out stretch, plain values.
    """

    policy: PolicyReference
    parent: _Sha256 | Annotated[str, Field(max_length=0)] = ""
    proposal_id: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_.:/@-]+$")]
    trained: _Stretch
    held_out: _Stretch
    figures: dict[str, Any] = Field(default_factory=dict)
