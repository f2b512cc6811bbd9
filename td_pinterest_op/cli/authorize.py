"""`td-pinterest authorize`: a refresh token by a person's consent, stored where exports look for it."""

from __future__ import annotations

import queue
import secrets
import shlex
import sys
import webbrowser
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click

from td_pinterest_op import connect, stop
from td_pinterest_op.cli import callback, options, screen
from td_pinterest_op.cli.connection import settings_of
from td_pinterest_op.cli.credentials import ENVIRONMENT, SECRETS, Credentials
from td_pinterest_op.cli.export import stopping
from td_pinterest_op.cli.secret_target import Target, target
from td_pinterest_op.errors import AccountError, ExportError, SettingsError, StoppedError
from td_pinterest_op.pinterest import consent
from td_pinterest_op.pinterest.catalog import AdAccount, Catalog
from td_pinterest_op.pinterest.client import Client
from td_pinterest_op.pinterest.oauth import Bearer, Grant, missing_scopes
from td_pinterest_op.pinterest.request import FixedToken
from td_pinterest_op.secret import Secret
from td_pinterest_op.settings.parse import ConnectionSettings
from td_pinterest_op.timing import SYSTEM

REDIRECT = "http://localhost:8085/"
_TARGETS = ("local", "td", "server", "file")
_NO_TOKEN = "no-token-yet"  # noqa: S105 - stands for the token that is to be got

_EXAMPLE = """\b
Examples:
  td-pinterest authorize --to local
  td-pinterest authorize --to td pinterest_export
  td-pinterest authorize --to server https://digdag.example.com pinterest_export
  td-pinterest authorize --no-browser --to file ~/.pinterest.env
"""


@click.command(epilog=_EXAMPLE)
@click.option("--to", "kind", type=click.Choice(_TARGETS), default="local", show_default=True, help="Where to store.")
@click.argument("place", nargs=-1, metavar="[PROJECT | URL PROJECT | PATH]")
@click.option("--redirect", default=REDIRECT, show_default=True, help="The redirect address, as the app has it.")
@click.option("--no-browser", is_flag=True, help="Print the address; paste the redirected address back.")
@click.option("--timeout", type=click.IntRange(1, 3600), default=300, show_default=True, help="Seconds to wait.")
@options.all_of(options.env_file, options.as_json)
def authorize(
    kind: str,
    place: tuple[str, ...],
    redirect: str,
    no_browser: bool,
    timeout: int,
    env_file: Path | None,
    as_json: bool,
) -> int:
    """Get a refresh token from Pinterest, by consent in a browser, and store it.

    Opens Pinterest's consent page, waits for the redirect to this machine, checks what was granted, and stores client
    id, client secret and refresh token: in the local digdag secrets (local), the secrets of a hosted workflow project
    (td PROJECT), those of a project on a digdag server (server URL PROJECT), or a file (file PATH).

    The app's client id and secret come from PINTEREST_CLIENT_ID and PINTEREST_CLIENT_SECRET, from where the other
    commands find credentials, or are asked for. No secret is an argument, and none is shown.
    """
    credentials = Credentials.find(env_file)
    store = target(kind, place, credentials.environ)
    environ = {**credentials.environ, **_app(credentials), "PINTEREST_REFRESH_TOKEN": _NO_TOKEN}
    app = settings_of(Credentials(environ=environ, sources={}))
    endpoint = connect.endpoints(environ).pinterest
    connection = connect.pinterest_client(app, endpoint=endpoint, timing=SYSTEM)
    with stopping(), connection as client:
        state = secrets.token_urlsafe(32)
        link = consent.consent_address(
            page=environ.get("PINTEREST_OAUTH_URL") or consent.CONSENT_URL,
            client_id=app.client_id.reveal(),
            redirect_uri=redirect,
            state=state,
        )
        code = _pasted_code(link, state, redirect) if no_browser else _code(link, state, redirect, timeout)
        # A code is good once: no signal comes between Pinterest's tokens and where they are kept.
        grant, where = stop.shielded(lambda: _granted(client, app, store, code=code, redirect=redirect))
        next_command = "td-pinterest doctor" + (f" --env-file {shlex.quote(place[0])}" if kind == "file" else "")
        return _report(client, grant, where=where, next_command=next_command, as_json=as_json)


def _app(credentials: Credentials) -> dict[str, str]:
    """The app's credentials by their variables: found, or asked for."""
    held = {}
    for variable, label in (("PINTEREST_CLIENT_ID", "client id"), ("PINTEREST_CLIENT_SECRET", "client secret")):
        value = credentials.environ.get(variable, "")
        if value:
            screen.note(f"The app's {label}: from {credentials.sources.get(variable, ENVIRONMENT)}")
        else:
            value = _asked(variable, label)
        held[variable] = value.strip()
    return held


def _asked(variable: str, label: str) -> str:
    if not screen.is_interactive():
        raise SettingsError(
            f"there is no {variable}, and no terminal to ask at for the app's {label}: set the environment variable; "
            "the value is on the app's page at https://developers.pinterest.com/apps/"
        )
    hidden = variable.endswith("SECRET")
    prompt = f"The app's {label}, from https://developers.pinterest.com/apps/" + (" (not shown)" if hidden else "")
    return str(click.prompt(prompt, hide_input=hidden, err=True))


