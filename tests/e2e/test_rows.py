"""From a job's rows to the members of a list: which identifiers are sent, and how the others are reported."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from td_pinterest_op.errors import InvalidRowsError, TreasureDataError, WorkflowError
from tests.e2e.audiences import ADD, settings_of
from tests.emulators.td import Fault
from tests.exporting import NO_REASONS, NOBODY, Services, digest, digests, people

DEVICE = "5eed0001-aaaa-4bbb-8ccc-{:012d}"
ROWS = 25_000

# The forms in which a row may have a person, with the reason for which the second half is rejected.
Form = Callable[[str], "str | bytes | None"]
FORMS: Sequence[tuple[Form, str | None]] = (
    (lambda mail: mail, None),
    (lambda mail: mail.upper(), None),
    (lambda mail: f"  {mail}\t", None),
    (lambda mail: f"\u00a0\u200b{mail}\ufeff", None),
    (lambda mail: digest(mail), None),
    (lambda mail: digest(mail).upper(), None),
    (lambda mail: f"\r\n{digest(mail)} ", None),
    (lambda mail: hashlib.md5(mail.encode(), usedforsecurity=False).hexdigest(), "unsupported_hash"),
    (lambda mail: hashlib.sha1(mail.encode(), usedforsecurity=False).hexdigest().upper(), "unsupported_hash"),
    (lambda mail: mail.replace("@", " at "), "contains_separator"),
    (lambda mail: f"{mail},{mail}", "contains_separator"),
    (lambda mail: mail.replace("@", "@@"), "not_an_email"),
    (lambda mail: mail.replace("@", "."), "not_an_email"),
    (lambda mail: "x" * 250 + mail, "too_long"),
    (lambda mail: " \u200b ", "empty"),
    (lambda mail: "", "empty"),
    (lambda mail: None, "null"),
    (lambda mail: "N/A", "placeholder"),
    (lambda mail: hashlib.sha256(b"").hexdigest(), "hash_of_nothing"),
    (lambda mail: mail.encode() + b"\xff", "bad_encoding"),
)
_CYCLE = len(FORMS)


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
        face, reason = FORMS[position * 7 % _CYCLE]
        # Four successive rows are one person in different forms.
        person = mailbox(position // 4)
        rows.append(face(person))
        if reason is None:
            arrive.add(digest(person))
        else:
            rejected[reason] += 1
            positions.append(position)
    return rows, arrive, rejected, positions


class TestMixedRows:
    def test_export_that_ignores_invalid_rows_sends_exactly_the_valid_people(self, services: Services) -> None:
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

    def test_invalid_rows_stop_an_export_with_reasons_and_row_numbers(self, services: Services) -> None:
        rows, _, rejected, positions = mixed_rows()
        with pytest.raises(InvalidRowsError) as caught:
            services.export(settings_of(services, ADD), job_id=services.job(rows))
        message = str(caught.value)
        assert f"{len(positions):,} of {ROWS:,} rows invalid" in message
        for reason, count in rejected.items():
            assert f"{reason} {count:,}" in message
        assert f"the first in rows {', '.join(map(str, positions[:10]))}, …. Nothing was sent" in message
        assert "ignore_invalid_records: true" in message
        assert services.pinterest.calls.writes() == []


def export_members(services: Services, job_id: str, **settings: Any) -> set[str]:
    """Add the rows of a job to a new audience and return its members."""
    audience_id = services.audience()
    services.export({"action": ADD, "audience_id": audience_id} | settings, job_id=job_id)
    return services.pinterest.members_of_audience(audience_id)


COUNT = 3000


class TestDownload:
    @pytest.mark.parametrize(
        ("share", "with_length", "ignore_range"),
        [(0.0, False, False), (0.01, True, False), (0.5, False, True), (0.99, True, True), (0.99, False, False)],
    )
    def test_truncated_result_is_resumed(
        self, services: Services, share: float, with_length: bool, ignore_range: bool
    ) -> None:
        services.td.ignore_range = ignore_range
        services.td.faults.add(Fault(kind="cut", path="/result/", after_fraction=share, with_length=with_length))
        assert export_members(services, services.job(people(COUNT))) == digests(COUNT)
        first, second = services.td.calls("GET", "/v3/job/result")
        assert "Range" not in first.headers
        assert ("Range" in second.headers) == (share > 0)

    @pytest.mark.parametrize("ignore_range", [False, True], ids=["range", "range ignored"])
    def test_job_with_fewer_rows_than_announced_is_an_error_with_both_numbers(
        self, services: Services, ignore_range: bool
    ) -> None:
        services.td.ignore_range = ignore_range
        services.td.claim_extra_records = 5
        with pytest.raises(TreasureDataError, match=f"{COUNT} of {COUNT + 5} rows arrived"):
            export_members(services, services.job(people(COUNT)))
        assert len(services.td.calls("GET", "/v3/job/result")) == 1
        assert services.time.slept == []
        assert services.pinterest.calls.writes() == []


TASK: dict[str, Any] = {"query": "select email from customers", "database": "crm"}


def create_customers(services: Services) -> None:
    services.td.create_people("crm", people(5), table="customers")


class TestJobs:
    def test_query_may_be_a_file_of_the_project(
        self, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "people.sql").write_text(TASK["query"])
        create_customers(services)
        settings = settings_of(services, ADD)
        assert services.export(settings, **TASK | {"query": "people.sql"})["records"]["sent"] == 5

    def test_private_result_of_another_user_is_an_error_with_what_to_do(self, services: Services) -> None:
        job_id = services.job(people(9))
        services.td.answer(403, path="/v3/job/result/", times=3)
        message = rf"may not read the result of job {job_id}: .* another user ran the query: use the key of"
        with pytest.raises(WorkflowError, match=message):
            export_members(services, job_id)
        assert services.pinterest.calls.writes() == []
