"""`td-pinterest sql`: the warehouse runs what it prints, with the operator's results."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from td_pinterest_op.identifiers.identifier_types import CUSTOMER_LIST_TYPES, join_with_or
from tests.emulators.td.sql import statements
from tests.exporting import Services, digest
from tests.unit.cli.running import Terminal

ROWS: list[dict[str, Any]] = [
    {"Mail": " Ann@shop.example", "maid": None, "customer": 1},
    {"Mail": "nobody", "maid": "5eed0001-aaaa-4bbb-8ccc-000000000001", "customer": 2},
    {"Mail": None, "maid": None, "customer": 3},
]
DEVICE = digest("5eed0001-aaaa-4bbb-8ccc-000000000001")
QUERY = 'SELECT "Mail", maid, customer FROM people -- everybody;\n;\n'
COLUMNS = "Mail=email,maid,customer"


@pytest.fixture(autouse=True)
def query(services: Services, tmp_path: Path) -> Path:
    services.td.create("shop", "people", ROWS)
    file = tmp_path / "people.sql"
    file.write_text(QUERY)
    return file


def run_statement(services: Services, statement: str) -> list[tuple[Any, ...]]:
    """Run a statement in the emulated warehouse and return its rows."""
    (made,) = statements(statement, dialect="trino")
    return services.td.warehouse.session("shop", scheduled_time=0).execute(made.sql).fetchall()


@pytest.mark.parametrize("asks", [True, False], ids=["the warehouse", "--columns"])
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["hashed"], [(digest("ann@shop.example"), None, 1), (None, DEVICE, 2), (None, None, 3)]),
        (["rejected"], [("2", "Mail", "not_an_email", 0), ("3", "", "null", 0)]),
        (["rejected", "--key", "CUSTOMER"], [("2", "Mail", "not_an_email", 0), ("3", "", "null", 0)]),
        (
            ["control", "--percent", "50", "--salt", "it's", "--by", "customer"],
            [("1", "sent"), ("2", "sent"), ("3", "control")],
        ),
    ],
)
def test_printed_statement_runs_in_the_warehouse(
    at_terminal: Terminal, services: Services, query: Path, arguments: list[str], asks: bool, expected: list[Any]
) -> None:
    of_columns = ["--database", "shop", "--columns", "Mail=email"] if asks else ["--columns", COLUMNS]
    ran = at_terminal("sql", *arguments, "--query", query, *of_columns, "--quiet")
    assert (ran.code, ran.err) == (0, "")
    assert sorted(expected, key=str) == sorted(run_statement(services, ran.out), key=str)
    jobs = services.td.jobs.all()
    assert [job.query.rstrip().endswith("LIMIT 0") for job in jobs] == [True] * asks
    assert services.pinterest.calls.all() == []


def test_array_column_is_recognised_from_the_warehouse(at_terminal: Terminal, services: Services) -> None:
    text = "SELECT ARRAY['a@b.cc', 'x', NULL] AS email"
    ran = at_terminal("sql", "hashed", "--query", text, "--database", "shop", "--quiet")
    assert run_statement(services, ran.out) == [([digest("a@b.cc")],)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["hashed"], "name the query's columns with --columns, or give --database to ask the warehouse for them"),
        (
            ["hashed", "--columns", "mail=phone"],
            f"--columns: the warehouse can hash only {join_with_or(CUSTOMER_LIST_TYPES)}",
        ),
        (["rejected", "--columns", COLUMNS, "--key", "id"], "--key: the query has no column id; it has Mail, maid, "),
        (["rejected", "--columns", "email"], "the query selects only identifiers"),
        (["control", "--columns", COLUMNS], "percent: must be a number"),
        (
            ["control", "--columns", COLUMNS, "--percent", "51", "--salt", "x"],
            "percent: must be a number from 0.01 to 50",
        ),
        (
            ["control", "--columns", COLUMNS, "--percent", "5", "--salt", "x"],
            "use --by to name the column that identifies each person",
        ),
        (["control", "--columns", "email", "--percent", "5", "--salt", "x", "--by", "id"], "--by: the query has no co"),
        (["hashed", "--columns", COLUMNS, "--key", "id"], "--key is an option of `sql rejected`: leave it out"),
        (["rejected", "--columns", COLUMNS, "--by", "id"], "--by is an option of `sql control`: leave it out"),
        (
            ["hashed", "--database", "shop", "--columns", COLUMNS],
            "--columns has a name without =TYPE: with --database,",
        ),
    ],
)
def test_wrong_usage_is_reported(at_terminal: Terminal, query: Path, arguments: Sequence[str], said: str) -> None:
    assert at_terminal("sql", *arguments, "--query", query).failed(said, code=2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--columns", "name,age"], "the query of --query (columns: name varchar, age varchar) cannot be exported"),
        (["--database", "shop", "--columns", "nothing=email"], 'there is no column "nothing"'),
    ],
)
def test_query_without_identifiers_is_an_error(
    at_terminal: Terminal, query: Path, arguments: Sequence[str], said: str
) -> None:
    assert at_terminal("sql", "hashed", "--query", query, *arguments, "--quiet").failed(said)
    assert at_terminal("sql", "hashed", "--query", "SELECT 1; SELECT 2", *arguments).failed("several statements")
    assert at_terminal("sql", "hashed", "--query", "DROP TABLE people", *arguments).failed("--query is no query")


@pytest.mark.parametrize("kind", ["hashed", "rejected"])
def test_column_whose_name_a_terminal_would_obey_is_an_error_that_shows_it_escaped(
    at_terminal: Terminal, query: Path, kind: str
) -> None:
    query.write_text('SELECT "Mail" AS email, customer AS "a\x1b[2K" FROM people')
    ran = at_terminal("sql", kind, "--query", query, "--database", "shop", "--quiet")
    assert ran.failed('the name of the query\'s column "a\\x1b[2K" has a control or invisible character')


def test_control_statement_without_a_key_column_uses_the_digest(
    at_terminal: Terminal, services: Services, query: Path
) -> None:
    query.write_text('SELECT "Mail" AS email FROM people')
    ran = at_terminal("sql", "control", "--query", query, "--columns", "email", "--percent", "50", "--salt", "s")
    assert {key for key, _ in run_statement(services, ran.out)} == {digest("ann@shop.example")}


def test_treasure_data_key_is_needed_only_with_a_database(
    at_terminal: Terminal, query: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TD_API_KEY", "PINTEREST_CLIENT_ID", "PINTEREST_CLIENT_SECRET", "PINTEREST_REFRESH_TOKEN"):
        monkeypatch.delenv(name)
    assert at_terminal("sql", "hashed", "--query", query, "--columns", COLUMNS).code == 0
    assert at_terminal("sql", "hashed", "--query", query, "--database", "shop").failed("TD_API_KEY not found")
