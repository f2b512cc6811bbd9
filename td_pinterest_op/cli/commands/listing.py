"""`td-pinterest accounts`, `audiences`, `lists` and `audience`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import click

from td_pinterest_op.audiences.list_name import parse_list_name
from td_pinterest_op.audiences.usage import CAMPAIGN_READER_ROLES, find_ad_groups_using
from td_pinterest_op.cli import options, screen
from td_pinterest_op.cli.commands.report import history_option, read_history_entries
from td_pinterest_op.cli.connection import (
    build_ad_account_api,
    list_ad_accounts,
    open_services_with_options,
    parse_id_option,
)
from td_pinterest_op.errors import AudienceError
from td_pinterest_op.pinterest.api import Audience, CustomerList, parse_optional_field
from td_pinterest_op.report.entry import parse_time
from td_pinterest_op.report.figures import format_share
from td_pinterest_op.run_history.history_table import FAILED_OUTCOME

_STATUS_BY_MAY_WRITE = {None: "roles not shown", True: "may export", False: "may read only"}


@options.command("\b\nExample:\n  td-pinterest accounts")
@options.name_filter
@options.usual_options
def accounts(common: options.CommonOptions, name_part: str | None) -> None:
    """List the ad accounts that the token may read."""
    with open_services_with_options(common) as services:
        rows = [
            asdict(account) | {"status": _STATUS_BY_MAY_WRITE[account.may_write]}
            for account in list_ad_accounts(services.pinterest)
        ]
    _print_matching_rows(common, rows, name_part)


@options.command("\b\nExamples:\n  td-pinterest audiences\n  td-pinterest audiences --name shoppers --json")
@options.ad_account
@options.name_filter
@options.usual_options
def audiences(common: options.CommonOptions, name_part: str | None) -> None:
    """List the audiences of the ad account."""
    with open_services_with_options(common) as services:
        rows = list(map(_build_audience_row, build_ad_account_api(services, common).list_entities("audiences")))
    _print_matching_rows(common, rows, name_part)


@options.command("\b\nExamples:\n  td-pinterest lists\n  td-pinterest lists --left-behind")
@options.ad_account
@click.option("--left-behind", is_flag=True, help="Only lists that no audience uses.")
@options.name_filter
@options.usual_options
def lists(common: options.CommonOptions, left_behind: bool, name_part: str | None) -> None:
    """List the customer lists of the ad account, used or left behind.

    Pinterest cannot delete a customer list: each replace or clear leaves behind one that no audience uses. For lists
    that the operator created, shows the session and the job.
    """
    used_by: dict[str | None, list[str]] = {}
    with open_services_with_options(common) as services:
        api = build_ad_account_api(services, common)
        for user in api.list_audiences():
            used_by.setdefault(user.customer_list_id, []).append(user.id)
        rows = [
            _build_customer_list_row(each, used_by.get(str(each["id"]), []))
            for each in api.list_entities("customer_lists")
        ]
    if left_behind:
        rows = [row for row in rows if row["left_behind"]]
    _print_matching_rows(common, rows, name_part)


@options.command("\b\nExample:\n  td-pinterest audience 2542620905475")
@click.argument("audience_id", metavar="[ID]", required=False)
@options.ad_account
@history_option
@options.usual_options
def audience(common: options.CommonOptions, audience_id: str | None, history: str | None) -> None:
    """Show one audience in detail.

    Shows its customer list, what created that list, and the ad groups that use the audience. Without ID, shows the
    audience of PINTEREST_AUDIENCE_ID. With --history, also shows its runs and its size over time.
    """
    with open_services_with_options(common) as services:
        api = build_ad_account_api(services, common)
        named = audience_id or services.task.environ.get("PINTEREST_AUDIENCE_ID")
        if not named:
            raise click.UsageError("no audience is named: give its id, which `td-pinterest audiences` lists")
        content = api.find_entity("audiences", parse_id_option(named, "ID"))
        if content is None:
            raise AudienceError(
                f"there is no audience {named} in ad account {api.ad_account_id}: "
                "`td-pinterest audiences` lists those that exist"
            )
        row = _build_audience_row(content)
        row |= {"description": content.get("description"), "ad_account_id": api.ad_account_id}
        list_id = row["customer_list_id"]
        customer_list = api.find_entity("customer_lists", list_id) if list_id else None
        if customer_list:
            shown = ("id", "list_type", "used_by", "left_behind")  # the audience shows these
            of_list = _build_customer_list_row(customer_list, []).items()
            row |= {f"list_{key}": value for key, value in of_list if key not in shown}
        used_by = find_ad_groups_using(api, row["id"])
    ad_groups = None if used_by is None else [asdict(use) for use in used_by]
    entries = read_history_entries(history, audience_id=row["id"], env_file=common.env_file) if history else []
    past: list[dict[str, Any]] = []
    for entry in reversed(entries):
        outcome = "dry run" if entry.is_dry_run else "ok"
        # Erasures, which are about every audience, may be of another ad account.
        if entry.get_text("ad_account_id") in ("", api.ad_account_id):
            past.append(
                {
                    "at": entry.at,
                    "what": entry.get_text("action") or entry.kind,
                    "outcome": "failed" if entry.outcome == FAILED_OUTCOME else outcome,
                    "sent": entry.get_number("records_sent"),
                    "rejected": entry.get_number("rows_invalid"),
                    "status": entry.get_text("audience_status") or None,
                    "size": entry.get_number("audience_size"),
                    "members": entry.get_number("members"),
                    "match_ratio": entry.get_number("match_ratio"),
                }
            )
    if common.as_json:
        screen.print_json(row | {"ad_groups": ad_groups} | ({"history": past} if history else {}))
        return
    known = (
        f"not known: the token needs one of the roles {CAMPAIGN_READER_ROLES}" if ad_groups is None else len(ad_groups)
    )
    screen.print_properties({name.replace("_", " "): value for name, value in {**row, "ad_groups": known}.items()})
    if ad_groups:
        screen.print_line("\nAd groups:")
        screen.print_table(ad_groups, columns=("id", "name", "status", "how", "campaign_id", "campaign_name"))
    if history:
        screen.print_line("\nHistory:")
        columns = ("at", "what", "outcome", "sent", "rejected", "status", "size", "members", "matched")
        rows = [run | {"matched": run["match_ratio"] and format_share(run["match_ratio"], 1)} for run in past]
        screen.print_table(rows, columns=columns)


def _build_audience_row(content: Mapping[str, Any]) -> dict[str, Any]:
    seed = parse_optional_field(content, "rule", {}).get("seed_id")
    if isinstance(seed, list):  # with one id
        seed = seed[0] if seed else None
    return {
        "id": str(content["id"]),
        **{key: content.get(key) for key in ("name", "audience_type", "status", "size")},
        "customer_list_id": Audience.parse(content).customer_list_id,
        "seed_audience_id": str(seed) if seed else None,
        "created": parse_time(content.get("created_timestamp")),
        "changed": parse_time(content.get("updated_timestamp")),
    }


def _build_customer_list_row(content: Mapping[str, Any], used_by: Sequence[str]) -> dict[str, Any]:
    name = parse_list_name(CustomerList.parse(content))
    return {
        "id": str(content["id"]),
        **{key: content.get(key) for key in ("name", "list_type", "status")},
        "uploaded": content.get("num_uploaded_user_records"),
        "removed": content.get("num_removed_user_records"),
        "batches": content.get("num_batches"),
        "used_by": sorted(used_by),
        "left_behind": not used_by,
        "session": name and name.session,
        "job_id": name and str(name.jobs),
        "created": parse_time(content.get("created_time")),
        "changed": parse_time(content.get("updated_time")),
    }


def _print_matching_rows(common: options.CommonOptions, rows: Sequence[dict[str, Any]], name_part: str | None) -> None:
    wanted = (name_part or "").casefold()
    matching = [row for row in rows if wanted in str(row["name"] or "").casefold()]
    matching.sort(key=lambda row: (str(row["name"] or "").casefold(), row["id"]))
    if common.as_json:
        screen.print_json(matching)
        return
    if not matching:
        screen.print_note("There is nothing to show.")
        return
    hidden = ("seed_audience_id", "removed", "batches")
    screen.print_table(matching, columns=[name for name in matching[0] if name not in hidden])
