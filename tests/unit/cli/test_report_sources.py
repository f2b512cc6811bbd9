import contextlib
import csv
import io
import json
import time
from datetime import datetime

import pytest

from td_pinterest_op.cli.report_sources import read_entries
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.report.page import render_page
from td_pinterest_op.run_history.table import FAILED, FOLLOW_UP, RUN, SUCCESS, flatten
from tests.unit.report.samples import AUDIENCE_ID, FIRST_DAY, follow_up, run, statistics

STATUS = {
    "checked_at": "2026-11-02T07:00:00Z",
    "audiences": [{"audience_id": AUDIENCE_ID, "audience_name": "Readers", "status": "READY", "size": 900}],
}
LOG = """2026-11-25 07:00:02 +0000 [INFO] (0017@[0:default]+pinterest_export+export): py>: td_pinterest_op.export
2026-11-25 07:00:03,512 INFO td_pinterest_op 0.2.0
2026-11-25 07:01:10,100 {what}: {json}
2026-11-25 07:01:11 +0000 [ERROR] (0017@[0:default]+pinterest_export+export): Task failed with unexpected error: Python
command failed with code 1
Error messages from python: Pinterest refused the token. Ask its owner for a new one (AccountError)
\tfrom Traceback (most recent call last):
"""


def as_csv() -> str:
    rows = [
        {"kind": "run", "time": FIRST_DAY.timestamp(), **flatten(statistics())},
        {"kind": "follow-up", "time": FIRST_DAY.timestamp() + 86400, "audience_size": 900},
    ]
    rows[0]["rows_invalid_by_reason"] = json.dumps(rows[0]["rows_invalid_by_reason"])
    file = io.StringIO()
    writer = csv.DictWriter(file, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (json.dumps(statistics()), [RUN]),
        (json.dumps({"pinterest": statistics(), "td": {"last_job_id": "1"}}, indent=2), [RUN]),
        (json.dumps({"pinterest_status": STATUS}), [FOLLOW_UP]),
        (json.dumps(STATUS), [FOLLOW_UP]),
        (json.dumps([{"kind": "run", "time": 2}, {"kind": "follow-up", "time": 1}]), [FOLLOW_UP, RUN]),
        (json.dumps(statistics()) + "\n" + json.dumps(statistics()) + "\n", [RUN, RUN]),
        (LOG.format(what="INFO statistics", json=json.dumps(statistics())), [RUN]),
        ("[INFO] +export\n" + LOG.format(what="INFO statistics", json=json.dumps(statistics())), [RUN]),
        (as_csv(), [RUN, FOLLOW_UP]),
        (render_page([run(0), follow_up(0), run(1)], now=FIRST_DAY), [RUN, FOLLOW_UP, RUN]),
    ],
    ids=["statistics", "store", "status store", "status", "rows", "lines", "log", "log with a bracket", "csv", "page"],
)
def test_statistics_are_read_in_every_form_in_which_they_are_stored(text: str, kinds: list[str]) -> None:
    read = read_entries(text, name="it")
    assert kinds == [run.kind for run in read]
    assert {SUCCESS} == {run.outcome for run in read}


def test_the_log_of_a_failed_run_gives_the_figures_and_the_error() -> None:
    (run,) = read_entries(
        LOG.format(what="ERROR statistics of the failed run", json=json.dumps(statistics())), name="it"
    )
    assert FAILED == run.outcome
    assert "Pinterest refused the token. Ask its owner for a new one" == run.get_text("error")
    assert run.at == datetime(2026, 11, 25, 7, 1, 10).astimezone()


def test_log_of_several_audiences_gives_each_its_own_error() -> None:
    def lines(name: str, error: str) -> str:
        begin = f"2026-11-25 07:01:10,100 ERROR {name}: "
        figures = f"{begin}statistics of the failed run: {json.dumps(statistics())}\n"
        return (
            f"{figures}{begin}{error} (AudienceError). Who must act: the workflow's author. Look.\n"
            if error
            else figures
        )

    gate = "Error messages from python: 2 of 3 audiences failed (EntriesError)\n\tfrom Traceback"
    log = lines("a: b", "") + lines("vip", "there is no\n    audience 7") + lines("b", "") + gate
    errors = [run.get_text("error") for run in read_entries(log, name="it")]
    assert ["2 of 3 audiences failed", "there is no\naudience 7", "2 of 3 audiences failed"] == errors


def test_a_page_gives_the_entries_it_was_made_from() -> None:
    made_of = [run(0), follow_up(0), run(1, error="It failed.")]
    again = read_entries(render_page(made_of, now=FIRST_DAY), name="it")
    assert [run.at for run in made_of] == [run.at for run in again]
    assert [run.outcome for run in made_of] == [run.outcome for run in again]
    assert [run.get_number("records_sent") for run in made_of] == [run.get_number("records_sent") for run in again]
    assert render_page(made_of, now=FIRST_DAY) == render_page(again, now=FIRST_DAY)


@pytest.mark.parametrize(
    ("begin", "unit"),
    [
        ("", "x"),
        ("", "2026-11-25 07:00:03 "),
        ("", "statistics: {"),
        ("", "statistics of the failed run: {}\n"),
        ("statistics of the failed run: {}\n", "Error messages from python: x ("),
        ("", "2026-11-25 07:01:10,100 ERROR a: statistics of the failed run: {}\n"),
        ("", "{}\n"),
        ("", " "),
        ("", "["),
        ("", '<template id="td-pinterest-report">'),
        ('<template id="td-pinterest-report">', "&#9"),
        ("kind\n", "a,"),
    ],
)
def test_a_text_of_a_megabyte_is_read_in_seconds(begin: str, unit: str) -> None:
    text = begin + unit * (1_000_000 // len(unit))
    before = time.process_time()
    with contextlib.suppress(SettingsError):
        read_entries(text, name="notes.txt")
    assert time.process_time() - before < 20


@pytest.mark.parametrize("text", ["", "hello", "{", "[]", "{}", "[1]", '{"rows": 3, "kind": []', "a,b\n1,2\n"])
def test_a_text_without_statistics_is_an_error_that_names_its_file(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^notes\.txt "):
        read_entries(text, name="notes.txt")
