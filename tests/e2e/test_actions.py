"""Each action between the two emulators: where it ends, and that it ends there again when it is run twice."""

from __future__ import annotations

from tests.exporting import Services, digests, people


def test_add_puts_every_record_into_the_list_behind_the_audience(services: Services) -> None:
    audience_id = services.audience(people(3))
    stored = services.export(
        {"action": "add_people_to_current_audience", "audience_id": audience_id}, job_id=services.job(people(10))
    )
    assert digests(10) == services.pinterest.members_of_audience(audience_id)
    assert {"unique": 10, "duplicate": 0, "sent": 10, "refused": 0} == stored["records"]
