"""What ad groups target, read from the emulator by the published client."""

from typing import Any

import pytest
import requests

from tests.contract.sdk import ACCOUNT, Sdk, error_code, pinterestsdk
from tests.emulators.pinterest import AD_ACCOUNT_ID, Pinterest


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
    assert (["1", "5"], None) == (own.targeting_spec.audience_include, own.targeting_template_ids)
    assert (["2"], "PAUSED") == (paused.targeting_spec.audience_exclude, paused.status)
    assert [shop["template"]] == by_template.targeting_template_ids
    assert (shop["segment"], shop["old"]) == (by_segment.customer_segment_id, by_segment.campaign_id)


@pytest.mark.usefixtures("shop")
def test_archived_ad_groups_are_listed_only_on_request(sdk: Sdk) -> None:
    asked = [pinterestsdk.EntityStatus.ARCHIVED, pinterestsdk.EntityStatus.PAUSED]
    assert ["paused", "archived"] == item_names(sdk.ad_groups.ad_groups_list(**ACCOUNT, entity_statuses=asked))


def test_ad_groups_and_campaigns_are_filtered_by_campaign(sdk: Sdk, shop: dict[str, str]) -> None:
    asked = {"campaign_ids": [shop["spring"]]}
    assert ["own"] == item_names(sdk.ad_groups.ad_groups_list(**ACCOUNT, **asked))
    assert ["spring"] == item_names(sdk.campaigns.campaigns_list(**ACCOUNT))
    every = [pinterestsdk.EntityStatus.ARCHIVED]
    assert ["old"] == item_names(
        sdk.campaigns.campaigns_list(**ACCOUNT, campaign_ids=[shop["old"], shop["spring"]], entity_statuses=every)
    )


@pytest.mark.usefixtures("shop")
def test_templates_and_segments_show_their_audiences(sdk: Sdk) -> None:
    (template,) = sdk.templates.targeting_template_list(**ACCOUNT).items
    (segment,) = sdk.segments.customer_segment_list(**ACCOUNT).items
    assert (["1"], ["2"]) == (
        template.targeting_attributes.audience_include,
        template.targeting_attributes.audience_exclude,
    )
    assert ["3"] == segment.audience_ids


def test_listing_is_divided_into_pages(pinterest: Pinterest, sdk: Sdk) -> None:
    for number in range(30):
        pinterest.advertising.add_ad_group(f"group {number}", campaign_id="1")
    first = sdk.ad_groups.ad_groups_list(**ACCOUNT)
    second = sdk.ad_groups.ad_groups_list(**ACCOUNT, bookmark=first.bookmark, page_size=250)
    assert (25, 5, None) == (len(first.items), len(second.items), second.bookmark)


def test_filtering_by_campaigns_and_ad_groups_at_once_is_rejected(sdk: Sdk) -> None:
    with pytest.raises(pinterestsdk.exceptions.BadRequestException):
        sdk.ad_groups.ad_groups_list(**ACCOUNT, campaign_ids=["1"], ad_group_ids=["2"])


@pytest.mark.parametrize("query", ["page_size=251", "entity_statuses=GONE", "audience_id=1", "campaign_ids=x"])
def test_unknown_query_parameter_is_refused(pinterest: Pinterest, sdk: Sdk, query: str) -> None:
    headers = {"Authorization": f"Bearer {pinterest.tokens.issue_access_token()}"}
    url = f"{sdk.endpoint}/ad_accounts/{AD_ACCOUNT_ID}/ad_groups?{query}"
    assert 400 == requests.get(url, headers=headers, timeout=10).status_code


@pytest.mark.parametrize("roles", [["AUDIENCE_MANAGER"], ["CAMPAIGN_MANAGER"]])
def test_only_campaign_roles_may_read_ad_groups(pinterest: Pinterest, sdk: Sdk, roles: list[str]) -> None:
    pinterest.add_ad_account("7", owner=pinterest.add_user("owner"), roles={"emulated": roles})
    if roles == ["CAMPAIGN_MANAGER"]:
        assert [] == sdk.ad_groups.ad_groups_list(ad_account_id="7").items
        return
    with pytest.raises(pinterestsdk.exceptions.ForbiddenException) as caught:
        sdk.ad_groups.ad_groups_list(ad_account_id="7")
    assert 29 == error_code(caught.value)
