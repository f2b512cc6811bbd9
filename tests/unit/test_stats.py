"""The counters, what they promise to each other, and their JSON."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from td_pinterest_op.errors import UnexpectedError
from td_pinterest_op.stats import Stats, SummaryByTense

TEXT = SummaryByTense(past="Filled {audience} with {records}", infinitive="fill {audience} with {records}")


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
        # A row of several columns is not one value.
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


@pytest.mark.parametrize(
    ("changed", "summary"),
    [
        ({}, 'Filled audience "Spring" with 5 records.'),
        (
            {"sent": 1, "invalid_by_reason": Counter(null=1)},
            'Filled audience "Spring" with 1 record; 1 invalid value left out.',
        ),
        (
            {"summary_text": SummaryByTense(past="{audience} was empty", infinitive="")},
            'Audience "Spring" was empty.',
        ),
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
            counted.add(sent=3, in_doubt=-2)
            counted.requests.add(sent=1, waiting_seconds=0.5)

    with ThreadPoolExecutor(max_workers=8) as pool:
        for _ in range(8):
            pool.submit(count)
    assert (counted.sent, counted.in_doubt) == (24_000, -16_000)
    assert (counted.requests.sent, counted.requests.waiting_seconds) == (8_000, 4_000.0)
