import pytest

from tidewright.market.errors import DataError, NotFoundError
from tidewright.store import schema
from tidewright.store.database import Database, integrity


def order(number: int, **changes):
    row = {
        "client_order_id": f"tw-s-{number}",
        "session": "s",
        "order_id": 0,
        "side": 0,
        "kind": 0,
        "tif": 3,
        "price_ticks": 100,
        "qty_lots": 5,
        "filled_lots": 0,
        "state": "PENDING_NEW",
        "reason": "",
        "created_ns": number,
        "updated_ns": number,
    }
    return {**row, **changes}


@pytest.fixture
def database(tmp_path):
    base = Database(tmp_path / "session.db")
    yield base
    base.close()


def test_rows_are_there_after_commit_and_not_before(database):
    database.add(schema.orders, [order(1)])
    assert database.open_orders("s") == []
    database.commit()
    assert [row["client_order_id"] for row in database.open_orders("s")] == ["tw-s-1"]


def test_a_row_written_again_replaces_the_old_one(database):
    database.add(schema.orders, [order(1), order(2)])
    database.add(schema.orders, [order(1, state="FILLED", order_id=9)])
    database.commit()
    assert [row["client_order_id"] for row in database.open_orders("s")] == ["tw-s-2"]
    assert database.client_id_of(9) == "tw-s-1"
    assert database.order_numbers("s") == 2


def test_a_failed_commit_writes_nothing(database):
    database.add(schema.orders, [order(1)])
    database.add(schema.orders, [order(2, side=None)])
    with pytest.raises(Exception, match="NOT NULL"):
        database.commit()
    database._pending.clear()
    assert database.order_numbers("s") == 0


def test_the_journal_keeps_equal_messages_apart(database):
    row = {"session": "s", "ts": 1, "direction": "in", "message_type": "t", "body": "{}", "verdict": "", "why": ""}
    database.add(schema.messages, [row, row])
    database.commit()
    assert [found["number"] for found in database.rows(schema.messages, "s")] == [1, 2]


def test_money_of_any_size_comes_back_exact(database):
    database.add(schema.orders, [order(1, price_ticks=2**62 + 1)])
    database.commit()
    assert database.open_orders("s")[0]["price_ticks"] == 2**62 + 1


def test_a_reopened_database_goes_on(tmp_path):
    first = Database(tmp_path / "s.db")
    first.add(schema.orders, [order(1)])
    first.close()
    second = Database(tmp_path / "s.db", readonly=True)
    assert second.order_numbers("s") == 1
    second.close()
    assert integrity(tmp_path / "s.db") == "ok"


def test_a_missing_a_foreign_and_a_newer_file_are_told_apart(tmp_path):
    with pytest.raises(NotFoundError, match="no session database"):
        Database(tmp_path / "none.db", readonly=True)
    (tmp_path / "text.db").write_text("not a database at all, but long enough to be read as one" * 20)
    with pytest.raises(DataError, match="not a session database"):
        Database(tmp_path / "text.db")
    newer = Database(tmp_path / "newer.db")
    with newer._engine.begin() as connection:
        connection.execute(schema.schema_version.update().values(version=99))
    newer.close()
    with pytest.raises(DataError, match="schema version 99"):
        Database(tmp_path / "newer.db")
