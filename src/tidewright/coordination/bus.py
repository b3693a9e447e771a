"""The bus inside one process: a mailbox an agent, every message validated, admitted and journalled first."""

from collections.abc import Iterable

from tidewright.coordination.admission import Admission, RefusedError
from tidewright.coordination.journal import Journal
from tidewright.coordination.messages import Message, encode, validate
from tidewright.market.errors import DataError, NotFoundError, UsageError


class Bus:
    """Delivers messages between agents that live in this process.

    Parameters
    ----------
    journal
        Where every message is written before it is delivered or refused.
    admission
        Who may say what to whom.
    agents
        Who has a mailbox.

    Raises
    ------
    UsageError
        If a name is there twice.
    """

    def __init__(self, journal: Journal, admission: Admission, agents: Iterable[str]) -> None:
        self._journal, self._admission = journal, admission
        names = list(agents)
        self._boxes: dict[str, list[Message]] = {name: [] for name in names}
        if len(self._boxes) != len(names):
            raise UsageError(f"agent names must be unique on a bus, were {', '.join(names)}")

    def publish(self, item: Message, now_ns: int) -> None:
        """Journal a message and put it into its target's mailbox.

        Parameters
        ----------
        now_ns
            Market time, nanoseconds.

        Raises
        ------
        DataError
            If it breaks the schema (journalled as refused).
        NotFoundError
            If no agent of that name has a mailbox (journalled as refused).
        RefusedError
            If it may not be acted on (journalled as refused).
        """
        try:
            copy = validate(encode(item))  # the receiver's own copy: later changes by the sender do not reach it
        except DataError as error:
            self._journal.append("refused", now_ns, repr(item), str(error))
            raise
        try:
            if copy.target_agent not in self._boxes:
                raise NotFoundError(f"no agent {copy.target_agent!r} on the bus")
            self._admission.admit(copy, now_ns)
        except (NotFoundError, RefusedError) as error:
            self._journal.append("refused", now_ns, copy, str(error))
            raise
        self._journal.append("received", now_ns, copy)
        self._boxes[copy.target_agent].append(copy)

    def drain(self, agent: str) -> list[Message]:
        """What came for an agent since the last call, in the order it came."""
        came, self._boxes[agent] = self._boxes[agent], []
        return came
