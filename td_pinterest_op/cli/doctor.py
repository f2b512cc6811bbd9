"""`td-pinterest doctor`: everything that an export needs, a line each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from td_pinterest_op import connect
from td_pinterest_op.cli import checks, options, screen, text_file
from td_pinterest_op.cli import credentials as found_credentials
from td_pinterest_op.cli.checks import ERROR, OK, WARNING, Check
from td_pinterest_op.cli.connection import keeper, settings_of, task_of
from td_pinterest_op.cli.credentials import Credentials
from td_pinterest_op.cli.lint import dig_file
from td_pinterest_op.cli.lint.settings import settings_of_export
from td_pinterest_op.connect import Services
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.pinterest.catalog import Catalog
from td_pinterest_op.stats import RequestCounts
from td_pinterest_op.timing import SYSTEM

_SIGNS = {OK: ("✓", "green"), WARNING: ("!", "yellow"), ERROR: ("✗", "bold red")}
_PLAIN_SIGNS = {OK: "ok", WARNING: "!", ERROR: "x"}
_ON_PINTEREST = ("token", "scopes", "token_days", "clock", "tier", "ad_account", "role", "audience")

_EXAMPLE = """\b
Examples:
  td-pinterest doctor
  td-pinterest doctor --query people.sql --database shop
  td-pinterest doctor --job 2345678 --workflow pinterest_export.dig --json
"""


@click.command(epilog=_EXAMPLE)
@options.all_of(options.ad_account, options.audience)
@click.option("--job", "job_id", metavar="ID", help="Look at the result of this Treasure Data job too.")
@click.option(
    "--query", type=click.Path(path_type=Path, dir_okay=False), help="Run this SQL file and look at its rows."
)
@click.option("--database", help="The database of --query.")
@click.option(
    "--settings",
    "settings_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Judge the rows by these result_settings, a YAML or JSON file.  [default: those in --workflow]",
)
@click.option("--workflow", type=click.Path(path_type=Path, dir_okay=False), help="Check this .dig file too.")
@options.all_of(options.env_file, options.as_json)
def doctor(
    ad_account: str | None,
    audience: str | None,
    job_id: str | None,
    query: Path | None,
    database: str | None,
    settings_file: Path | None,
    workflow: Path | None,
    env_file: Path | None,
    as_json: bool,
) -> int:
    """Check everything that an export needs, and say what to do about each problem. Writes nothing to Pinterest.

    A job or a query is read, and its first 1,000 rows are judged. The exit code is 1 if something is wrong.
    """
    if bool(query) != bool(database) or (query and job_id):
        raise click.UsageError("--query and --database go together, and exclude --job")
    credentials = found_credentials.find(env_file)
    environ = credentials.environ
    done: list[Check] = []
    for check in _all(
        credentials,
        ad_account=ad_account or environ.get("PINTEREST_AD_ACCOUNT_ID"),
        audience=audience or environ.get("PINTEREST_AUDIENCE_ID"),
        params={**_source(job_id, query, database), "result_settings": _about_rows(settings_file, workflow)},
        workflow=workflow,
    ):
        done.append(check)
        if not as_json:
            _show(check)
    return _end(done, as_json=as_json)


def _source(job_id: str | None, query: Path | None, database: str | None) -> dict[str, Any]:
    if query is None:
        return {"job_id": job_id} if job_id else {}
    return {"query": text_file.read(query, "--query"), "database": database}


def _about_rows(settings_file: Path | None, workflow: Path | None) -> Mapping[str, object]:
    """What the settings say about rows: those of the file, else those of the workflow's first export."""
    given: Mapping[str, object] = {}
    if settings_file:
        given = text_file.settings(settings_file)
    elif workflow and workflow.is_file():
        given = settings_of_export(dig_file.read(workflow))
    return {name: given[name] for name in ("columns", "records", "default_country") if name in given}


