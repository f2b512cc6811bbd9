"""`td-pinterest rehearse`: its verdicts match the emulator's switches, and it changes nothing of the user."""

import json
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from td_pinterest_op.cli.commands.rehearse import build_advice
from td_pinterest_op.cli.rehearse.rehearsal import STEPS, RehearsalFacts
from tests import guard
from tests.campaigns import campaign, select_rows
from tests.clock import FakeTime
from tests.emulators.pinterest import AD_ACCOUNT_ID, USER, Call, Fault, Reset, When
from tests.emulators.pinterest.like import switches_like
from tests.exporting import Services, serve_both
from tests.unit.cli.running import Ran, Terminal

# What the emulator does without any switch.
PLAIN: dict[str, Any] = {
    "refresh_rotates": False,
    "old_refresh_token_lives": True,
    "list_without_records": False,
    "records_v2": True,
    "largest_batch": 100_000,
    "batch_too_large_status": None,
    "batches_at_once": 8,
    "list_readable_seconds": 0.0,
    "list_listed_seconds": 0.0,
    "move_obeyed": True,
    "move_seconds": 0.0,
    "removed_readable": True,
    "removed_again": True,
}
# Switches, and the facts that follow.
SWITCHES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"rotate_refresh_tokens": True}, {"refresh_rotates": True, "old_refresh_token_lives": False}),
    ({"renew_refresh_tokens": True}, {"refresh_rotates": True, "old_refresh_token_lives": True}),
    ({"records_required": False}, {"list_without_records": True}),
    ({"takes_rows": False}, {"records_v2": False}),
    ({"max_records": 60_000}, {"largest_batch": 50_000, "batch_too_large_status": 413}),
    ({"max_records": 20_000, "max_records_answer": "400"}, {"largest_batch": 20_000, "batch_too_large_status": 400}),
    ({"largest_body": 2_000_000}, {"largest_batch": 20_000}),
    ({"new_list_missing_seconds": 3}, {"list_readable_seconds": 3.0}),
    ({"listing_lag_seconds": 3}, {"list_listed_seconds": 3.0}),
    ({"listing_lag_seconds": 600}, {"list_listed_seconds": None}),
    ({"moves_rules": False}, {"move_obeyed": False, "move_seconds": None}),
    ({"refuses_moves": True}, {"move_obeyed": False, "move_seconds": None}),
    ({"move_lag_seconds": 2}, {"move_seconds": 2.0}),
    ({"removed_audiences": "gone"}, {"removed_readable": False}),
    ({"second_remove": "404"}, {"removed_again": False}),
    # The emulator really delays batches with this switch.
    ({"batches_at_once": 2}, {"batches_at_once": 2}),
]


@pytest.fixture
def rehearse(
    at_terminal: Terminal, services: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Any]:
    """Runs the command without its question, on the emulators' clock; checks that no audience of it remains."""
    monkeypatch.setattr("td_pinterest_op.cli.connection.SYSTEM_TIMING", services.time.timing)
    monkeypatch.setenv("PINTEREST_AD_ACCOUNT_ID", AD_ACCOUNT_ID)
    monkeypatch.chdir(tmp_path)
    yield lambda *arguments: at_terminal("rehearse", "--yes", *arguments)
    assert remaining_audiences(services) == []


def remaining_audiences(services: Services) -> list[str]:
    return [
        audience.name
        for audience in services.pinterest.audiences.values()
        if not audience.removed and audience.name.startswith("td_pin")
    ]


def read_facts(ran: Ran) -> dict[str, Any]:
    assert ran.code == 0, ran.err
    facts: dict[str, Any] = json.loads(ran.out)["facts"]
    return facts


def round_times(facts: dict[str, Any]) -> dict[str, Any]:
    """Round the times of the facts to the interval of the readings."""
    return {name: float(round(value)) if isinstance(value, float) else value for name, value in facts.items()}


