"""Before an audience is deleted or cleared: which ad groups use it."""

import logging
from typing import Any

import pytest

from td_pinterest_op.errors import AudienceError, ExportError
from tests.e2e.audiences import CLEAR, DELETE
from tests.exporting import Services, people


def add_ad_group(
    services: Services, audience_id: str, through: str, *, status: str = "ACTIVE", name: str = "Fans"
) -> str:
    """Add an ad group that uses an audience in this way, and return its id."""
    made = services.pinterest.advertising
    campaign_id = made.add_campaign("Spring", status="PAUSED")
    ways: dict[str, dict[str, Any]] = {
        "include": {"include": ["1", audience_id]},
        "exclude": {"exclude": [audience_id]},
        "template": {"template_id": made.add_template("t", exclude=[audience_id])},
        "segment": {"segment_id": made.add_segment("s", audience_ids=[audience_id])},
        "nothing": {"include": ["1"], "segment_id": made.add_segment("s", audience_ids=["1"])},
    }
    return made.add_ad_group(name, campaign_id=campaign_id, status=status, **ways[through])


def add_paused_ad_groups(services: Services, audience_id: str) -> None:
    """Add ad groups that use an audience through a template and through a segment."""
    for way in ("template", "segment"):
        add_ad_group(services, audience_id, way, status="PAUSED")


def run_action(services: Services, action: str, audience_id: str, **settings: Any) -> dict[str, Any]:
    return services.export({"action": action, "audience_id": audience_id, **settings})


@pytest.mark.parametrize(
    ("action", "through", "dry_run"),
    [
        (DELETE, "include", False),
        (DELETE, "template", True),
        (DELETE, "segment", False),
        (CLEAR, "exclude", False),
        (CLEAR, "segment", True),
    ],
)
def test_audience_used_by_an_active_ad_group_is_not_changed(
    services: Services, action: str, through: str, dry_run: bool
) -> None:
    audience_id = services.audience(people(3))
    group_id = add_ad_group(services, audience_id, through)
    with pytest.raises(AudienceError) as caught:
        run_action(services, action, audience_id, dry_run=dry_run)
    assert f'is used by 1 active ad group: "Fans" ({group_id}) of campaign "Spring"' in str(caught.value)
    assert "Nothing was changed" in str(caught.value)
    assert "even_if_used: true" in str(caught.value)
    assert services.pinterest.calls.writes() == []


@pytest.mark.parametrize(
    ("action", "through", "status", "settings"),
    [
        (DELETE, "include", "PAUSED", {}),
        (CLEAR, "template", "PAUSED", {}),
        (DELETE, "segment", "ARCHIVED", {}),
        (CLEAR, "nothing", "ACTIVE", {}),
        (DELETE, "include", "ACTIVE", {"even_if_used": True}),
        (CLEAR, "include", "ACTIVE", {"even_if_used": True}),
    ],
)
def test_audience_without_active_ad_groups_is_deleted_or_cleared(
    services: Services, action: str, through: str, status: str, settings: dict[str, Any]
) -> None:
    audience_id = services.audience(people(3))
    add_ad_group(services, audience_id, through, status=status)
    run_action(services, action, audience_id, **settings)
    audience = services.pinterest.audiences[audience_id]
    assert audience.removed or len(services.pinterest.members_of_audience(audience_id)) < 2


def test_ten_ad_groups_are_named_and_the_others_counted(services: Services) -> None:
    audience_id = services.audience()
    for number in range(13):
        add_ad_group(services, audience_id, "include", name=f"Group {number}\n{'x' * 200}")
    with pytest.raises(AudienceError) as caught:
        run_action(services, "delete_current_audience", audience_id)
    said = str(caught.value)
    assert (said.count('"Group '), "13 active ad groups" in said, "\n" in said) == (10, True, False)
    assert len(said) < 3_000


@pytest.mark.parametrize(
    ("action", "operation"),
    [(DELETE, "ad_groups/list"), (CLEAR, "targeting_template/list"), (DELETE, "customer_segment/list")],
)
def test_token_that_may_not_read_ad_groups_causes_one_warning(
    services: Services, caplog: pytest.LogCaptureFixture, action: str, operation: str
) -> None:
    audience_id = services.audience()
    add_paused_ad_groups(services, audience_id)
    services.pinterest.answer(403, operation=operation, times=None)
    run_action(services, action, audience_id)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len([text for text in warnings if "OWNER, ADMIN, ANALYST or CAMPAIGN_MANAGER" in text]) == 1
    assert services.pinterest.calls.writes()


def test_single_404_of_the_audience_does_not_hide_its_ad_group(services: Services) -> None:
    audience_id = services.audience(people(3))
    add_ad_group(services, audience_id, "include")
    services.pinterest.answer(404, operation="audiences/get")
    with pytest.raises(AudienceError, match="is used by 1 active ad group"):
        run_action(services, DELETE, audience_id)


@pytest.mark.parametrize(
    ("action", "operation", "through"),
    [
        (DELETE, "targeting_template/list", "include"),
        (CLEAR, "targeting_template/list", "segment"),
        (DELETE, "customer_segment/list", "exclude"),
        (CLEAR, "customer_segment/list", "template"),
    ],
)
def test_active_ad_group_counts_although_the_token_may_not_read_other_listings(
    services: Services, action: str, operation: str, through: str
) -> None:
    audience_id = services.audience()
    add_paused_ad_groups(services, audience_id)
    add_ad_group(services, audience_id, through)
    add_paused_ad_groups(services, audience_id)
    services.pinterest.answer(403, operation=operation, times=None)
    with pytest.raises(AudienceError, match="is used by 1 active ad group"):
        run_action(services, action, audience_id)
    assert services.pinterest.calls.writes() == []


@pytest.mark.parametrize(
    ("action", "operation"),
    [
        (DELETE, "ad_groups/list"),
        (CLEAR, "targeting_template/list"),
        (DELETE, "customer_segment/list"),
        (CLEAR, "campaigns/list"),
    ],
)
def test_failure_to_read_ad_groups_ends_the_action_before_it_writes(
    services: Services, action: str, operation: str
) -> None:
    audience_id = services.audience()
    add_paused_ad_groups(services, audience_id)
    services.pinterest.answer(503, operation=operation, times=None)
    with pytest.raises(ExportError):
        run_action(services, action, audience_id, retry_count=1)
    assert services.pinterest.calls.writes() == []


def test_unreadable_campaign_has_no_name(services: Services) -> None:
    audience_id = services.audience()
    add_ad_group(services, audience_id, "include")
    services.pinterest.answer(403, operation="campaigns/list")
    with pytest.raises(AudienceError, match=r'"Fans" \(\d+\) of campaign \d+\. Nothing'):
        run_action(services, "delete_current_audience", audience_id)


@pytest.mark.parametrize("gone", [False, True])
def test_repeated_clear_or_delete_does_not_check_ad_groups(services: Services, gone: bool) -> None:
    audience_id = services.audience(people(3))
    run_action(services, "clear_current_audience", audience_id)
    add_ad_group(services, audience_id, "include")
    run_action(services, "clear_current_audience", audience_id)
    run_action(services, "delete_current_audience", audience_id, even_if_used=True)
    services.pinterest.switches.removed_audiences = "gone" if gone else "readable"
    run_action(services, "delete_current_audience", audience_id)
    assert services.pinterest.audiences[audience_id].removed
