"""The session's database: one SQLite file, written in a single transaction a cycle.

What a session means to do is in the file before the venue hears of it; a killed session finds its orders there.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, Table, create_engine, event, func, insert, inspect, select, text, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DatabaseError

from tidewright.market.errors import DataError, NotFoundError, TidewrightError
from tidewright.store import schema

Row = Mapping[str, Any]

_OPEN_STATES: Final = ("PENDING_NEW", "NEW", "PARTIALLY_FILLED", "PENDING_CANCEL", "UNKNOWN")


class Database:
    """A session's records.

    Parameters
    ----------
    path
        The SQLite file; made if it is not there, unless ``readonly``.

    Attributes
    ----------
    fence
        Called first in every writing transaction; what it raises undoes it all. ``None``: anybody may write.

    Raises
    ------
    NotFoundError
        If ``readonly`` and there is no file.
    DataError
        If the file is not a database of this schema version.
    """

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        if readonly and not path.is_file():
            raise NotFoundError(f"no session database at {path}")
        self.path = path
        self._engine = _engine(path)
        try:
            self._check(readonly)
        except DatabaseError as error:
            self._engine.dispose()
            raise DataError(f"{path} is not a session database: {error.orig}") from None
        self._pending: list[tuple[str, Table, Sequence[Row]]] = []
        self.fence: Callable[[Connection], None] | None = None

    def _check(self, readonly: bool) -> None:
        found = inspect(self._engine).has_table("schema_version")
        if not found:
            if readonly:
                raise DataError(f"{self.path} is not a session database: it has no schema_version table")
            with self._engine.begin() as connection:
                schema.metadata.create_all(connection)
                connection.execute(insert(schema.schema_version).values(version=schema.SCHEMA_VERSION))
        with self._engine.connect() as connection:
            version = connection.execute(select(schema.schema_version.c.version)).scalar_one()
        if version != schema.SCHEMA_VERSION:
            raise DataError(f"{self.path} has schema version {version}, this version reads {schema.SCHEMA_VERSION}")
        if not readonly:
            for table in schema.LATER:
                table.create(self._engine, checkfirst=True)

    # -- writing: collect, then one transaction ----------------------------------------------------------------------

    def add(self, table: Table, rows: Sequence[Row]) -> None:
        """Rows to be inserted by the next :meth:`commit`, replacing rows of the same key."""
        if rows:
            self._pending.append(("insert", table, rows))

    def commit(self) -> None:
        """Write everything collected in one transaction; all of it or, after an error, nothing."""
        if not self._pending:
            return
        with self._fenced() as connection:
            for _, table, rows in self._pending:
                connection.execute(_replace(table), list(rows))
        self._pending.clear()

    def end_session(self, session: str, ended_ns: int) -> None:
        """Note that a session ended in good order."""
        with self._fenced() as connection:
            row = schema.sessions
            connection.execute(update(row).where(row.c.session == session).values(ended_ns=ended_ns))

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction of one's own, not fenced."""
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _fenced(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            if self.fence is not None:
                try:
                    self.fence(connection)
                except TidewrightError:
                    self._pending.clear()  # what a fenced process meant to write must never be
                    raise
            yield connection

    # -- reading -----------------------------------------------------------------------------------------------------

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection for reading."""
        with self._engine.connect() as connection:
            yield connection

    def rows(self, table: Table, session: str) -> list[Row]:
        """All rows of a session in a table, in the order of their keys; none where an old file lacks the table."""
        if table in schema.LATER and not inspect(self._engine).has_table(table.name):
            return []
        with self._engine.connect() as connection:
            query = select(table).where(table.c.session == session).order_by(*table.primary_key.columns)
            return [dict(row._mapping) for row in connection.execute(query)]

    def sessions(self) -> list[Row]:
        """All sessions, oldest first."""
        with self._engine.connect() as connection:
            query = select(schema.sessions).order_by(schema.sessions.c.started_wall_ns)
            return [dict(row._mapping) for row in connection.execute(query)]

    def limit_state(self, account: str) -> Row | None:
        """What the limits of an account remembered last; ``None`` if they never did."""
        if not inspect(self._engine).has_table(schema.limit_states.name):
            return None
        with self._engine.connect() as connection:
            table = schema.limit_states
            row = connection.execute(select(table).where(table.c.account == account)).first()
            return None if row is None else dict(row._mapping)

    def open_orders(self, session: str) -> list[Row]:
        """Orders of a session that are not known to have ended."""
        with self._engine.connect() as connection:
            table = schema.orders
            query = select(table).where(table.c.session == session, table.c.state.in_(_OPEN_STATES))
            query = query.order_by(table.c.created_ns, table.c.client_order_id)
            return [dict(row._mapping) for row in connection.execute(query)]

    def order(self, client_order_id: str) -> Row | None:
        """One order, whatever its state."""
        with self._engine.connect() as connection:
            table = schema.orders
            row = connection.execute(select(table).where(table.c.client_order_id == client_order_id)).first()
            return None if row is None else dict(row._mapping)

    def order_numbers(self, session: str) -> int:
        """How many orders a session has written so far."""
        with self._engine.connect() as connection:
            table = schema.orders
            return int(connection.execute(select(func.count()).where(table.c.session == session)).scalar_one())

    def client_id_of(self, order_id: int) -> str:
        """Client id of the venue's order number, empty if it is not ours."""
        with self._engine.connect() as connection:
            table = schema.orders
            query = select(table.c.client_order_id).where(table.c.order_id == order_id, table.c.order_id != 0)
            found = connection.execute(query).scalar()
            return str(found or "")

    def close(self) -> None:
        """Write what is pending and close the file."""
        try:
            self.commit()
        finally:
            self._engine.dispose()


_STATEMENTS: dict[str, Any] = {}


def _replace(table: Table) -> Any:
    # Built once a table: SQLAlchemy caches the compiled text by the statement's identity.
    if table.name not in _STATEMENTS:
        statement = upsert(table)
        keys = [column.name for column in table.primary_key.columns]
        others = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in keys}
        if table.name == "messages":
            _STATEMENTS[table.name] = insert(table)
        else:
            _STATEMENTS[table.name] = statement.on_conflict_do_update(index_elements=keys, set_=others)
    return _STATEMENTS[table.name]


def _engine(path: Path) -> Engine:
    engine = create_engine(URL.create("sqlite", database=str(path)))

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        # WAL survives a killed process without a disk sync per commit; only a power cut may lose the last ones.
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA busy_timeout=5000")
        cursor.close()

    return engine


def integrity(path: Path) -> str:
    """SQLite's own verdict on a database file: ``"ok"`` if nothing is damaged."""
    engine = _engine(path)
    try:
        with engine.connect() as connection:
            return str(connection.execute(text("PRAGMA integrity_check")).scalar_one())
    finally:
        engine.dispose()
