"""The parts of the name of a customer list that the operator makes."""

import pytest

from td_pinterest_op.audiences.customer_lists import parse_list_name
from td_pinterest_op.records.prepared import compute_fingerprint

NOBODY = compute_fingerprint()


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
        (f"Shoppers (td 0123abcd {'9' * 5_000} 89abcdef)", None),
        ("Shoppers", None),
    ],
)
def test_list_name_has_its_session_and_job(name: str, expected: tuple[str, str | None] | None) -> None:
    parsed = parse_list_name(name)
    assert expected == (parsed and (parsed.session, parsed.job_id))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (f"Shoppers (td 0123abcd - {NOBODY})", 0),
        ("Shoppers (td 0123abcd - 89abcdef)", 1),  # created with the digest of nobody
        (f"Shoppers (td 0123abcd 2345678 {NOBODY})", None),
        ("Shoppers", None),
    ],
)
def test_list_name_tells_how_many_records_an_empty_list_was_created_with(name: str, expected: int | None) -> None:
    parsed = parse_list_name(name)
    assert expected == (parsed and parsed.initial_count)
