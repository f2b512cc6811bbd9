"""The counters, what they promise to each other, and their JSON."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from td_pinterest_op import __version__
from td_pinterest_op.errors import UnexpectedError
from td_pinterest_op.identifiers.reasons import REASONS
from td_pinterest_op.stats import MirrorFigures, RequestCounts, Stats, SummaryText

TEXT = SummaryText(past="Filled {audience} with {records}", infinitive="fill {audience} with {records}")


def stats(**counts: Any) -> Stats:
    given: dict[str, Any] = {
        "action": "create_new_audience",
        "ad_account_id": "1",
        "dry_run": False,
        "summary_text": TEXT,
    }
    return Stats(**given | counts)


def full(**changed: Any) -> Stats:
    """Counts that add up, but for `changed`."""
    counts = {
        "read": 10,
        "valid": 7,
        "invalid_by_reason": Counter({"null": 2, "empty": 1}),
        "unique": 6,
        "duplicate": 1,
        "sent": 5,
        "refused": 1,
    }
    return stats(**counts | changed)


@pytest.mark.parametrize(
    ("changed", "complete"),
    [
        ({}, True),
        # With several columns rows are not values.
        ({"read": 4, "columns": 2}, True),
        ({"sent": 0, "refused": 0}, False),
    ],
)
def test_counters_that_add_up_are_accepted(changed: dict[str, Any], complete: bool) -> None:
    full(**changed).check_sums(complete=complete)


@pytest.mark.parametrize(
    ("changed", "broken"),
    [
        ({"read": 11}, "rows.read = rows.valid + rows.invalid"),
        ({"duplicate": 2}, "identifiers = unique + duplicate"),
        ({"sent": 4}, "unique = sent + refused + withheld"),
        ({"withheld": Counter({"suppressed": 1})}, "unique = sent + refused + withheld"),
    ],
)
def test_counters_that_do_not_add_up_are_an_error_with_the_sum(changed: dict[str, Any], broken: str) -> None:
    with pytest.raises(UnexpectedError) as caught:
        full(**changed).check_sums(complete=True)
    assert f"({broken})" in str(caught.value)


FIGURES = ("people", "members", "joined", "resent", "left", "unsure")


def test_a_mirror_sends_its_changes() -> None:
    figures = MirrorFigures(mode="difference", plan=7, people=5, members=6, joined=2, resent=1, left=3)
    mirrored = full(mirror=figures, sent=5, refused=1)
    mirrored.check_sums(complete=True)
    assert (mirrored.to_send_count, mirrored.allowed_count) == (6, 6)
    assert {name: mirrored.to_json()["mirror"][name] for name in ("plan", "resent")} == {"plan": 7, "resent": 1}


def test_json_has_the_documented_shape_and_plain_types() -> None:
    counted = full(
        audience_id="2",
        audience_name="Spring",
        customer_list_id="3",
        previous_customer_list_id="4",
        job_id="5",
        sent=2,
        withheld=Counter({"suppressed": 2, "control": 1}),
        plain_values=4,
        hashed_values=3,
        list_jobs={"suppress": "6"},
        audience_status="READY",
        audience_size=120,
        requests=RequestCounts(sent=9, retried=2, failed=3, waiting_seconds=0.5),
        reading_seconds=1.23456,
        sending_seconds=2.0,
    )
    reasons = dict.fromkeys(sorted(REASONS), 0) | {"empty": 1, "null": 2}
    withheld = {"suppressed": 2, "without_consent": 0, "control": 1}
    expected = {
        "action": "create_new_audience",
        "ad_account_id": "1",
        "audience_id": "2",
        "audience_name": "Spring",
        "customer_list_id": "3",
        "previous_customer_list_id": "4",
        "job_id": "5",
        "dry_run": False,
        "audience": {"status": "READY", "size": 120},
        "members": None,
        "summary": (
            'Filled audience "Spring" with 2 records; 3 invalid values left out; '
            "3 records (suppressed 2, control 1) withheld; Pinterest refused 1."
        ),
        "version": __version__,
        "rows": {"read": 10, "valid": 7, "invalid": 3, "invalid_by_reason": reasons},
        "records": {"unique": 6, "duplicate": 1, "sent": 2, "refused": 1, "withheld": withheld},
        "values": {"plain": 4, "hashed": 3},
        "mirror": {"mode": None, "plan": None} | dict.fromkeys(FIGURES, 0),
        "lists": {"suppress": "6", "consent": None},
        "requests": {"sent": 9, "retried": 2, "failed": 3},
        "seconds": {"reading": 1.235, "sending": 2.0, "waiting": 0.5},
    }
    shown = counted.to_json()
    assert shown == expected
    assert list(expected) == list(shown)
    assert json.loads(json.dumps(shown)) == expected
    assert dict is type(shown["rows"]["invalid_by_reason"])


@pytest.mark.parametrize(
    ("changed", "summary"),
    [
        ({}, 'Filled audience "Spring" with 5 records.'),
        (
            {"sent": 1, "invalid_by_reason": Counter(null=1)},
            'Filled audience "Spring" with 1 record; 1 invalid value left out.',
        ),
        ({"summary_text": SummaryText(past="{audience} was empty", infinitive="")}, 'Audience "Spring" was empty.'),
        ({"dry_run": True}, 'Dry run: would fill audience "Spring" with 6 records; nothing was written.'),
        ({"failed": True}, 'Failed: create_new_audience on audience "Spring", 5 of 6 records sent.'),
        ({"failed": True, "unique": 0, "sent": 0}, 'Failed: create_new_audience on audience "Spring".'),
        (
            {"summary_text": None, "audience_name": None, "unique": 0, "sent": 0},
            "Failed: create_new_audience on an audience.",
        ),
    ],
)
def test_summary_is_one_sentence(changed: dict[str, Any], summary: str) -> None:
    assert summary == stats(**{"audience_name": "Spring", "unique": 6, "sent": 5} | changed).summary


def test_threads_count_without_losses() -> None:
    counted = stats()

    def count() -> None:
        for _ in range(1000):
            counted.count_records(sent=3, in_doubt=-2)
            counted.requests.add(sent=1, waiting_seconds=0.5)

    with ThreadPoolExecutor(max_workers=8) as pool:
        for _ in range(8):
            pool.submit(count)
    assert (counted.sent, counted.in_doubt) == (24_000, -16_000)
    assert (counted.requests.sent, counted.requests.waiting_seconds) == (8_000, 4_000.0)
