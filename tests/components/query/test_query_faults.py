"""What cannot be answered: one line that says why, without the secret, the right exit code, nothing half-written."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest

from components.query.statements import single_select
from components.runtime.data import query_sources
from components.runtime.errors import InputError
from tests.components.query.query_support import VARIABLE, answered, kept, kept_bytes, run_query
from tests.components.query.servers import PASSWORD, free_port
from tests.support import ROOT, executor_input


@pytest.fixture(scope="module")
def sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "taxi.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE trips (id, fare, odd, none)")
        rows = [(row, row / 2 if row % 2 else row, "text" if row == 5000 else row, None) for row in range(6000)]
        database.executemany("INSERT INTO trips VALUES (?, ?, ?, ?)", rows)
    database.close()
    return path


def nothing_is_left(folder: Path) -> bool:
    return list((folder / "out").iterdir()) == []


def test_types_of_sqlite_are_those_of_all_values(sqlite_file: Path, tmp_path: Path) -> None:
    source = {"kind": "sqlite", "path": str(sqlite_file)}
    result = answered(tmp_path / "out", source, "SELECT id, fare, none FROM trips ORDER BY id;\n")
    assert [str(type) for type in kept(result).schema.types] == ["int64", "double", "null"]
    assert kept(result)["fare"].to_pylist()[:4] == [0.0, 0.5, 2.0, 1.5]
    # (The text is far behind the first rows.)
    mixed = run_query(tmp_path / "mixed" / "out", source, "SELECT id, odd FROM trips")
    assert mixed.exit_code == 65
    assert mixed.error == (
        f"sqlite {sqlite_file}: column 'odd' has values of the types integer and text: "
        "cast it in the query to one of them"
    )
    assert nothing_is_left(tmp_path / "mixed")


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("", "no query: say what is asked with sql or sql_file"),
        ("SELECT * FROM nope", "no such table: nope"),
        ("SELECT nope FROM trips", "no such column: nope"),
        ("SELECT * FROM trips WHERE id < 0", "the answer has no rows"),
        ("SELECT 1 AS a, 2 AS a", "two columns are named 'a'"),
        ("SELECT 1; SELECT 2", "one statement at a time"),
        ("DELETE FROM trips", "begins with 'DELETE'"),
        ("WITH old AS (SELECT 1) DELETE FROM trips", "readonly database"),
        ("SELECT abs(-9223372036854775807 - (id > 5000)) AS a FROM trips", "integer overflow"),
        ("SELECT 9007199254740993 AS b UNION ALL SELECT 0.5", "column 'b': Integer value 9007199254740993 is outside"),
    ],
)
def test_queries_that_cannot_be_answered(sql: str, told: str, sqlite_file: Path, tmp_path: Path) -> None:
    before = sqlite_file.read_bytes()
    result = run_query(tmp_path / "out", {"kind": "sqlite", "path": str(sqlite_file)}, sql)
    assert result.exit_code == 65
    assert told in result.error
    assert "Traceback" not in result.stderr
    assert nothing_is_left(tmp_path)
    assert sqlite_file.read_bytes() == before


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELECT * FROM nope", "Table with name nope does not exist"),
        ("SELECT 1 AS a; COPY (SELECT 1) TO '{folder}/stolen.csv'", "the query is no single SELECT"),
        (
            "SELECT CAST(CASE WHEN id = 5000 THEN 'x' ELSE '1' END AS INTEGER) AS a FROM trips",
            "Could not convert string",
        ),
        (
            "SELECT {{'a': 1}} AS pair, INTERVAL 3 DAY AS span",
            "column 'pair' is of type struct<a: int32>, column 'span'",
        ),
        ("SELECT 340282366920938463463374607431768211455::UHUGEINT AS a", "column 'a' is of type UHUGEINT"),
        ("SELECT [1::UHUGEINT] AS a", "column 'a' is of type UHUGEINT[]"),
        ("SELECT '101'::BIT AS a", "column 'a' is of type BIT"),
        ("SELECT '12:00:00+02'::TIMETZ AS a", "column 'a' is of type TIME WITH TIME ZONE"),
        ("SELECT 170141183460469231731687303715884105727::HUGEINT AS a", "column 'a': Decimal value 1701"),
        ("SELECT 'infinity'::DATE AS a", "column 'a': a day is infinite"),
        ("SELECT ['-infinity'::DATE] AS a", "column 'a': a day is infinite"),
        ("SELECT '-infinity'::TIMESTAMP AS a", "column 'a': a moment is infinite"),
        ("SELECT 'infinity'::TIMESTAMPTZ AS a", "column 'a': a moment is infinite"),
    ],
)
def test_queries_that_duckdb_cannot_answer(sql: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "taxi.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE trips AS SELECT range AS id FROM range(6000)")
    result = run_query(tmp_path / "out", {"kind": "duckdb", "path": str(path)}, sql.format(folder=tmp_path))
    assert result.exit_code == 65
    assert told in result.error
    assert nothing_is_left(tmp_path)
    assert not (tmp_path / "stolen.csv").exists()


def test_a_file_that_begins_with_a_mark_of_its_encoding_and_ends_with_a_comment(
    sqlite_file: Path, tmp_path: Path
) -> None:
    file = tmp_path / "trips.sql"
    file.write_text("\ufeffSELECT id FROM trips WHERE id < 3; -- some\n")
    result = answered(tmp_path / "out", {"kind": "sqlite", "path": str(sqlite_file)}, sql_file=str(file))
    assert kept(result).num_rows == 3


@pytest.mark.parametrize("content", [b"", b"id,fare\n1,2\n" * 9, None])
def test_what_is_no_file_of_duckdb(content: bytes | None, sqlite_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "taxi.db"
    path.write_bytes(sqlite_file.read_bytes() if content is None else content)
    result = run_query(tmp_path / "out", {"kind": "duckdb", "path": str(path)}, "SELECT 1 AS a")
    assert result.exit_code == 65
    assert result.error == f"duckdb {path}: is no file of DuckDB: mend source.path or source.kind in ingest.query"


def test_states_of_sqlite_are_told_apart_with_a_log_too(tmp_path: Path) -> None:
    path = tmp_path / "taxi.db"
    states = []
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE trips (id)")
        for number in range(3):
            database.execute("INSERT INTO trips VALUES (?)", [number])
            database.commit()
            result = answered(tmp_path / f"out{number}", {"kind": "sqlite", "path": str(path)}, "SELECT id FROM trips")
            states.append(result.metadata("table")["snapshot"])
    assert len(set(states)) == 3
    assert all("bytes of 20" in state for state in states)


@pytest.mark.parametrize("kind", ["sqlite", "duckdb"])
def test_no_empty_database_is_made(kind: str, tmp_path: Path) -> None:
    result = run_query(tmp_path / "out", {"kind": kind, "path": str(tmp_path / "nope.db")}, "SELECT 1 AS a")
    assert result.exit_code == 65
    assert result.error == f"{kind} {tmp_path}/nope.db: no such file: mend source.path in ingest.query"
    assert not (tmp_path / "nope.db").exists()
    result = run_query(tmp_path / "folder", {"kind": kind, "path": str(tmp_path)}, "SELECT 1 AS a")
    assert result.error == f"{kind} {tmp_path}: no file, but a folder: mend source.path in ingest.query"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ({"kind": "postgres"}, "source.kind is 'postgres', did you mean 'postgresql'?"),
        ({"kind": "postgresql", "host": "h", "database": "d"}, "source.user is missing"),
        ({"kind": "postgresql", "host": "h", "database": "d", "usr": "u"}, "source.usr: postgresql has no such key"),
        ({"kind": "sqlite", "path": 3}, "source.path is 3: expected a text"),
        ({"kind": "iceberg", "table": "city.trips"}, "source.uri is missing"),
        ({"kind": "postgresql", "host": "u:hunter2@127.0.0.1", "database": "d", "user": "u"}, "source.host holds more"),
        ({"kind": "postgresql", "host": "hunter2@127.0.0.1", "database": "d", "user": "u"}, "source.host holds more"),
        ({"kind": "mysql", "host": "127.0.0.1:hunter2", "database": "d", "user": "u"}, "source.host holds more"),
        ({"kind": "trino", "host": "h", "user": "u:hunter2", "catalog": "c"}, "source.user holds more"),
        ({"kind": "postgresql", "host": "h", "database": "dbname=d password=hunter2", "user": "u"}, "source.database"),
        ({"kind": "mysql", "host": "h", "database": "mysql://u:hunter2@h/d", "user": "u"}, "source.database holds"),
        ({"kind": "snowflake", "account": "u:hunter2@a", "user": "u", "database": "d"}, "source.account holds more"),
        ({"kind": "iceberg", "table": "t", "uri": "u:hunter2@h/c"}, "source.uri holds more"),
        ({"kind": "iceberg", "table": "t", "uri": "https://h/c?token=hunter2"}, "source.uri holds more"),
        ({"kind": "delta", "path": "s3://u:hunter2@bucket/lake"}, "source.path holds more"),
        ({"kind": "iceberg"}, "source: an iceberg table is named by path"),
        ({"kind": "snowflake", "account": "a", "user": "u", "database": "d"}, f"no password: set {VARIABLE} in"),
    ],
)
def test_sources_that_are_wrong(source: dict[str, Any], told: str, tmp_path: Path) -> None:
    result = run_query(tmp_path / "out", source, "SELECT 1 AS a", secret=None)
    assert result.exit_code == 65
    assert told in result.error
    assert "hunter2" not in result.stderr + result.stdout


@pytest.mark.parametrize(
    "source",
    [
        {"kind": "postgresql", "host": "::1", "database": "d", "user": "reader@city"},
        {"kind": "postgresql", "host": "/var/run/postgresql", "database": "d", "user": "u"},
        {"kind": "bigquery", "project": "example.org:city"},
        {"kind": "sqlite", "path": "taken@noon/a:b.db"},
        {"kind": "iceberg", "table": "t", "uri": "sqlite:////data/catalog.db", "warehouse": "s3://bucket/a@b"},
    ],
)
def test_sources_that_hold_no_secret(source: dict[str, Any]) -> None:
    assert query_sources.read(source).items() >= source.items()


def test_a_driver_that_is_not_installed(tmp_path: Path) -> None:
    source = {"kind": "mysql", "host": "h", "database": "d", "user": "u"}
    parameters = {"source": source, "sql": "SELECT 1", "sql_file": "", "partition": {}, "variable": VARIABLE}
    asked = executor_input(tmp_path / "out", parameters=parameters, outputs=["table"])
    python = ROOT / ".venv" / "client" / "bin" / "python"
    command = [str(python), "-m", "components.query", "--executor-input", json.dumps(asked)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 65
    assert "mysql d at h: its driver is not installed (pymysql)" in done.stderr
    assert "make query-environment" in done.stderr


@pytest.mark.parametrize(
    "value",
    [f"{sign}infinity'::{kind}" for sign in ("'", "'-") for kind in ("date", "timestamp", "timestamptz")],
)
def test_infinite_days_and_moments_of_postgresql(value: str, postgresql: dict[str, Any], tmp_path: Path) -> None:
    result = run_query(tmp_path / "out", postgresql, f"SELECT {value} AS a")
    assert result.exit_code == 65
    assert "column 'a': a " in result.error
    assert "is infinite, which no feature is: cast or replace it" in result.error
    assert nothing_is_left(tmp_path)


def test_arrays_of_arrays_of_postgresql(postgresql: dict[str, Any], tmp_path: Path) -> None:
    text = "CASE WHEN n > 1 THEN ARRAY['a'] END AS text"
    some = f"SELECT n AS id, ARRAY[n, NULL] AS flat, '{{}}'::int[] AS none, {text}, 1 AS "
    rows = "FROM generate_series(1, 3) AS n ORDER BY n DESC"
    for name, partition in (("whole", None), ("parts", {"column": "id", "parts": 2})):
        result = answered(tmp_path / name, postgresql, f'{some} "c""0" {rows} -- flat', partition=partition)
        found = kept(result).to_pylist()
        if partition:
            found.sort(key=lambda row: -row["id"])
        assert found[0] == {"id": 3, "flat": [3, None], "none": [], "text": ["a"], 'c"0': 1}
        assert found[2]["text"] is None
    nested = run_query(
        tmp_path / "out", postgresql, f"{some} b, CASE WHEN n = 1 THEN ARRAY[[1, 2], [3, 4]] END AS c {rows}"
    )
    assert nested.exit_code == 65
    assert "column 'c' has arrays of arrays, which are no features" in nested.error
    assert list((tmp_path / "out").iterdir()) == []


def test_the_first_and_the_last_days_of_postgresql_are_kept(postgresql: dict[str, Any], tmp_path: Path) -> None:
    days = "SELECT '4713-01-01 BC'::date AS first, '5874897-12-31'::date AS last"
    assert kept(answered(tmp_path / "out", postgresql, days)).num_rows == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELECT * FROM nope", 'relation "nope" does not exist'),
        ("SELECT nope FROM pg_class", 'column "nope" does not exist'),
        ("SELECT 1 / (90000 - number) AS a FROM generate_series(1, 100000) AS number", "division by zero"),
        ("WITH made AS (INSERT INTO kept VALUES (1) RETURNING 1) SELECT * FROM made", "read-only transaction"),
        ("SELECT pg_catalog.lo_create(4711) AS a", "read-only transaction"),
        ("SELECT 1 AS a; SELECT 2", "cannot insert multiple commands"),
        (
            "SELECT '(1,2)'::point AS p, '1 day'::interval AS i, 3::money AS m",
            "column 'p' is of type point, column 'i'",
        ),
        ("SELECT ROW(1, 2) AS r", "column 'r' is of type struct"),
        ("SELECT 1 AS a WHERE false", "the answer has no rows"),
    ],
)
def test_queries_that_postgresql_cannot_answer(sql: str, told: str, postgresql: dict[str, Any], tmp_path: Path) -> None:
    if "kept" in sql:
        _execute(postgresql, "CREATE TABLE IF NOT EXISTS kept (a int)")
    result = run_query(tmp_path / "out", postgresql, sql)
    assert result.exit_code == 65
    assert told in result.error
    assert PASSWORD not in result.stderr + result.stdout
    assert nothing_is_left(tmp_path)


@pytest.mark.parametrize(
    ("changed", "secret", "code", "told"),
    [
        (
            {},
            "wr0ng-secret",
            65,
            f'password authentication failed for user "millrace": put the right password into {VARIABLE}',
        ),
        ({}, None, 65, f"no password supplied: put the right password into {VARIABLE}"),
        ({"database": "nope"}, PASSWORD, 65, 'database "nope" does not exist'),
        ({"host": "no-such-host.invalid"}, PASSWORD, 65, "no such host"),
        ({"sslmode": "require"}, PASSWORD, 65, "server does not support SSL"),
        ({"port": free_port()}, PASSWORD, 75, "Connection refused"),
    ],
)
def test_servers_that_do_not_let_in(
    changed: dict[str, Any], secret: str | None, code: int, told: str, postgresql: dict[str, Any], tmp_path: Path
) -> None:
    result = run_query(tmp_path / "out", postgresql | changed, "SELECT 1 AS a", secret=secret)
    assert result.exit_code == code, result.stderr
    assert told in result.error
    assert len(result.stderr.splitlines()) == 1
    assert (secret or PASSWORD) not in result.stderr + result.stdout
    assert nothing_is_left(tmp_path)


@contextmanager
def cut_off(port: int, after: int) -> Iterator[int]:
    """A port that leads to another one, whose connections are lost after so many bytes of an answer."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    client, _ = listening.accept()
                except OSError:
                    return
                server = socket.create_connection(("127.0.0.1", port))
                threading.Thread(target=copy, args=(client, server, None), daemon=True).start()
                threading.Thread(target=copy, args=(server, client, after), daemon=True).start()

        def copy(source: socket.socket, target: socket.socket, limit: int | None) -> None:
            passed = 0
            try:
                while data := source.recv(65536):
                    target.sendall(data)
                    passed += len(data)
                    if limit is not None and passed > limit:
                        break
            except OSError:
                pass
            for each in (source, target):
                # (A thread that waits for more would keep what is closed alone.)
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]


