"""Who may act for a session: a lease with a fencing token in its database, and a lock that only a living process holds.

The token settles who is master: a greater one was claimed later, and every transaction of a process whose token is not
the greatest is undone, so that nothing it means to send is ever written down, and so never sent. The lock (``flock`` on
a file of the session's folder) settles that the process before has gone: the operating system gives it up when the
process dies, and tape, journal and venue are touched only by who holds it.
"""

import errno
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import insert, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from tidewright.coordination.admission import RefusedError
from tidewright.market.errors import UsageError
from tidewright.store import schema
from tidewright.store.database import Database

NAME: Final = "executor"
LOCK: Final = "executor.lock"
SUCCESSION: Final = (NAME, *(f"standby-{rank}" for rank in range(1, 8)))
"""Who can become master, in the order in which they take over."""
ENDING: Final = -1
"""Market time of a sign of life that says: this session is being ended."""


class FencedError(RefusedError):
    """Another process is master now; this one must stop and leave the orders to it."""


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """The lease as it was written last.

    Attributes
    ----------
    token
        The greatest fencing token there has been.
    holder
        Whose it is; empty: it was given back in order.
    pid
        The holder's process.
    beat
        Rises with every sign of life.
    ending
        Whether the holder is ending the session in order.
    """

    token: int
    holder: str
    pid: int
    beat: int
    ending: bool = False


class Lease:
    """One process's claim on a session.

    Parameters
    ----------
    name
        One of :data:`SUCCESSION`.

    Attributes
    ----------
    token
        With which it writes; 0 before it has claimed.
    """

    def __init__(self, database: Database, name: str = NAME) -> None:
        if name not in SUCCESSION:
            raise UsageError(f"a session's process is one of {', '.join(SUCCESSION)}, was {name!r}")
        self._database, self.name = database, name
        self.token = 0

    def read(self) -> LeaseRow | None:
        """The lease now; ``None``: nobody ever had it."""
        with self._database.connect() as connection:
            return _read(connection)

    def claim(self, token: int = 0) -> bool:
        """Become master with a token greater than any before; whether nobody else did meanwhile, nor gave it back.

        Parameters
        ----------
        token
            With which a silent holder is replaced; 0: the next one after the newest, whoever has it.
        """
        count, rank, table = len(SUCCESSION), SUCCESSION.index(self.name), schema.leases
        now = self.read()
        newest = 0 if now is None else now.token
        mine = token or (newest // count + 1) * count + rank
        if mine <= newest:
            return False
        row = {"token": mine, "holder": self.name, "pid": os.getpid(), "ts": 0}
        try:
            with self._database.writing() as connection:
                if now is None:
                    connection.execute(insert(table).values(name=NAME, beat=1, **row))
                else:
                    which = (table.c.name == NAME) & (table.c.token == newest)
                    if token:
                        which &= table.c.holder != ""
                    changed = connection.execute(update(table).where(which).values(beat=table.c.beat + 1, **row))
                    if changed.rowcount != 1:
                        return False
        except IntegrityError:  # two first claims at once
            return False
        self.token = mine
        return True

    def guard(self) -> None:
        """From now on nothing is written to the database without this token being the greatest."""
        self._database.fence = self._check

    def beat(self, now_ns: int) -> None:
        """A sign of life, with its market time or :data:`ENDING`.

        Raises
        ------
        FencedError
            If another process is master.
        """
        with self._database.writing() as connection:
            self._check(connection)
            table = schema.leases
            connection.execute(
                update(table).where(table.c.name == NAME).values(beat=table.c.beat + 1, ts=now_ns, pid=os.getpid())
            )

    def give_back(self) -> None:
        """The session has ended in order: nobody needs to take over.

        Raises
        ------
        FencedError
            If another process is master.
        """
        with self._database.writing() as connection:
            self._check(connection)
            connection.execute(update(schema.leases).where(schema.leases.c.name == NAME).values(holder=""))

    def _check(self, connection: Connection) -> None:
        """First of all the write lock: between the look and what is written nobody else can claim."""
        table = schema.leases
        found = connection.execute(
            update(table).where(table.c.name == NAME, table.c.token == self.token).values(token=self.token)
        )
        if found.rowcount != 1:
            now = _read(connection)
            token, holder = (0, "nobody") if now is None else (now.token, now.holder or "nobody")
            raise FencedError(
                f"{self.name} has token {self.token}, but token {token} of {holder} is in force: "
                "another process is master now"
            )


def _read(connection: Connection) -> LeaseRow | None:
    table = schema.leases
    row = connection.execute(select(table).where(table.c.name == NAME)).first()
    return None if row is None else LeaseRow(row.token, row.holder, row.pid, row.beat, row.ts == ENDING)


def retire(database: Database) -> None:
    """A person has ended the session, whoever held it: no standby shall take over."""
    with database.writing() as connection:
        connection.execute(update(schema.leases).where(schema.leases.c.name == NAME).values(holder=""))


class Lock:
    """The lock of a session's folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        self._file: int | None = None

    def take(self) -> bool:
        """Take it without waiting; whether it is ours now."""
        if self._file is not None:
            return True
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)  # not inherited: a child must not hold it
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(file)
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode())
        self._file = file
        return True

    @property
    def holder(self) -> int:
        """Process that wrote itself into the file last; 0 where none did."""
        try:
            return int(self._path.read_text())
        except (OSError, ValueError):
            return 0

    def give_up(self) -> None:
        """Let it go."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