def _code(link: str, state: str, redirect: str, timeout: int) -> Secret:
    """The code that Pinterest redirects to this machine."""
    # Listening first: a browser that is logged in and has approved before comes back at once.
    with callback.listening(redirect, state=state) as arrived:
        screen.note(f"Waiting at {redirect} for your approval. If no browser opens, open this address:")
        screen.address(link)
        webbrowser.open(link)
        try:
            return callback.code_of(arrived.get(timeout=timeout))
        except queue.Empty:
            raise AccountError(
                f"nothing came back within {timeout} s. Either nobody approved; or the browser shows an error of "
                "Pinterest (code 283 or 7), because the client id is wrong or the app does not have the redirect "
                f"address {redirect}, exactly so, with the slash: correct it at https://developers.pinterest.com/apps/ "
                "and run the command again"
            ) from None


def _pasted_code(link: str, state: str, redirect: str) -> Secret:
    """The code of the address that the user pastes: a line of standard input."""
    screen.note("Open this address in any browser and approve:")
    screen.address(link)
    screen.note(
        f"The browser then goes to {redirect} and may say that it cannot connect. Paste the whole address of that page "
        "here, and press Enter:"
    )
    pasted = sys.stdin.readline()
    if not pasted.strip():
        raise SettingsError("no address was pasted: nothing was stored. Run the command again")
    return callback.code_of(callback.answer_of(pasted, state=state))


def _granted(
    client: Client, app: ConnectionSettings, store: Target, *, code: Secret, redirect: str
) -> tuple[Grant, str]:
    """What the code was exchanged for, and where it is stored."""
    with stop.saving():
        grant = consent.exchange(
            client, client_id=app.client_id, client_secret=app.client_secret, code=code, redirect_uri=redirect
        )
        if missing := missing_scopes(grant.scopes):
            raise AccountError(
                f"the consent lacks the scope {' and '.join(missing)}, and an export needs it: "
                "nothing was stored. Check which scopes the app may ask for at "
                "https://developers.pinterest.com/apps/, and run the command again"
            )
        where = _stored(store, app, grant)
        if stop.requested():
            screen.note(f"The refresh token is stored in {where}.")
        return grant, where


def _stored(store: Target, app: ConnectionSettings, grant: Grant) -> str:
    assert grant.refresh_token is not None  # noqa: S101 - `exchange` has checked this
    try:
        return store(
            {
                SECRETS["PINTEREST_CLIENT_ID"]: app.client_id,
                SECRETS["PINTEREST_CLIENT_SECRET"]: app.client_secret,
                SECRETS["PINTEREST_REFRESH_TOKEN"]: grant.refresh_token,
            }
        )
    except SettingsError as error:
        raise error.extended(". The consent is given, but its token is lost: run the command again") from None


def _report(client: Client, grant: Grant, *, where: str, next_command: str, as_json: bool) -> int:
    catalog = Catalog(client=client, tokens=FixedToken(Bearer(grant.access_token, expires_at=float("inf"))))
    lasts = grant.refresh_expires_in
    expires = None if lasts is None else datetime.fromtimestamp(SYSTEM.wall() + lasts, timezone.utc)
    accounts: list[AdAccount] | None = None
    user = None
    try:
        accounts = list(catalog.ad_accounts())
        user = _user(catalog, grant, accounts)
    except StoppedError as error:
        raise error.extended(f". The refresh token is stored in {where}") from None
    except ExportError as error:
        # What matters is done.
        screen.note(f"The token is stored, but its user and ad accounts cannot be shown now: {error}")
    if accounts == []:
        screen.note("The user has no ad account yet: an export needs one.")
    stored: dict[str, Any] = {
        "stored_in": where,
        "user": user,
        "scopes": sorted(grant.scopes),
        "expires": expires,
        "ad_accounts": [_row(account) for account in accounts or ()],
    }
    if as_json:
        screen.say_json(stored)
    else:
        _show(**stored, next_command=next_command)
    return 0


def _show(
    stored_in: str,
    user: str | None,
    scopes: list[str],
    expires: datetime | None,
    ad_accounts: list[dict[str, object]],
    next_command: str,
) -> None:
    screen.say(f"Stored in {stored_in}.")
    screen.say(f"User: {user or 'Pinterest does not show it'}")
    screen.say(f"Scopes: {' '.join(scopes) or 'Pinterest does not name them'}")
    until = f"{expires:%Y-%m-%d}" if expires else "a day that Pinterest does not name"
    screen.say(f"The refresh token lasts until {until}; exports renew it.")
    if ad_accounts:
        screen.say()
        rows = [row | {"ad_account": row["id"]} for row in ad_accounts]
        screen.table(rows, columns=("ad_account", "name", "roles", "may_export"))
    screen.say(f"\nNext: {next_command}")


def _user(catalog: Catalog, grant: Grant, accounts: list[AdAccount]) -> str | None:
    if "user_accounts:read" in grant.scopes:
        return catalog.username()
    owners = {account.owner for account in accounts if "OWNER" in account.roles and account.owner}
    return owners.pop() if len(owners) == 1 else None


def _row(account: AdAccount) -> dict[str, object]:
    return {"id": account.id, "name": account.name, "roles": list(account.roles), "may_export": account.may_write}
