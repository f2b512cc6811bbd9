"""Rows with several keys: one record for a person, removed with all its keys."""

from typing import Any

import pytest

from td_pinterest_op.errors import JobError, PinterestError
from tests.e2e.audiences import ADD, CREATE, REMOVE, REPLACE, settings_of
from tests.exporting import NOBODY, Services, digest

ROWS = {"action": ADD, "records": "rows", "ignore_invalid_records": True}
NOTHING = {"duplicate": 0, "refused": 0, "withheld": NOBODY, "invalid_keys": 0}
KEYS = [("email", "varchar"), ("maid", "varchar"), ("phone", "varchar"), ("external_id", "varchar")]
DEVICE = "5eed0001-aaaa-4bbb-8ccc-{:012d}"


def person(number: int) -> tuple[str, str, str, str]:
    """Return the keys of a made-up person."""
    return f"person{number}@shop.example", DEVICE.format(number), f"+1 202-555-{number:04d}", f"A-{number}"


def all_keys(*numbers: int) -> set[str]:
    """The digests of these people, as the emulator keeps them."""
    digests = set()
    for number in numbers:
        email, device, phone, crm = person(number)
        plain = phone.translate(str.maketrans("", "", "+- "))
        digests |= {digest(key) for key in (email, device, plain, f"external_id:{crm}")}
    return digests


def add_job(services: Services, *rows: tuple[Any, ...], columns: list[tuple[str, str]] = KEYS) -> str:
    return services.td.add_job(columns=columns, rows=rows)


def test_remove_of_a_row_removes_all_its_keys(services: Services) -> None:
    audience_id = services.audience()
    both = add_job(services, person(100), person(101))
    services.export({**ROWS, "audience_id": audience_id}, job_id=both)
    services.export({**ROWS, "action": REMOVE, "audience_id": audience_id}, job_id=add_job(services, person(100)))
    assert all_keys(101) == services.pinterest.members_of_audience(audience_id)


@pytest.mark.parametrize("action", [CREATE, REPLACE])
def test_new_list_takes_rows_and_is_for_new_customers_if_set(services: Services, action: str) -> None:
    settings = {**ROWS, **settings_of(services, action), "is_nca": True}
    stored = services.export(settings, job_id=add_job(services, person(100), person(101)))
    made = services.pinterest.lists[stored["customer_list_id"]]
    assert (services.pinterest.members(made.id), made.is_nca) == (all_keys(100, 101), True)


def test_person_in_several_forms_is_sent_once_and_keys_may_be_missing(services: Services) -> None:
    audience_id = services.audience()
    email, device, _, crm = person(100)
    rows = [
        person(100),
        (email.upper(), device, digest("12025550100"), f" {crm}"),
        (None, None, "(202) 555-0100", None),
        ("n/a", None, None, "A-7"),
        (None, None, None, None),
        ("nobody", "", "12345", None),
    ]
    settings = {**ROWS, "audience_id": audience_id, "default_country": "us"}
    stored = services.export(settings, job_id=add_job(services, *rows))
    assert all_keys(100) | {digest("external_id:A-7")} == services.pinterest.members_of_audience(audience_id)
    assert stored["records"] == NOTHING | {"unique": 3, "duplicate": 1, "sent": 3, "keys": 6, "invalid_keys": 1}
    assert tuple(stored["rows"][name] for name in ("read", "valid", "invalid")) == (6, 4, 2)
    counted = {reason: count for reason, count in stored["rows"]["invalid_by_reason"].items() if count}
    assert counted == {"null": 1, "not_an_email": 1}


@pytest.mark.parametrize(
    ("action", "skips", "count"), [(ADD, True, 2), (ADD, False, 50), (CREATE, True, 50), (REPLACE, False, 2)]
)
def test_rejected_rows_are_an_error_and_not_sent_in_another_form(
    services: Services, action: str, skips: bool, count: int
) -> None:
    services.pinterest.switches.takes_rows = False
    settings = {**ROWS, **settings_of(services, action), "ignore_invalid_records": skips}
    rows = add_job(services, *map(person, range(100, 100 + count)))
    with pytest.raises(
        PinterestError, match=r"\(records_v2\), and Pinterest accepted none .* set records: identifiers"
    ):
        services.export(settings, job_id=rows)
    assert not any(held.members for held in services.pinterest.lists.values())
    assert {call.status for call in services.pinterest.calls.writes()} == {400}


def test_two_columns_of_one_key_are_an_error_before_the_first_write(services: Services) -> None:
    rows = add_job(services, ("5eed", "5EED"), columns=[("maid", "varchar"), ("idfa", "varchar")])
    with pytest.raises(JobError, match="maid and idfa are both maid"):
        services.export({**ROWS, "audience_id": services.audience()}, job_id=rows)
    assert services.pinterest.calls.writes() == []