@pytest.mark.parametrize(
    ("switches", "expected"),
    [({}, {}), *select_rows(SWITCHES[:-1], quick=1), pytest.param(*SWITCHES[-1], marks=campaign)],
    ids=lambda row: "-".join(map(str, row)),
)
def test_each_verdict_matches_the_emulators_switch(
    rehearse: Any, services: Services, switches: dict[str, Any], expected: dict[str, Any]
) -> None:
    services.pinterest.switches.set(switches)
    assert round_times(read_facts(rehearse("--json"))) == PLAIN | expected


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=campaign)])
def test_emulator_configured_from_a_rehearsal_gives_the_same_rehearsal(
    rehearse: Any, services: Services, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chosen = [row for row in SWITCHES if random.Random(f"{seed}{row}").random() < 0.4]
    for switches, _ in reversed(chosen):
        services.pinterest.switches.set(switches)
    first = read_facts(rehearse("--json", "--quiet"))
    with serve_both(FakeTime()) as others:
        others.pinterest.switches.set(switches_like(Path("rehearsal.json")))
        monkeypatch.setattr("td_pinterest_op.cli.connection.SYSTEM_TIMING", others.time.timing)
        monkeypatch.setenv("PINTEREST_API_ENDPOINT", others.environ["PINTEREST_API_ENDPOINT"])
        second = read_facts(rehearse("--json", "--quiet"))
    for times in ("list_readable_seconds", "list_listed_seconds", "move_seconds"):
        assert (first.pop(times) is None) == (second.pop(times) is None)
    assert first == second


def test_rehearsal_file_equals_the_json_output_and_shows_nothing_of_the_account(
    rehearse: Any, services: Services
) -> None:
    services.audience(["anna@shop.example"], name="Rehearsal")
    before = services.pinterest.state()
    ran = rehearse("--json")
    after = services.pinterest.state()
    assert (after["audiences"][:1], after["lists"][:1]) == (before["audiences"], before["lists"])
    text = Path("rehearsal.json").read_text()
    assert json.loads(ran.out) == json.loads(text)
    guard.check(text, "rehearsal.json")
    known = [AD_ACCOUNT_ID, USER.id, USER.username, "Emulated", *services.pinterest.lists]
    assert [word for word in (*known, *services.pinterest.audiences) if word in text] == []
    written = json.loads(text)
    assert list(written) == ["version", "at", "writes", "facts", "steps", "advice"]
    assert list(PLAIN) == list(written["facts"])
    assert set(written["steps"][2]) == {"name", "asked", "status", "code", "seconds", "verdict"}
    assert (written["writes"], len(services.pinterest.calls.writes())) == ({"announced": 26, "made": 26}, 26)


def test_rehearse_announces_what_it_leaves_behind_and_asks(
    at_terminal: Terminal, services: Services, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PINTEREST_AD_ACCOUNT_ID", AD_ACCOUNT_ID)
    monkeypatch.setattr("td_pinterest_op.cli.screen.ask_yes_no", lambda _: False)
    ran = at_terminal("rehearse", "--output", tmp_path / "r.json")
    assert (ran.code, services.pinterest.calls.all()) == (1, [])
    assert 'Customer lists named "td_pinterest_op rehearsal …" stay: Pinterest has no way to delete them' in ran.err
    assert "26 write requests (a trial app" in ran.err
    assert "None can be stored in the environment" in ran.err
    assert "you answered no: nothing was written" in ran.err


@pytest.mark.parametrize(
    ("arguments", "names", "announced"),
    [
        (["--no-large"], {step.name for step in STEPS} - {"batches"}, 23),
        (["--only", "move, list"], {"list", "move"}, 5),
        (["--only", "batches,remove"], {"batches", "remove"}, 7),
    ],
)
def test_rehearsal_contains_only_the_selected_steps(
    rehearse: Any, services: Services, arguments: list[str], names: set[str], announced: int
) -> None:
    written = json.loads(rehearse("--json", *arguments).out)
    assert names == {step["name"] for step in written["steps"]}
    assert written["writes"] == {"announced": announced, "made": announced}


def test_an_unknown_fact_is_null(rehearse: Any) -> None:
    assert read_facts(rehearse("--json", "--only", "token")) == dict.fromkeys(PLAIN) | {
        "refresh_rotates": False,
        "old_refresh_token_lives": True,
    }


def test_wrong_usage_of_rehearse_is_an_error_before_any_request(rehearse: Any) -> None:
    assert rehearse("--only", "lists").failed("lists: the steps are token, account", code=2)
    assert rehearse("--output", "nowhere/r.json").failed("there is no folder nowhere for --output")


def test_a_result_that_cannot_be_written_is_printed_all_the_same(rehearse: Any) -> None:
    ran = rehearse("--json", "--only", "account", "--output", "/dev/full")
    assert ran.code == 1
    assert "error: /dev/full cannot be read or written: No space left on device" in ran.err
    assert json.loads(ran.out)["steps"]


@pytest.mark.parametrize(
    ("operation", "status", "not_found", "still_found"),
    [
        ("customer_lists/create", 403, {"largest_batch", "removed_again"}, {"refresh_rotates"}),
        ("customer_lists/update", 404, {"batches_at_once", "records_v2"}, {"largest_batch", "move_obeyed"}),
        ("audiences/create", 403, {"move_obeyed", "removed_again"}, {"batches_at_once", "records_v2"}),
    ],
)
def test_failed_step_does_not_stop_independent_steps(
    rehearse: Any, services: Services, operation: str, status: int, not_found: set[str], still_found: set[str]
) -> None:
    services.pinterest.answer(status, operation=operation, times=None)
    ran = rehearse("--json")
    facts = read_facts(ran)
    assert not_found == {name for name in not_found | still_found if facts[name] is None}
    verdicts = [step["verdict"] for step in json.loads(ran.out)["steps"]]
    assert f"unknown: Pinterest answered {status}" in verdicts


def test_second_removal_of_an_unknown_audience_gives_no_fact(rehearse: Any, services: Services) -> None:
    services.pinterest.answer(404, operation="audiences/update")
    assert read_facts(rehearse("--json", "--only", "remove"))["removed_again"] is None


def test_an_audience_that_cannot_be_removed_is_named(rehearse: Any, services: Services) -> None:
    services.pinterest.answer(403, operation="audiences/update", times=None)
    assert rehearse("--json", "--no-large").failed("could not be removed: delete it in Ads Manager")
    for audience in services.pinterest.audiences.values():
        audience.removed = True  # for the fixture's own look


@pytest.mark.parametrize("switch", ["rotate_refresh_tokens", "renew_refresh_tokens"])
def test_rehearsal_saves_the_refresh_token_of_each_exchange(
    rehearse: Any, services: Services, token_file: Path, switch: str
) -> None:
    services.pinterest.switches.set({switch: True, "refresh_ends_access_tokens": True})
    stored: list[str] = []
    services.pinterest.on_request(lambda _: stored.append(token_file.read_text()))
    ran = rehearse("--only", "token", "--env-file", token_file)
    assert ran.code == 0
    assert "could not be" not in ran.err
    stored.append(token_file.read_text())
    assert len(set(stored)) == 1 + services.pinterest.tokens.refreshes
    assert stored[-1].strip().rpartition("=")[2] in services.pinterest.tokens.refresh_tokens()


@pytest.mark.parametrize("number", select_rows(range(1, 23), quick=3))
def test_interruption_at_any_request_leaves_no_audience(rehearse: Any, services: Services, number: int) -> None:
    seen: list[Call] = []

    def interrupt(call: Call) -> None:
        seen.append(call)
        if len(seen) == number:
            os.kill(os.getpid(), signal.SIGINT)

    services.audience(["anna@shop.example"])
    before = services.pinterest.state()["lists"]
    services.pinterest.switches.latency_seconds = 0.05
    services.pinterest.on_request(interrupt, when=When.AFTER)
    ran = rehearse("--only", "list,move,remove")
    assert ([130, 0][len(seen) < number], before) == (ran.code, services.pinterest.state()["lists"][:1])
    assert len(seen) < number or "its audience no longer exists" in ran.err
    is_list_left = len(services.pinterest.state()["lists"]) > 1
    assert is_list_left is (len(seen) < number or '…" stay' in ran.err.splitlines()[-1])


def test_audience_is_removed_when_the_response_to_its_creation_was_lost(rehearse: Any, services: Services) -> None:
    services.pinterest.inject(Fault(effect=Reset(), when=When.AFTER, operation="audiences/create"))
    assert rehearse("--only", "audience").code == 0
    assert len(services.pinterest.audiences) == 1


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        (RehearsalFacts(largest_batch=10_000, batches_at_once=8), None),
        (RehearsalFacts(largest_batch=50_000), "set limit_records_per_request: 50000"),
        (RehearsalFacts(batches_at_once=4), "set max_in_flight: 4"),
        (RehearsalFacts(records_v2=False), "keep records: identifiers"),
        (RehearsalFacts(move_obeyed=False), "use the actions that add, remove and create"),
        (RehearsalFacts(refresh_rotates=True, old_refresh_token_lives=False), "keep the refresh token in one place"),
    ],
)
def test_advice_matches_the_facts(facts: RehearsalFacts, text: str | None) -> None:
    given = build_advice(facts)
    assert given == [] if text is None else (len(given) == 1 and text in given[0])
