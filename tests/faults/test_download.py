"""Treasure Data's result breaking off: the download resumes, or ends with an error before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest

from td_pinterest_op.errors import ExportError, TreasureDataError
from tests.emulators.td.faults import Fault
from tests.exporting import NO_REASONS, digests, people
from tests.faults.conftest import Stage

ROWS = 3000
RESULT = "/v3/job/result/"


def add(stage: Stage, job_id: str) -> tuple[str, dict[str, Any]]:
    """Add the job's people to a new, empty audience; returns its id and the statistics."""
    audience_id = stage.audience([], name="Shoppers")
    stats = stage.export({"action": "add_people_to_current_audience", "audience_id": audience_id}, job_id=job_id)
    return audience_id, stats


@pytest.fixture(scope="module")
def rows() -> list[str]:
    return people(ROWS)


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("with_length", [True, False], ids=["with length", "without length"])
@pytest.mark.parametrize("times", [1, 3], ids=["once", "three times"])
def test_a_stream_that_is_cut_off_is_resumed(
    stage: Stage, rows: list[str], fraction: float, with_length: bool, times: int
) -> None:
    td = stage.services.td
    job_id = stage.services.job(rows)
    td.faults.add(Fault(kind="cut", path=RESULT, after_fraction=fraction, with_length=with_length, times=times))
    td.requests.clear()
    audience_id, stats = add(stage, job_id)
    assert digests(ROWS) == stage.pinterest.members_of_audience(audience_id)
    assert {"read": ROWS, "valid": ROWS, "invalid": 0, "invalid_by_reason": NO_REASONS} == stats["rows"]
    first, *more = td.calls("GET", RESULT)
    assert "Range" not in first.headers
    assert more
    assert all("Range" in request.headers for request in more)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="status", status=503, path=RESULT, times=2),
        Fault(kind="status", status=429, path=RESULT, times=2),
        Fault(kind="reset", path=RESULT, times=2),
        Fault(kind="lost", path="/v3/job/show/", times=2),
        Fault(kind="status", status=429, path="/v3/job/status/", times=2),
    ],
    ids=lambda fault: f"{fault.kind} {fault.status if fault.kind == 'status' else ''} {fault.path}",
)
def test_a_treasure_data_that_fails_twice_is_asked_again(stage: Stage, rows: list[str], fault: Fault) -> None:
    job_id = stage.services.job(rows)
    stage.services.td.faults.add(fault)
    audience_id, _ = add(stage, job_id)
    assert digests(ROWS) == stage.pinterest.members_of_audience(audience_id)


def test_a_server_that_gives_the_whole_result_instead_of_a_part_is_understood(stage: Stage, rows: list[str]) -> None:
    td = stage.services.td
    job_id = stage.services.job(rows)
    td.faults.add(Fault(kind="cut", path=RESULT, after_fraction=0.5))
    td.ignore_range = True
    try:
        audience_id, _ = add(stage, job_id)
    finally:
        td.ignore_range = False
    assert digests(ROWS) == stage.pinterest.members_of_audience(audience_id)


def test_a_job_that_claims_more_rows_than_it_serves_is_an_error_with_both_numbers(
    stage: Stage, rows: list[str]
) -> None:
    job_id = stage.services.td.add_job(
        columns=[("email", "varchar")], rows=[(row,) for row in rows], num_records=ROWS + 7
    )
    with pytest.raises(TreasureDataError, match=rf"{ROWS} of {ROWS + 7} rows came.*nothing was sent"):
        add(stage, job_id)
    assert [] == stage.pinterest.calls.writes()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(kind="cut", path=RESULT, after_bytes=0, with_length=True, times=1000),
        Fault(kind="cut", path=RESULT, after_bytes=0, with_length=False, times=1000),
        Fault(kind="reset", path=RESULT, times=1000),
        Fault(kind="status", status=500, path=RESULT, times=1000),
    ],
    ids=["cut with length", "cut without length", "reset", "500"],
)
def test_a_result_that_never_comes_is_an_error_before_anything_is_sent(
    stage: Stage, rows: list[str], fault: Fault
) -> None:
    job_id = stage.services.job(rows)
    stage.services.td.faults.add(fault)
    with pytest.raises(ExportError) as raised:
        add(stage, job_id)
    assert TreasureDataError is raised.type
    assert job_id in str(raised.value)
    assert [] == stage.pinterest.calls.writes()
