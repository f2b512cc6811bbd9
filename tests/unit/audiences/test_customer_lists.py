"""What the name of a customer list of ours tells."""

from __future__ import annotations

import pytest

from td_pinterest_op.audiences.customer_lists import is_made_empty, job_of, origin_of
from td_pinterest_op.pinterest.models import CustomerList
from td_pinterest_op.records.spool import fingerprint

NOBODY = fingerprint()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Shoppers (td 0123abcd 2345678 89abcdef)", ("0123abcd", "2345678")),
        ("Shoppers (td 0123abcd file 89abcdef)", ("0123abcd", None)),
        ("Shoppers (td 0123abcd - 89abcdef)", ("0123abcd", None)),
        ("Shoppers (td 0123abcd 2345678 89abcdef) (td 76543210 9 89abcdef)", ("76543210", "9")),
        ("Shoppers (td 0123abcd 2345678 89abcdef) copy", None),
        ("Shoppers(td 0123abcd 2345678 89abcdef)", None),
        ("Shoppers (td 0123ABCD 2345678 89abcdef)", None),
        ("Shoppers", None),
    ],
)
def test_a_list_of_ours_names_its_session_and_its_job(name: str, expected: tuple[str, str | None] | None) -> None:
    assert expected == origin_of(name)
    job = int(expected[1]) if expected and expected[1] else None
    assert job == job_of(CustomerList(id="1", name=name, uploaded=None))


@pytest.mark.parametrize(
    ("name", "uploaded", "expected"),
    [
        (f"Shoppers (td 0123abcd - {NOBODY})", 0, True),
        (f"Shoppers (td 0123abcd - {NOBODY})", None, True),
        (f"Shoppers (td 0123abcd - {NOBODY})", 1, False),
        ("Shoppers (td 0123abcd - 89abcdef)", 1, True),  # created with the digest of nobody
        ("Shoppers (td 0123abcd - 89abcdef)", 2, False),
        (f"Shoppers (td 0123abcd 2345678 {NOBODY})", 0, False),
        ("Shoppers", 0, False),
    ],
)
def test_a_list_is_empty_as_it_was_made_until_it_gets_records(name: str, uploaded: int | None, expected: bool) -> None:
    assert expected is is_made_empty(CustomerList(id="1", name=name, uploaded=uploaded))