def _all(
    credentials: Credentials,
    *,
    ad_account: str | None,
    audience: str | None,
    params: dict[str, Any],
    workflow: Path | None,
) -> Iterator[Check]:
    yield (complete := checks.credentials(credentials))
    yield checks.proxy(credentials.environ)
    try:
        endpoints = connect.endpoints(credentials.environ)
    except SettingsError as failure:
        yield checks.error("endpoints", str(failure), "correct the variables, or unset them for the defaults")
        endpoints = None
    if endpoints and complete.status == OK:
        yield from _checks(credentials, endpoints, ad_account=ad_account, audience=audience, params=params)
    else:
        because = "the endpoints are wrong" if endpoints is None else "credentials are missing"
        yield from (checks.skipped(name, because) for name in _ON_PINTEREST)
        key = checks.treasure_data_key(credentials)
        yield key or checks.skipped("treasure_data", because)
    if workflow:
        yield checks.workflow(workflow)


def _checks(
    credentials: Credentials,
    endpoints: connect.Endpoints,
    *,
    ad_account: str | None,
    audience: str | None,
    params: dict[str, Any],
) -> Iterator[Check]:
    settings = settings_of(credentials)
    with connect.services(
        task_of(credentials),
        settings,
        endpoints=endpoints,
        timing=SYSTEM,
        count=RequestCounts(),
        on_new_refresh_token=keeper(credentials, settings),
    ) as services:
        yield from _pinterest(services, ad_account=ad_account, audience=audience)
        yield from _treasure_data(services, credentials, endpoints, params)


def _pinterest(services: Services, *, ad_account: str | None, audience: str | None) -> Iterator[Check]:
    yield (accepted := checks.token(services))
    if accepted.status == ERROR:
        yield from (checks.skipped(name, "there is no access token") for name in _ON_PINTEREST[1:])
        return
    yield checks.scopes(services)
    yield checks.days_left(services)
    yield checks.clock(services, SYSTEM)
    if services.tokens.scopes and "ads:read" not in services.tokens.scopes:
        yield from (
            checks.skipped(name, "the token may not read") for name in ("tier", "ad_account", "role", "audience")
        )
        return
    catalog = Catalog(client=services.client, tokens=services.tokens)
    answer, account = checks.ad_account(catalog, ad_account)
    yield checks.tier(services)
    yield answer
    if account is None:
        yield from (checks.skipped(name, "there is no ad account to look at") for name in ("role", "audience"))
        return
    yield checks.role(account)
    yield checks.audience(services, account.id, audience)


def _treasure_data(
    services: Services, credentials: Credentials, endpoints: connect.Endpoints, params: dict[str, Any]
) -> Iterator[Check]:
    key = checks.treasure_data_key(credentials) or checks.treasure_data(services.treasure_data, endpoints.treasure_data)
    yield key
    if not params.keys() & {"job_id", "query"}:
        return
    yield (
        checks.rows(services, credentials, params)
        if key.status == OK
        else checks.skipped("rows", "the key is not accepted")
    )


def _show(check: Check) -> None:
    sign, style = _SIGNS[check.status]
    sign = sign if screen.can_show(sign) else _PLAIN_SIGNS[check.status]
    line = Text.assemble((sign, style), " ", (f"{check.name}: ", "bold"), check.message)
    screen.say(line, indent=2)
    if check.advice and check.status != OK:
        arrow = "  → " if screen.can_show("→") else "  -> "
        screen.say(f"{arrow}{check.advice}", indent=len(arrow))


def _end(done: list[Check], *, as_json: bool) -> int:
    is_ok = not any(check.status == ERROR for check in done)
    if as_json:
        screen.say_json({"ok": is_ok, "checks": [asdict(check) for check in done]})
    else:
        counts = {status: sum(check.status == status for check in done) for status in _SIGNS}
        ending = "Everything that an export needs is there." if is_ok else "An export would fail."
        screen.say(f"\n{ending} {counts[OK]} good, {counts[WARNING]} to look at, {counts[ERROR]} wrong")
        if is_ok and not Path("rehearsal.json").exists():
            screen.note(
                "`td-pinterest rehearse` finds out how large a batch may be here: exports may take a tenth of the time"
            )
    return 0 if is_ok else 1
