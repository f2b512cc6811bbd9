"""Find and check an ad account's audiences and the customer lists behind them. Functions raise the API's errors."""

from functools import partial

from td_pinterest_op.audiences.consistency import read_until_found
from td_pinterest_op.errors import AudienceError
from td_pinterest_op.pinterest.api import CUSTOMER_LIST_TYPE, Api, Audience, CustomerList


def find_used_list(api: Api, audience: Audience) -> CustomerList | None:
    """Return the customer list that an audience uses, or None if there is none, or Pinterest does not show it."""
    list_id = audience.customer_list_id
    if list_id is None:
        return None
    return read_until_found(partial(api.find_customer_list, list_id), api.client)


def read_audience_until_found(api: Api, audience_id: str) -> Audience | None:
    """Return the audience with this id, or None if Pinterest does not show it within ten seconds."""
    return read_until_found(partial(api.find_audience, audience_id), api.client)


def require_audience(api: Api, audience_id: str) -> Audience:
    """Return the audience with this id. Raises AudienceError if it is missing."""
    audience = read_audience_until_found(api, audience_id)
    if audience is None:
        raise AudienceError(
            f"there is no audience {audience_id} in ad account {api.ad_account_id}",
            advice="Check both ids",
            subjects=[("audience", audience_id), api.subject],
        )
    return audience


def require_writable_audience(api: Api, audience_id: str) -> Audience:
    """Return the audience with this id. Raises AudienceError if it is missing or its list cannot take records."""
    audience = require_audience(api, audience_id)
    check_type_and_account(api, audience)
    if audience.is_removed:
        raise AudienceError(
            f"{audience.label} was removed",
            advice="Create a new audience (action create_new_audience)",
            subjects=[audience.subject],
        )
    # If a list cannot be read, nobody knows whether a newer run made it.
    if not find_used_list(api, audience):
        raise AudienceError(
            f"{audience.label} has no customer list that Pinterest shows, so it cannot take records",
            advice="Run this task again later or, if that does not help, create a new audience (action "
            "create_new_audience)",
            subjects=[audience.subject],
        )
    return audience


def find_audiences_by_name(api: Api, name: str) -> list[Audience]:
    """Return the audiences with this name, without removed ones. Pinterest allows several."""
    return [each for each in api.list_audiences() if each.name == name and not each.is_removed]


def check_type_and_account(api: Api, audience: Audience) -> None:
    """Raise AudienceError if an audience is not a customer-list audience, or belongs to another ad account."""
    if audience.audience_type != CUSTOMER_LIST_TYPE:
        raise AudienceError(
            f"{audience.label} is of type {audience.audience_type}: only {CUSTOMER_LIST_TYPE} audiences accept records",
            advice="Use the id of such an audience",
            subjects=[audience.subject],
        )
    if audience.ad_account_id not in (None, api.ad_account_id):
        raise AudienceError(
            f"{audience.label} belongs to ad account {audience.ad_account_id} and is only shared with "
            f"{api.ad_account_id}. Only {audience.ad_account_id} can change it",
            advice=f"Set ad_account_id to {audience.ad_account_id}, or use an audience of {api.ad_account_id}",
            subjects=[audience.subject, api.subject],
        )
