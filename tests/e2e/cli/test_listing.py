"""`accounts`, `audiences`, `lists` and `audience`: what exists, for people and for programs."""

import json
import re
from pathlib import Path

import pytest

from tests.e2e.test_audience_usage import add_ad_group
from tests.emulators.pinterest import AD_ACCOUNT_ID, USER, AdAccount
from tests.exporting import SESSION, Services
from tests.unit.cli.running import Recorded, Terminal


@pytest.fixture
def shop(services: Services) -> str:
    """Three audiences, one of them replaced once; returns the id of that one."""
    services.audience(["anna@shop.example"], name="Shoppers")
    services.audience(name="Newsletter readers")
    replaced = services.audience(["bela@shop.example"], name="Buyers")
    services.export(
        {"action": "replace_current_audience", "audience_id": replaced},
        job_id=services.job(["chloe@shop.example"]),
        session_time=SESSION,
    )
    return replaced


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("command", ["accounts", "audiences", "lists"])
def test_listing_command_prints_its_items_as_a_table(
    at_terminal: Terminal, compare_golden: Recorded, command: str
) -> None:
    compare_golden(at_terminal(command), command)


def test_audience_command_shows_every_field(at_terminal: Terminal, compare_golden: Recorded, shop: str) -> None:
    compare_golden(at_terminal("audience", shop), "audience")


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("command", "fields"),
    [
        ("accounts", {"id", "name", "status"}),
        ("audiences", {"id", "name", "status", "audience_type", "size", "customer_list_id"}),
        ("lists", {"id", "name", "status", "used_by", "left_behind"}),
    ],
)
def test_json_output_is_a_list_of_objects(at_terminal: Terminal, command: str, fields: set[str]) -> None:
    entries = json.loads(at_terminal(command, "--json").out)
    assert entries
    for entry in entries:
        assert fields <= set(entry)
        assert isinstance(entry["id"], str)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry.get("created", "2026-01-01T00:00:00Z"))


def test_lists_marks_those_that_no_audience_uses(at_terminal: Terminal, shop: str) -> None:
    lists = {entry["name"]: entry for entry in json.loads(at_terminal("lists", "--json").out)}
    ours = next(entry for name, entry in lists.items() if name.startswith("Buyers (td "))
    assert (lists["Buyers list"]["used_by"], lists["Buyers list"]["left_behind"]) == ([], True)
    assert (ours["used_by"], ours["left_behind"]) == ([shop], False)
    assert ours["session"]
    assert ours["job_id"]
    left = json.loads(at_terminal("lists", "--left-behind", "--json").out)
    assert left == [lists["Buyers list"]]


@pytest.mark.usefixtures("shop")
def test_name_filter_ignores_case(at_terminal: Terminal) -> None:
    audiences = json.loads(at_terminal("audiences", "--name", "SHOP", "--json").out)
    assert [audience["name"] for audience in audiences] == ["Shoppers"]


def test_an_empty_listing_is_a_note_and_not_an_error(at_terminal: Terminal) -> None:
    ran = at_terminal("audiences", "--quiet")
    assert (ran.code, ran.out, ran.err) == (0, "", "There is nothing to show.\n")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["audience"], 2, "no audience is named"),
        (["audience", "123"], 1, "there is no audience 123 in ad account 549755885175"),
        (["audience", "x"], 2, "ID must be an id, which has only digits"),
        (["audiences", "--ad-account", "../x"], 2, "--ad-account or PINTEREST_AD_ACCOUNT_ID must be an id"),
    ],
)
def test_an_id_of_nothing_is_an_error(at_terminal: Terminal, arguments: list[str], code: int, said: str) -> None:
    assert at_terminal(*arguments).failed(said, code=code)


def test_several_ad_accounts_require_a_choice(at_terminal: Terminal, services: Services) -> None:
    services.pinterest.add_ad_account("549755885176", name="Other")
    said = 'Name one with --ad-account or PINTEREST_AD_ACCOUNT_ID: 549755885175 "Emulated ad account", 549'
    assert at_terminal("audiences").failed(said, code=2)
    services.pinterest.accounts.clear()
    assert at_terminal("audiences").failed("the Pinterest user has no ad account: create one in Pinterest's Ads M")


def test_audience_of_another_type_has_no_list(at_terminal: Terminal, services: Services) -> None:
    visitors = services.pinterest.add_audience("Visitors", audience_type="VISITOR").id
    services.pinterest.add_list("Alone")
    shown = json.loads(at_terminal("audience", visitors, "--json").out)
    assert (shown["audience_type"], shown["customer_list_id"]) == ("VISITOR", None)
    assert not [name for name in shown if name.startswith("list_")]
    assert [customer_list["used_by"] for customer_list in json.loads(at_terminal("lists", "--json").out)] == [[]]


def test_a_refresh_token_that_ends_soon_gives_a_warning(
    at_terminal: Terminal, services: Services, token_file: Path
) -> None:
    services.time.sleep(55 * 86_400)
    ran = at_terminal("accounts", "--env-file", token_file)
    assert ran.code == 0
    assert "warning: the refresh token expires on " in ran.err


def test_missing_credentials_are_named_with_every_place_searched(
    at_terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PINTEREST_CLIENT_ID")
    said = "PINTEREST_CLIENT_ID not found in the environment, in the local digdag secrets or in a file"
    assert at_terminal("accounts").failed(said)


@pytest.mark.parametrize("command", ["audiences", "lists", "accounts", "audience"])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_listing_escapes_control_characters_in_names(
    at_terminal: Terminal, services: Services, monkeypatch: pytest.MonkeyPatch, command: str, options: list[str]
) -> None:
    name = "Evil \x1b[2J\x9b2J\u202e name"
    services.pinterest.add_ad_account("549755885176", name=name)
    services.pinterest.add_list(name)
    monkeypatch.setenv("PINTEREST_AUDIENCE_ID", services.audience(name=name))
    monkeypatch.setenv("PINTEREST_AD_ACCOUNT_ID", AD_ACCOUNT_ID)
    ran = at_terminal(command, *options)
    assert "Evil" in ran.out
    assert ran.out.isascii()
    assert ran.out.replace("\n", "").isprintable()


def test_audience_command_lists_the_ad_groups_or_says_who_may_read_them(
    at_terminal: Terminal, services: Services
) -> None:
    audience_id = services.audience()
    paused = add_ad_group(services, audience_id, "template", status="PAUSED", name="Later")
    active = add_ad_group(services, audience_id, "exclude")
    shown = json.loads(at_terminal("audience", audience_id, "--json").out)["ad_groups"]
    names = ("id", "name", "status", "campaign_name")
    assert [tuple(group[name] for name in names) for group in shown] == [
        (active, "Fans", "ACTIVE", "Spring"),
        (paused, "Later", "PAUSED", "Spring"),
    ]
    assert f"{active}  Fans   ACTIVE  excludes" in at_terminal("audience", audience_id).out
    roles = {USER.id: ("AUDIENCE_MANAGER",)}
    services.pinterest.accounts[AD_ACCOUNT_ID] = AdAccount(id=AD_ACCOUNT_ID, name="Shared", roles=roles)
    assert json.loads(at_terminal("audience", audience_id, "--json").out)["ad_groups"] is None
    ran = at_terminal("audience", audience_id)
    assert (ran.code, "not known: the token needs one of the roles OWNER, ADMIN" in ran.out) == (0, True)
