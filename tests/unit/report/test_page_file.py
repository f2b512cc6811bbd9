import logging
import sys
from datetime import timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest

from td_pinterest_op.cli.report_sources import read_entries
from td_pinterest_op.errors import LimitError
from td_pinterest_op.report import page
from td_pinterest_op.report.page_file import add_run_to_page
from tests.exporting import Services, people
from tests.unit.report.samples import FIRST_DAY, statistics


def test_each_run_adds_itself_to_the_page(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "reports" / "page.html"
    for sent in (100, 200):
        add_run_to_page(path, statistics(sent=sent), error="", now=FIRST_DAY + timedelta(days=sent))
    assert [100, 200] == [run.get_number("records_sent") for run in read_entries(path.read_text(), name="it")]
    assert f"report: {path}" in caplog.text
    assert [path] == list(path.parent.iterdir())
    assert 0o644 == 0o644 & path.stat().st_mode


def test_a_file_of_several_audiences_keeps_all_of_them(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    for day, audience_id in enumerate(("1", "2", "1", None)):
        add_run_to_page(path, statistics(audience_id=audience_id), error="", now=FIRST_DAY + timedelta(days=day))
    assert ["1", "2", "1", ""] == [run.get_text("audience_id") for run in read_entries(path.read_text(), name="it")]
    assert "<h1>2 audiences</h1>" in path.read_text()


@pytest.mark.parametrize(
    ("error", "shown", "hidden"),
    [
        (LimitError("Only 3 records."), "Only 3 records.", "LimitError"),
        # It could quote a row.
        (ValueError("row: ann, 12 Main Street"), "ValueError", "Main Street"),
    ],
)
def test_a_failed_export_is_reported_with_its_error(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, shown: str, hidden: str
) -> None:
    path = tmp_path / "page.html"
    monkeypatch.setattr("td_pinterest_op.export.check_rows", Mock(side_effect=error))
    settings = {"action": "add_people_to_current_audience", "audience_id": services.audience(), "report": str(path)}
    with pytest.raises(type(error)):
        services.export(settings, job_id=services.job(people(3)))
    assert "The last run failed" in path.read_text()
    assert shown in path.read_text()
    assert hidden not in path.read_text()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\xffmine", " to {path}: the file already exists, but is not a report of td_pinterest_op"),
        (
            b'<template id="td-pinterest-report">half of it</template>',
            ": {path} cannot be read as export statistics (JSON",
        ),
        (b'<template id="td-pinterest-report">[]</template>', ": {path} contains no export statistics"),
    ],
)
def test_a_file_that_is_not_a_readable_report_is_not_overwritten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes, why: str
) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(content)
    add_run_to_page(path, statistics(), error="", now=FIRST_DAY)
    assert content == path.read_bytes()
    assert f"no report was written{why.format(path=path)}" in caplog.text


def test_a_missing_package_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(sys.modules, "td_pinterest_op.report.page")
    monkeypatch.setitem(sys.modules, "jinja2", None)
    add_run_to_page(tmp_path / "page.html", statistics(), error="", now=FIRST_DAY)
    assert "no report was written: the Python package jinja2 is not installed" in caplog.text


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    add_run_to_page(tmp_path / "file" / "page.html", statistics(), error="", now=FIRST_DAY)
    assert [logging.WARNING] == [record.levelno for record in caplog.records]


def test_an_unexpected_error_in_the_report_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(page, "render_page", Mock(side_effect=KeyError("ann, 12 Main Street")))
    add_run_to_page(tmp_path / "page.html", statistics(), error="", now=FIRST_DAY)
    assert "no report was written: KeyError at " in caplog.text
    assert "Main Street" not in caplog.text
