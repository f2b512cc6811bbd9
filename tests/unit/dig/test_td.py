"""`td>` and `td_ddl>` against the emulator of Treasure Data."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dig import Result, run
from tests.emulators.td import API_KEY, TreasureData, serve_td

Flow = Callable[..., Result]


@pytest.fixture
def treasure_data() -> Iterator[tuple[TreasureData, str]]:
    """The emulator with a table of three people, and its address."""
    with serve_td() as (state, url):
        state.create("shop", "people", [{"name": "a", "age": 1}, {"name": "b", "age": 2}, {"name": "c", "age": 3}])
        yield state, url


@pytest.fixture
def flow(tmp_path: Path, treasure_data: tuple[TreasureData, str]) -> Flow:
    """Runs a workflow whose `td:` names the database, with the emulator's key as secret."""

    def run_text(text: str, **options: Any) -> Result:
        (tmp_path / "flow.dig").write_text(f"_export: {{td: {{database: shop}}, least: 2}}\n{text}")
        options = {"environ": {"TD_API_SERVER": treasure_data[1]}, "secrets": {"td.apikey": API_KEY}, **options}
        return run(tmp_path / "flow.dig", sleep=lambda _seconds: None, **options)

    return run_text


def test_query_is_issued_with_the_time_of_the_session(flow: Flow, treasure_data: tuple[TreasureData, str]) -> None:
    flow("+q: {td>: {data: select 1 as one}}\n", session_time="2026-01-02")
    issued = next(request for request in treasure_data[0].requests if "/job/issue/" in request.path)
    assert issued.path == "/v3/job/issue/presto/shop"
    assert issued.form["scheduled_time"] == "1767312000"
    assert issued.form["query"] == (
        "-- project_id: 1\n-- project_name: default\n-- workflow_name: flow\n-- session_id: 1\n-- attempt_id: 1\n"
        "-- task_name: +flow+q\nselect 1 as one"
    )