@pytest.mark.slow
@pytest.mark.parametrize("parts", [None, {"column": "id", "parts": 2}])
def test_a_connection_that_is_lost_on_the_way(
    parts: dict[str, Any] | None, postgresql: dict[str, Any], tmp_path: Path
) -> None:
    sql = "SELECT id, repeat('x', 100) AS text FROM generate_series(1, 200000) AS id"
    with cut_off(postgresql["port"], after=3_000_000) as port:
        result = run_query(tmp_path / "out", postgresql | {"port": port}, sql, partition=parts)
    assert result.exit_code == 75, result.stderr
    assert result.error.endswith("nothing was kept, try again")
    assert PASSWORD not in result.stderr
    assert nothing_is_left(tmp_path)


def test_parts_are_of_one_snapshot_and_lose_no_row(postgresql: dict[str, Any], tmp_path: Path) -> None:
    _execute(postgresql, "CREATE TABLE numbers AS SELECT nullif(n, 7) AS id, n FROM generate_series(-500, 500) AS n")
    result = answered(tmp_path / "out", postgresql, "SELECT * FROM numbers", partition={"column": "id", "parts": 4})
    assert sorted(kept(result)["n"].to_pylist()) == list(range(-500, 501))
    assert result.metadata("table")["files"] == 4
    same = answered(tmp_path / "same", postgresql, "SELECT * FROM numbers", partition={"column": "id", "parts": 4})
    assert kept_bytes(same) == kept_bytes(result)
    assert same.metadata("table")["digest"] == result.metadata("table")["digest"]
    _execute(postgresql, "UPDATE numbers SET n = 501 WHERE n = 500")
    other = answered(tmp_path / "other", postgresql, "SELECT * FROM numbers", partition={"column": "id", "parts": 4})
    assert other.metadata("table")["digest"] != result.metadata("table")["digest"]
    assert other.metadata("table")["snapshot"] != result.metadata("table")["snapshot"]
    wrong = run_query(
        tmp_path / "wrong", postgresql, "SELECT n::text AS id FROM numbers", partition={"column": "id", "parts": 4}
    )
    assert "partition.column 'id' is no column of whole numbers" in wrong.error


