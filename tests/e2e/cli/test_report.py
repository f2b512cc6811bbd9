"""`td-pinterest report`, and the history beside an audience."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from td_pinterest_op.history_columns import COLUMNS
from tests import guard
from tests.emulators.td.sql import statements
from tests.exporting import Services
from tests.unit.cli.running import Terminal
from tests.unit.report.samples import AUDIENCE_ID, statistics

ROW = {"kind": "run", "session_uuid": "s", "attempt_id": "1", "audience_id": AUDIENCE_ID, "audience_name": "Readers"}


@pytest.fixture
def history(services: Services) -> str:
    """A table with two runs, a follow-up, and a run of another audience."""
    rows: list[dict[str, Any]] = [
        ROW | {"time": 1_793_516_400, "records_sent": 100, "rows_read": 110, "rows_invalid": 10},
        ROW | {"time": 1_793_602_800, "session_uuid": "t", "records_sent": 120, "rows_read": 130, "rows_invalid": 10},
        ROW
        | {"time": 1_793_610_000, "kind": "follow-up", "audience_status": "READY", "audience_size": 4321}
        | {"members": 8642, "match_ratio": 0.5},
        ROW | {"time": 1_793_610_000, "session_uuid": "u", "audience_id": "99", "audience_name": "Others"},
    ]
    names = {name: None for row in rows for name in row}
    services.td.create("shop", "pinterest_history", [names | row for row in rows])
    session = services.td.warehouse.session("shop", scheduled_time=0)
    for column in COLUMNS:
        kind = "varchar" if column.type == "json" else column.type
        sql = f"ALTER TABLE pinterest_history ADD COLUMN IF NOT EXISTS {column.name} {kind}"
        session.execute(statements(sql, dialect="trino")[0].sql)
    return "shop.pinterest_history"


def test_a_report_is_written_from_a_file(at_terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "stats.json").write_text(json.dumps(statistics()))
    output = tmp_path / "page.html"
    ran = at_terminal("report", tmp_path / "stats.json", "-o", output)
    assert (0, f"Wrote {output}, from 1 run\n", "") == (ran.code, ran.out, ran.err)
    guard.check(output.read_text(), "the page")
    assert "1,000 people are on their way to Pinterest" in output.read_text()


def test_a_report_is_written_from_standard_input(
    at_terminal: Terminal, types: Callable[[str], None], tmp_path: Path
) -> None:
    types(json.dumps(statistics()))
    ran = at_terminal("report", "-", "--output", tmp_path / "page.html", "--json")
    assert {"file": str(tmp_path / "page.html"), "entries": 1} == json.loads(ran.out)


def test_a_report_is_written_from_the_history(at_terminal: Terminal, history: str, tmp_path: Path) -> None:
    output = tmp_path / "page.html"
    assert 0 == at_terminal("report", "--history", history, "--audience", AUDIENCE_ID, "-o", output).code
    text = output.read_text()
    assert "The audience is ready: about 4,321 matched people" in text
    assert "Others" not in text


def test_a_history_of_several_audiences_needs_one_to_be_named(
    at_terminal: Terminal, history: str, tmp_path: Path
) -> None:
    ran = at_terminal("report", "--history", history, "-o", tmp_path / "page.html")
    assert 1 == ran.code
    assert "say which one with --audience" in ran.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "give a FILE with statistics, or --history"),
        (["missing.json"], 1, "missing.json cannot be read: No such file"),
        (["--history", "shop"], 2, "--history takes a database and a table"),
        (["--history", "shop.x'y"], 2, "--history takes a database and a table"),
        (["--history", "shop.pinterest_history", "--audience", "1' OR 1"], 2, "--audience must be the digits"),
        (["--history", "shop.pinterest_history", "--audience", "7"], 1, "has no rows of this audience"),
    ],
)
@pytest.mark.usefixtures("history")
def test_what_cannot_be_reported_is_said(at_terminal: Terminal, arguments: list[str], code: int, message: str) -> None:
    ran = at_terminal("report", *arguments)
    assert code == ran.code
    assert message in ran.err


def test_a_file_that_is_not_text_is_named(at_terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "stats.json").write_bytes(b"\xff")
    ran = at_terminal("report", tmp_path / "stats.json")
    assert (1, "") == (ran.code, ran.out)
    assert "stats.json cannot be read: it is not UTF-8 text" in ran.err


def test_a_package_that_is_not_installed_is_named(
    at_terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stats.json").write_text(json.dumps(statistics()))
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, "td_pinterest_op.report.page", raising=False)
    assert at_terminal("report", tmp_path / "stats.json", "-o", tmp_path / "page.html").failed(
        "the Python package jinja2 is not installed: pip install 'td_pinterest_op[cli,report]'"
    )
    assert not (tmp_path / "page.html").exists()


def test_nothing_is_said_of_a_page_when_quiet(at_terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "stats.json").write_text(json.dumps(statistics()))
    ran = at_terminal("report", tmp_path / "stats.json", "-o", tmp_path / "page.html", "--quiet")
    assert (0, "", "") == (ran.code, ran.out, ran.err)
    assert (tmp_path / "page.html").exists()


def test_a_page_that_cannot_be_written_is_an_error(at_terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "stats.json").write_text(json.dumps(statistics()))
    ran = at_terminal("report", tmp_path / "stats.json", "-o", tmp_path / "no" / "page.html")
    assert 1 == ran.code
    assert "cannot be written: No such file or directory" in ran.err


def test_the_history_of_an_audience_stands_beside_its_present(
    at_terminal: Terminal, services: Services, history: str
) -> None:
    # The emulator numbers what it makes: the first audience is that of the history.
    audience_id = services.audience(["anna@shop.example"])
    assert AUDIENCE_ID == audience_id
    ran = at_terminal("audience", audience_id, "--history", history)
    assert re.search(r"WHEN +.* MEMBERS +MATCHED\n.* 4,?321 +8,?642 +50 %\n", ran.out)
    assert 0 == ran.code, ran.err
    shown = json.loads(at_terminal("audience", audience_id, "--history", history, "--json").out)
    assert [("follow-up", 4321, 8642, 0.5), ("run", None, None, None), ("run", None, None, None)] == [
        (row["what"], row["size"], row["members"], row["match_ratio"]) for row in shown["history"]
    ]
    assert "history" not in json.loads(at_terminal("audience", audience_id, "--json").out)
