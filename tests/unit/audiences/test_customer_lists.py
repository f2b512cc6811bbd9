"""The parts of the name of a customer list that the operator makes."""

from dataclasses import replace

import pytest

from td_pinterest_op.audiences.customer_lists import ListName, parse_list_name, shorten_for_list_name
from td_pinterest_op.pinterest.api import CustomerList
from td_pinterest_op.records.prepared import compute_fingerprint

NOBODY = compute_fingerprint()
_EMPTY = ListName(audience="Shoppers", session="0123abcd", jobs="-", fingerprint=NOBODY, records=0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Shoppers (td 0123abcd 2345678 89abcdef 1200)", ("Shoppers", "0123abcd", "2345678", 1200)),
        ("Shoppers (td 0123abcd 2345678 89abcdef)", ("Shoppers", "0123abcd", "2345678", None)),  # of version 0.5
        ("Shoppers (td 0123abcd 2345678+2345680 89abcdef)", ("Shoppers", "0123abcd", "2345678+2345680", None)),
        ("Shop\npers (td 0123abcd - 89abcdef 0)", ("Shop\npers", "0123abcd", "-", 0)),
        (
            "Shoppers (td 0123abcd 2345678 89abcdef 7) (td 76543210 9 89abcdef 12)",
            ("Shoppers (td 0123abcd 2345678 89abcdef 7)", "76543210", "9", 12),
        ),
        ("Shoppers (td 0123abcd 2345678 89abcdef) copy", None),
        ("Shoppers (td 0123ABCD 2345678 89abcdef)", None),
        (f"Shoppers (td 0123abcd {'9' * 5_000} 89abcdef)", None),
        ("Shoppers", None),
    ],
)
def test_list_name_has_its_audience_session_jobs_and_records(
    name: str, expected: tuple[str, str, str, int | None] | None
) -> None:
    parsed = parse_list_name(CustomerList(id="1", name=name, uploaded=None))
    assert (parsed and (parsed.audience, parsed.session, parsed.jobs, parsed.records)) == expected
    assert parsed is None or str(parsed) == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (f"Shoppers (td 0123abcd - {NOBODY})", 0),  # of version 0.5
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
    ("jobs", "older"),
    [
        ("10+12", "10+11"),
        ("10+1", "9+11"),
        ("10+11", "10"),  # a list of 0.4.0 has no list's job
    ],
)
def test_newer_jobs_are_told_by_their_numbers_those_of_the_people_first(jobs: str, older: str) -> None:
    newer_name, older_name = (replace(_EMPTY, jobs=each) for each in (jobs, older))
    assert newer_name.has_newer_jobs(older_name) is True
    assert older_name.has_newer_jobs(newer_name) is False


@pytest.mark.parametrize(("jobs", "other"), [("9+10", "9+10"), ("-", "9"), ("-", "-")])
def test_equal_jobs_and_a_list_without_a_job_tell_nothing(jobs: str, other: str) -> None:
    name, other_name = (replace(_EMPTY, jobs=each) for each in (jobs, other))
    assert name.has_newer_jobs(other_name) is None
    assert other_name.has_newer_jobs(name) is None


def test_long_names_of_two_audiences_are_shortened_to_different_texts() -> None:
    first, second = ("Käufer " * 60 + end for end in ("north", "south"))
    assert shorten_for_list_name("Käufer") == "Käufer"
    assert shorten_for_list_name(first)[:180] == first[:180]
    assert len({shorten_for_list_name(name) for name in (first, second, first[:190], f"{first[:181]} ")}) == 4
    assert len(shorten_for_list_name(second)) == 190
