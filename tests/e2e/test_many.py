"""Several audiences in one workflow: with tests/dig, and with digdag where there is one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.audiences import ADD, REPLACE
from tests.e2e.project import ENGINES, Run
from tests.exporting import Services, digest, digests, people

pytestmark = pytest.mark.parametrize("engine", ENGINES)


def test_of_eight_audiences_in_three_ad_accounts_seven_are_exact_and_the_end_names_the_eighth(
    run: Run, services: Services, project: Path
) -> None:
    pinterest = services.pinterest
    accounts = [
        next(iter(pinterest.accounts)),
        *(pinterest.add_ad_account(name).id for name in ("549755885176", "549755885177")),
    ]
    rows = [{"email": person, "number": number} for number, person in enumerate(people(80))]
    services.td.create("sandbox", "people", rows)
    services.td.create("sandbox", "segment_6", [{"maid": "5eed0123-4567-89ab-cdef-0123456789ab"}])
    entries, expected = [], {}
    for number in range(8):
        account = accounts[number % 3]
        before = people(10, first=1000)
        behind = pinterest.add_list(
            f"list {number}", members=[digest(person) for person in before], ad_account_id=account
        )
        audience = pinterest.add_audience(f"audience {number}", customer_list_id=behind.id, ad_account_id=account)
        entry = {
            "name": f"entry {number}",
            "ad_account_id": account,
            "audience_id": audience.id,
            "action": REPLACE if number % 2 else ADD,
            "query": f"SELECT email FROM people WHERE number BETWEEN {10 * number} AND {10 * number + 9}",
        }
        expected[audience.id] = digests(10, first=10 * number) | (set() if number % 2 else digests(10, first=1000))
        entries.append(entry)
    entries[3]["query"] = "SELECT email FROM no_such_table"
    expected[entries[3]["audience_id"]] = digests(10, first=1000)
    del entries[6]["query"]
    entries[6] |= {"segment": "sandbox.segment_6", "column": "maid"}
    expected[entries[6]["audience_id"]] = {digest("5eed0123-4567-89ab-cdef-0123456789ab")} | digests(10, first=1000)
    (project / "config" / "audiences.yml").write_text(json.dumps({"audiences": entries}))
    ran = run("pinterest_many")
    assert not ran.succeeded
    assert "1 of 8 audiences failed: entry 3: job " in ran.log, ran.log
    assert expected == {audience_id: pinterest.members_of_audience(audience_id) for audience_id in expected}
    session = services.td.warehouse.session("sandbox", scheduled_time=0)
    history = session.execute("SELECT outcome, count(*) FROM pinterest_history GROUP BY outcome ORDER BY 1").fetchall()
    # The one that failed has a row of its own, and so has the workflow.
    assert [("failed", 2), ("success", 7)] == history
