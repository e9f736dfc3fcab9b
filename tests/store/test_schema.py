"""The tables are described three times (Core, text, migrations), each for a reason; these say the same."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from afterbay.core.decision import Attempt, Record
from afterbay.store import database as database_module
from afterbay.store import migrations, statements
from afterbay.store.database import HEAD, Database, open_database
from afterbay.store.errors import StoreError
from afterbay.store.reading import engine
from afterbay.store.rows import attempt_rows, request_row
from afterbay.store.schema import attempts, metadata, requests

DIALECT = sqlite.dialect()


def words(sql: str) -> str:
    return re.sub(r"\s+", " ", sql).replace("( ", "(").replace(" )", ")").strip(" ;")


def migrated(path: Path) -> Database:
    database = Database(path)
    migrations.upgrade(database, None)
    return database


def tables(database: Database) -> dict[str, object]:
    """Columns, foreign keys and indexes of all tables but Alembic's own."""
    with closing(database.connect()) as connection:
        found = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: [
                sorted(map(str, connection.execute(f"PRAGMA {kind}({name})").fetchall()))
                for kind in ("table_xinfo", "foreign_key_list", "index_list")
            ]
            for name in found
            if name != "alembic_version"
        }


def test_the_sql_file_is_what_core_compiles() -> None:
    expected = []
    for table in metadata.sorted_tables:
        expected.append(str(CreateTable(table).compile(dialect=DIALECT)))
        expected += [str(CreateIndex(index).compile(dialect=DIALECT)) for index in table.indexes]
    text = Path(database_module.__file__).with_name("schema.sql").read_text("utf-8")
    code = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    assert [words(statement) for statement in code.split(";\n")] == [words(statement) for statement in expected]


@pytest.mark.parametrize(
    ("table", "left_out", "text"),
    [(requests, "seq", statements.INSERT_REQUESTS), (attempts, "", statements.INSERT_ATTEMPTS)],
)
def test_the_inserts_are_what_core_compiles(table: sa.Table, left_out: str, text: str) -> None:
    values: list[dict[str, sa.BindParameter[object]]]
    columns = [column.name for column in table.c if column.name != left_out]
    for rows in (1, 3):
        values = [{name: sa.bindparam(f"{name}{row}") for name in columns} for row in range(rows)]
        insert = sqlite.insert(table).values(values).on_conflict_do_nothing()
        assert words(str(insert.compile(dialect=DIALECT))) == words(statements.insert(text, len(columns), rows))


def test_rows_have_a_value_for_each_column() -> None:
    record = Record("req_1", 0.0, "chat", "openai_chat", attempts=[Attempt(1, "a/b", "primary", 0.0)])
    assert len(request_row(record)) == len(requests.c) - 1
    assert len(attempt_rows(record)[0]) == len(attempts.c)


def test_a_migrated_database_equals_a_new_one(tmp_path: Path) -> None:
    assert tables(migrated(tmp_path / "old.db")) == tables(open_database(f"sqlite:///{tmp_path}/new.db"))


def test_alembic_finds_nothing_to_change(tmp_path: Path) -> None:
    with engine(migrated(tmp_path / "old.db")).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_head_is_the_newest_script() -> None:
    assert migrations.newest() == HEAD


def test_a_failing_migration_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(tmp_path / "a.db")

    def fail(*_: object) -> None:
        raise RuntimeError("half way")

    monkeypatch.setattr("alembic.op.create_index", fail)
    with pytest.raises(RuntimeError, match="half way"):
        migrations.upgrade(database, None)
    assert tables(database) == {}


def test_a_newer_database_is_refused_with_a_remedy(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/a.db")
    with closing(database.connect()) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="newer release"):
        database.prepare()


def test_an_older_database_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = open_database(f"sqlite:///{tmp_path}/a.db")
    asked: list[str | None] = []
    monkeypatch.setattr(migrations, "upgrade", lambda _, found: asked.append(found))
    with closing(database.connect()) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")
    database.prepare()
    assert asked == ["0000"]


def test_serving_imports_neither_sqlalchemy_nor_alembic(tmp_path: Path) -> None:
    code = f"""
import sys
from afterbay.store.database import open_database
from afterbay.store.keys import SqliteKeys
from afterbay.store.lookup import one_request
from afterbay.store.request_log import SqliteRequestLog
for _ in range(2):
    database = open_database("sqlite:///{tmp_path}/a.db")
log = SqliteRequestLog(database, retention_s=60.0)
log.start(); log.close()
SqliteKeys(database).create("a")
one_request(database, "req_1")
print([name for name in ("sqlalchemy", "alembic") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_foreign_tables_are_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(StoreError, match="tables that are not afterbay's"):
        open_database(f"sqlite:///{tmp_path}/a.db")


def test_a_database_whose_tables_are_not_those_of_its_revision_is_refused_in_a_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    database = open_database(f"sqlite:///{tmp_path}/old.db")
    with closing(database.connect()) as connection:
        connection.execute("DROP TABLE audit")
        connection.execute("UPDATE alembic_version SET version_num = '0008'")
        connection.execute("ALTER TABLE requests DROP COLUMN compliance")
    before = tables(database)
    with pytest.raises(StoreError, match=r"no such table: audit.*It is as it was"):
        database.prepare()
    assert tables(database) == before
    assert not caplog.records, "Alembic's own words are for nobody here"
