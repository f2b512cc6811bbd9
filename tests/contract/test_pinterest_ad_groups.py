"""What ad groups target, read from the emulator by the published client."""

from typing import Any

import pytest

from tests.contract.sdk import ACCOUNT, Sdk, error_code, pinterestsdk
from tests.emulators.pinterest import Pinterest


@pytest.fixture
def shop(pinterest: Pinterest) -> dict[str, str]:
    """Ids by name: two campaigns, four ad groups with their targeting, a template and a segment."""
    made = pinterest.advertising
    ids = {"spring": made.add_campaign("spring"), "old": made.add_campaign("old", status="ARCHIVED")}
    ids["template"] = made.add_template("fans", include=["1"], exclude=["2"])
    ids["segment"] = made.add_segment("buyers", audience_ids=["3"])
    ids["own"] = made.add_ad_group("own", campaign_id=ids["spring"], include=["1", "5"])
    ids["paused"] = made.add_ad_group("paused", campaign_id=ids["old"], status="PAUSED", exclude=["2"])
    ids["by template"] = made.add_ad_group("by template", campaign_id=ids["old"], template_id=ids["template"])
    ids["by segment"] = made.add_ad_group("by segment", campaign_id=ids["old"], segment_id=ids["segment"])
    made.add_ad_group("archived", campaign_id=ids["old"], status="ARCHIVED", include=["1"])
    return ids


def item_names(page: Any) -> list[str]:
    return [item.name for item in page.items]


def test_ad_groups_show_what_they_target(sdk: Sdk, shop: dict[str, str]) -> None:
    own, paused, by_template, by_segment = sdk.ad_groups.ad_groups_list(**ACCOUNT).items
    assert (own.targeting_spec.audience_include, own.targeting_template_ids) == (["1", "5"], None)
    assert (paused.targeting_spec.audience_exclude, paused.status) == (["2"], "PAUSED")
    assert [shop["template"]] == by_template.targeting_template_ids
    assert (shop["segment"], shop["old"]) == (by_segment.customer_segment_id, by_segment.campaign_id)


def test_ad_groups_and_campaigns_are_filtered_by_campaign(sdk: Sdk, shop: dict[str, str]) -> None:
    asked = {"campaign_ids": [shop["spring"]]}
    assert item_names(sdk.ad_groups.ad_groups_list(**ACCOUNT, **asked)) == ["own"]
    assert item_names(sdk.campaigns.campaigns_list(**ACCOUNT)) == ["spring"]
    every = [pinterestsdk.EntityStatus.ARCHIVED]
    assert item_names(
        sdk.campaigns.campaigns_list(**ACCOUNT, campaign_ids=[shop["old"], shop["spring"]], entity_statuses=every)
    ) == ["old"]


@pytest.mark.usefixtures("shop")
def test_templates_and_segments_show_their_audiences(sdk: Sdk) -> None:
    (template,) = sdk.templates.targeting_template_list(**ACCOUNT).items
    (segment,) = sdk.segments.customer_segment_list(**ACCOUNT).items
    assert (
        template.targeting_attributes.audience_include,
        template.targeting_attributes.audience_exclude,
    ) == (["1"], ["2"])
    assert segment.audience_ids == ["3"]


@pytest.mark.parametrize("roles", [["AUDIENCE_MANAGER"], ["CAMPAIGN_MANAGER"]])
def test_only_campaign_roles_may_read_ad_groups(pinterest: Pinterest, sdk: Sdk, roles: list[str]) -> None:
    pinterest.add_ad_account("7", owner=pinterest.add_user("owner"), roles={"emulated": roles})
    if roles == ["CAMPAIGN_MANAGER"]:
        assert sdk.ad_groups.ad_groups_list(ad_account_id="7").items == []
        return
    with pytest.raises(pinterestsdk.exceptions.ForbiddenException) as caught:
        sdk.ad_groups.ad_groups_list(ad_account_id="7")
    assert error_code(caught.value) == 29
