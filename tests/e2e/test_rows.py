"""From a job's rows to the members of a list: which identifiers are sent, and how the others are reported."""

from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from td_pinterest_op.errors import InvalidRowsError, TreasureDataError, WorkflowError
from tests.e2e.audiences import ADD, settings_of
from tests.exporting import NO_REASONS, NOBODY, Services, digest, people

DEVICE = "5eed0001-aaaa-4bbb-8ccc-{:012d}"
ROWS = 25_000

# The forms in which a row may have a person, with the reason for which it is rejected, if it is.
Form = Callable[[str], "str | bytes | None"]
FORMS: Sequence[tuple[Form, str | None]] = (
    (lambda mail: mail, None),
    (lambda mail: f"\u00a0{mail.upper()}\t", None),
    (lambda mail: digest(mail), None),
    (lambda mail: f"\r\n{digest(mail).upper()} ", None),
    (lambda mail: digest(mail)[:32], "unsupported_hash"),
    (lambda mail: f"{mail},{mail}", "contains_separator"),
    (lambda mail: mail.replace("@", "."), "not_an_email"),
    (lambda mail: "", "empty"),
    (lambda mail: None, "null"),
    (lambda mail: "N/A", "placeholder"),
    (lambda mail: digest(""), "hash_of_nothing"),
    (lambda mail: mail.encode() + b"\xff", "bad_encoding"),
)


def mailbox(number: int) -> str:
    """Return a made-up normalised address; two of three are not ASCII."""
    return f"{('anna', 'jürgen', 'zoë')[number % 3]}.{number}@{('shop', 'bücher', 'mail.shop')[number % 3]}.example"


def mixed_rows() -> tuple[list[str | bytes | None], set[str], Counter[str], list[int]]:
    """Return rows, the digests to be sent, the number of rejections by reason, and the positions of rejected rows."""
    rows = []
    arrive = set()
    rejected = Counter[str]()
    positions = []
    for position in range(1, ROWS + 1):
        face, reason = FORMS[position * 7 % len(FORMS)]
        # Four successive rows are one person in different forms.
        person = mailbox(position // 4)
        rows.append(face(person))
        if reason is None:
            arrive.add(digest(person))
        else:
            rejected[reason] += 1
            positions.append(position)
    return rows, arrive, rejected, positions


def test_export_that_ignores_invalid_rows_sends_exactly_the_valid_people(services: Services) -> None:
    rows, arrive, rejected, positions = mixed_rows()
    audience_id = services.audience()
    stored = services.export(
        {"action": ADD, "audience_id": audience_id, "ignore_invalid_records": True}, job_id=services.job(rows)
    )
    valid = ROWS - len(positions)
    assert arrive == services.pinterest.members_of_audience(audience_id)
    assert stored["rows"] == {
        "read": ROWS,
        "valid": valid,
        "invalid": len(positions),
        "invalid_by_reason": NO_REASONS | rejected,
    }
    assert stored["records"] == {
        "unique": len(arrive),
        "duplicate": valid - len(arrive),
        "sent": len(arrive),
        "refused": 0,
        "withheld": NOBODY,
    }
    assert stored["records"]["duplicate"] > 0


def test_invalid_rows_stop_an_export_with_reasons_and_row_numbers(services: Services) -> None:
    rows, _, rejected, positions = mixed_rows()
    with pytest.raises(InvalidRowsError) as caught:
        services.export(settings_of(services, ADD), job_id=services.job(rows))
    message = str(caught.value)
    assert f"{len(positions):,} of {ROWS:,} values in {ROWS:,} rows invalid" in message
    for reason, count in rejected.items():
        assert f"{reason} {count:,}" in message
    assert f"the first in rows {', '.join(map(str, positions[:10]))}. Nothing was sent" in message
    assert "ignore_invalid_records: true" in message
    assert services.pinterest.calls.writes() == []


def test_job_with_fewer_rows_than_announced_is_an_error_with_both_numbers(services: Services) -> None:
    services.td.claim_extra_records = 5
    settings = settings_of(services, ADD)
    with pytest.raises(TreasureDataError, match="3000 of 3005 rows arrived"):
        services.export(settings, job_id=services.job(people(3000)))
    assert len(services.td.calls("GET", "/v3/job/result")) == 1
    assert services.time.slept == []
    assert services.pinterest.calls.writes() == []


def test_private_result_of_another_user_is_an_error_with_what_to_do(services: Services) -> None:
    settings = settings_of(services, ADD)
    job_id = services.job(people(9))
    services.td.answer(403, path="/v3/job/result/", times=3)
    message = rf"/v3/job/result/{job_id}.*for the result of a job, use the key of the user who ran it"
    with pytest.raises(WorkflowError, match=message):
        services.export(settings, job_id=job_id)
    assert services.pinterest.calls.writes() == []
