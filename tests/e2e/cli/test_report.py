"""`td-pinterest report`, and the history next to an audience."""

import fcntl
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from td_pinterest_op.run_history.history_table import COLUMN_TYPES
from tests import guard
from tests.emulators.pinterest import AD_ACCOUNT_ID
from tests.emulators.td.sql import statements
from tests.exporting import Services
from tests.unit.cli.running import Ran, Terminal
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
    for name, type_ in COLUMN_TYPES.items():
        sql = f"ALTER TABLE pinterest_history ADD COLUMN IF NOT EXISTS {name} {type_}"
        session.execute(statements(sql, dialect="trino")[0].sql)
    return "shop.pinterest_history"


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The page to write, in a working folder with a file of statistics and files of other kinds."""
    monkeypatch.chdir(tmp_path)
    Path("stats.json").write_text(json.dumps(statistics()))
    Path("bytes").write_bytes(b"\xff")
    Path("rows.json").write_text('[{"kind": "run"}]')
    Path("deep.json").write_text("[" * 100_000)
    return Path("page.html")


def test_report_is_written_from_a_file(at_terminal: Terminal, page: Path) -> None:
    ran = at_terminal("report", "stats.json", "-o", page)
    assert Ran(code=0, out="", err="Wrote page.html, from 1 run\n") == ran
    guard.check(page.read_text(), "the page")
    assert "1000 people were added." in page.read_text()
    page.unlink()
    assert Ran(code=0, out="", err="") == at_terminal("report", "stats.json", "-o", page, "--quiet")
    assert page.exists()


@pytest.mark.usefixtures("page")
def test_report_to_a_pipe_is_the_page_alone(at_terminal: Terminal) -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as pipe, os.fdopen(write, "wb"):
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 1 << 20)  # holds the whole page
        ran = at_terminal("report", "stats.json", "-o", f"/dev/fd/{write}")
        text = pipe.read1(1 << 20).decode()
    assert Ran(code=0, out="", err=f"Wrote /dev/fd/{write}, from 1 run\n") == ran
    assert text.startswith("<!doctype html>")
    assert text.endswith("</html>")


def test_report_is_written_from_standard_input(
    at_terminal: Terminal, type_input: Callable[[str], None], page: Path
) -> None:
    type_input(json.dumps(statistics()))
    ran = at_terminal("report", "-", "--output", page, "--json")
    assert json.loads(ran.out) == {"file": "page.html", "entries": 1}


def test_report_is_written_from_the_history_without_valid_pinterest_credentials(
    at_terminal: Terminal, history: str, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINTEREST_REFRESH_TOKEN", "b4d s3cr3t token")
    assert at_terminal("report", "--history", history, "--audience", AUDIENCE_ID, "-o", page).code == 0
    assert "Status READY, 4,321 matched people" in page.read_text()
    assert "Others" not in page.read_text()


def test_report_of_several_audiences_is_about_that_of_the_newest_row(
    at_terminal: Terminal, history: str, page: Path
) -> None:
    assert at_terminal("report", "--history", history, "-o", page).code == 0
    assert page.read_text().count("<h1>") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "give either a FILE with the statistics of a run, or --history"),
        (["bytes"], 1, "the file bytes cannot be read: it is not UTF-8 text"),
        (["stats.json", "-o", "stats.json/page.html"], 1, "stats.json cannot be read or written: "),
        (
            ["stats.json", "-o", "stats.json"],
            1,
            "stats.json cannot be read or written: the file exists and is not a report",
        ),
        (["rows.json"], 1, "rows.json does not hold the statistics of a run"),
        (["deep.json"], 1, "deep.json does not hold the statistics of a run"),
        (["--history", "shop"], 2, "--history must name a database and a table"),
        (
            ["--history", "shop.pinterest_history", "--audience", "1' OR 1"],
            2,
            "--audience must be an id, which has only digits",
        ),
        (["--history", "shop.pinterest_history", "--audience", "7"], 1, "no status checks of audience 7"),
    ],
)
@pytest.mark.usefixtures("history", "page")
def test_unreadable_input_of_report_is_an_error(
    at_terminal: Terminal, arguments: list[str], code: int, message: str
) -> None:
    assert at_terminal("report", *arguments).failed(message, code=code)


def test_an_audience_is_shown_with_its_history(at_terminal: Terminal, services: Services, history: str) -> None:
    # The emulator numbers its objects, so the first audience has the id in the history.
    audience_id = services.audience(["anna@shop.example"])
    assert audience_id == AUDIENCE_ID
    ran = at_terminal("audience", audience_id, "--history", history)
    assert re.search(r"AT +WHAT +OUTCOME.* MEMBERS +MATCHED\n.* ok .* 4,?321 +8,?642 +50\.0 %\n", ran.out)
    assert ran.code == 0, ran.err
    names = "time, kind, action, outcome, is_dry_run, ad_account_id, audience_id"
    services.td.warehouse.session("shop", scheduled_time=0).execute(
        f"INSERT INTO pinterest_history ({names}) VALUES "
        f"(1793700000, 'run', 'erase', 'success', 0, '{AD_ACCOUNT_ID}', NULL), "
        f"(1793700001, 'run', 'erase', 'success', 0, '7', NULL), "
        f"(1793700002, 'run', 'add', 'failed', 0, '{AD_ACCOUNT_ID}', '{audience_id}'), "
        f"(1793700003, 'run', 'add', 'success', 1, '{AD_ACCOUNT_ID}', '{audience_id}')"
    )
    shown = json.loads(at_terminal("audience", audience_id, "--history", history, "--json").out)
    assert [
        (row["what"], row["outcome"], row["size"], row["members"], row["match_ratio"]) for row in shown["history"]
    ] == [
        ("add", "dry run", None, None, None),
        ("add", "failed", None, None, None),
        ("erase", "ok", None, None, None),
        ("follow-up", "ok", 4321, 8642, 0.5),
        ("run", "ok", None, None, None),
        ("run", "ok", None, None, None),
    ]
    assert "history" not in json.loads(at_terminal("audience", audience_id, "--json").out)