@pytest.mark.slow
def test_mariadb_lets_nobody_in_without_its_password_and_nothing_be_written(
    mariadb: dict[str, Any], tmp_path: Path
) -> None:
    wrong = run_query(tmp_path / "wrong" / "out", mariadb, "SELECT 1 AS a", secret="wr0ng-secret")
    assert wrong.exit_code == 65
    assert f"put the right password into {VARIABLE}" in wrong.error
    assert "wr0ng-secret" not in wrong.stderr
    for sql, told in (
        ("SELECT * FROM nope", "Table 'millrace.nope' doesn't exist"),
        ("SELECT 1 AS a; SELECT 2", "error in your SQL syntax"),
        ("SELECT POINT(1, 2) AS p", "column 'p' is no feature"),
        ("SELECT 1 AS a FROM DUAL WHERE 1 = 0", "the answer has no rows"),
    ):
        result = run_query(tmp_path / "out", mariadb, sql)
        assert result.exit_code == 65, sql
        assert told in result.error
        assert nothing_is_left(tmp_path)
    lost = run_query(tmp_path / "out", mariadb | {"port": free_port()}, "SELECT 1 AS a")
    assert lost.exit_code == 75, lost.error
    sql = "SELECT seq, repeat('x', 100) AS text FROM seq_1_to_200000"
    with cut_off(mariadb["port"], after=3_000_000) as port:
        lost = run_query(tmp_path / "out", mariadb | {"port": port}, sql)
    assert lost.exit_code == 75, lost.error
    assert nothing_is_left(tmp_path)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "-- why\nselect 1 ; ",
        "/* a; b */ WITH a AS (SELECT 1) SELECT * FROM a;;",
        "(SELECT 1) UNION SELECT 2",
        "SELECT 1; -- all; rows",
        "SELECT ';-- no' AS x, \"; --\" AS y, $a$; --$a$ AS a; /* all\nrows */ ; -- 'yes",
    ],
)
def test_statements_that_read(sql: str) -> None:
    assert single_select(sql).endswith(("1", "a", "2"))


@pytest.mark.parametrize(
    "sql", ["SELECT 1; SELECT 2", "SELECT ';' AS a -- b; c", "SELECT '; -- a' AS b", "SELECT 'it\\'s; -- x' AS a"]
)
def test_statements_that_stay_as_they_are(sql: str) -> None:
    assert single_select(sql) == sql


@pytest.mark.parametrize("sql", ["", " ; ", "-- only a comment", "DROP TABLE a", "selectx", "/* SELECT */ UPDATE a"])
def test_statements_that_do_not(sql: str) -> None:
    with pytest.raises(InputError):
        single_select(sql)


def _execute(source: dict[str, Any], sql: str) -> None:
    import adbc_driver_postgresql.dbapi as adbc

    login = " ".join(f"{key}={source[key]}" for key in ("host", "port", "user"))
    quoted = PASSWORD.replace("\\", "\\\\").replace("'", "\\'")
    with (
        adbc.connect(f"{login} dbname=postgres password='{quoted}'", autocommit=True) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(sql)
