"""The parts of the name of a customer list that the operator makes."""

import pytest

from td_pinterest_op.audiences.list_name import ListJobs, parse_list_name, shorten_for_list_name
from td_pinterest_op.pinterest.api import CustomerList
from td_pinterest_op.records.prepared import compute_fingerprint

NOBODY = compute_fingerprint()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Shoppers (td 0123abcd 2345678 89abcdef 1200)", ("Shoppers", "0123abcd", "2345678", 1200)),
        ("Shoppers (td 0123abcd 2345678+2345680 89abcdef 3)", ("Shoppers", "0123abcd", "2345678+2345680", 3)),
        ("Shop\npers (td 0123abcd - 89abcdef 0)", ("Shop\npers", "0123abcd", "-", 0)),
        (
            "Shoppers (td 0123abcd 2345678 89abcdef 7) (td 76543210 9 89abcdef 12)",
            ("Shoppers (td 0123abcd 2345678 89abcdef 7)", "76543210", "9", 12),
        ),
        ("Shoppers (td 0123abcd 2345678 89abcdef)", None),
        ("Shoppers (td 0123abcd 2345678 89abcdef 3) copy", None),
        ("Shoppers (td 0123ABCD 2345678 89abcdef 3)", None),
        (f"Shoppers (td 0123abcd {'9' * 5_000} 89abcdef 3)", None),
        ("Shoppers", None),
    ],
)
def test_list_name_has_its_audience_session_jobs_and_records(
    name: str, expected: tuple[str, str, str, int] | None
) -> None:
    parsed = parse_list_name(CustomerList(id="1", name=name, uploaded=None))
    assert (parsed and (parsed.audience, parsed.session, str(parsed.jobs), parsed.records)) == expected
    assert parsed is None or str(parsed) == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (f"Shoppers (td 0123abcd 2345678 {NOBODY} 0)", 0),
        (f"Shoppers (td 0123abcd - {NOBODY} 1)", 1),
        ("Shoppers (td 0123abcd 2345678 89abcdef 1)", None),
    ],
)
def test_list_name_tells_how_many_records_an_empty_list_was_created_with(name: str, expected: int | None) -> None:
    parsed = parse_list_name(CustomerList(id="1", name=name, uploaded=None))
    assert parsed
    assert parsed.dummy_record_count == expected


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        (ListJobs(people="10", withheld="12"), ListJobs(people="10", withheld="11")),
        (ListJobs(people="10", withheld="1"), ListJobs(people="9", withheld="11")),
        (ListJobs(people="10", withheld="11"), ListJobs(people="10")),
    ],
)
def test_newer_jobs_are_told_by_their_numbers_those_of_the_people_first(newer: ListJobs, older: ListJobs) -> None:
    assert newer.is_newer_than(older) is True
    assert older.is_newer_than(newer) is False


@pytest.mark.parametrize(
    ("jobs", "other"),
    [
        (ListJobs(people="9", withheld="10"), ListJobs(people="9", withheld="10")),
        (ListJobs(), ListJobs(people="9")),
        (ListJobs(), ListJobs()),
    ],
)
def test_equal_jobs_and_a_list_without_a_job_are_not_newer_nor_older(jobs: ListJobs, other: ListJobs) -> None:
    assert jobs.is_newer_than(other) is None
    assert other.is_newer_than(jobs) is None


def test_long_names_of_two_audiences_are_shortened_to_different_texts() -> None:
    first, second = ("Käufer " * 60 + end for end in ("north", "south"))
    assert shorten_for_list_name("Käufer") == "Käufer"
    assert shorten_for_list_name(first)[:180] == first[:180]
    assert len({shorten_for_list_name(name) for name in (first, second, first[:190], f"{first[:181]} ")}) == 4
    assert len(shorten_for_list_name(second)) == 190
