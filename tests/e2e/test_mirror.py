"""The mirror's workflow, run from the bundle: with tests/dig, and with digdag where there is one."""

from pathlib import Path

import pytest

from tests.e2e.project import ENGINES, Run, age_history, read_history, use_audience
from tests.exporting import Services, digests, people

pytestmark = pytest.mark.parametrize("engine", ENGINES)


def test_mirror_follows_the_query(run: Run, services: Services, project: Path) -> None:
    audience_id = services.audience(["before@shop.example"])
    use_audience(project, audience_id, action="mirror_current_audience", begin="replace")

    def log_of(name: str, members: list[str]) -> str:
        services.td.create_people("sandbox", map(str.upper, members), opted_in=1)
        ran = run(name)
        assert ran.succeeded, ran.log
        age_history(services)
        return " ".join(ran.log.split())

    replaced = "all members replaced by 250 people, 0 known members leaving."
    assert f"{replaced} Audience {audience_id}: 250 rows read" in log_of("pinterest_export", people(250))
    assert services.pinterest.members_of_audience(audience_id) == digests(250)
    left = people(245, first=10)
    followed = f"Audience {audience_id}: 245 rows read"
    assert f"5 joining, 10 leaving, 0 resent. {followed}" in log_of("pinterest_export", left)
    assert services.pinterest.members_of_audience(audience_id) == digests(245, first=10)
    assert f"0 joining, 0 leaving, 0 resent. {followed}" in log_of("pinterest_export", left)
    rows = [(row["action"], row["members"], row["mirror_mode"]) for row in read_history(services)]
    assert rows == [("mirror_current_audience", 250, "replace"), *[("mirror_current_audience", 245, "difference")] * 2]
    held = services.pinterest.audiences[audience_id]
    held.status = "READY"
    held.size = 98
    log_of("pinterest_status", left)
    assert tuple(read_history(services)[-1][name] for name in ("members", "match_ratio")) == (245, 0.4)
