"""`td-pinterest authorize`: a refresh token by a person's consent, stored where exports look for it."""

import queue
import secrets
import shlex
import sys
import webbrowser
from dataclasses import replace
from datetime import datetime, timezone

import click

from td_pinterest_op.cli import callback, options, screen
from td_pinterest_op.cli.ad_accounts import AdAccount, list_ad_accounts
from td_pinterest_op.cli.connection import SECRETS, Credentials, find_credentials
from td_pinterest_op.cli.consent import build_consent_url, exchange_code
from td_pinterest_op.cli.options import CommonOptions
from td_pinterest_op.cli.secret_target import Target, make_target
from td_pinterest_op.errors import AccountError, ExportError, SettingsError, StoppedError
from td_pinterest_op.pinterest.api import Api
from td_pinterest_op.pinterest.client import Client, TokenSource
from td_pinterest_op.pinterest.oauth import Bearer, Grant, describe_missing_scopes
from td_pinterest_op.redaction.secret import Secret
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.runtime.clock import SYSTEM
from td_pinterest_op.settings.table import ConnectionSettings
from td_pinterest_op.task_runtime.services import open_client

_TARGETS = ("local", "td", "server", "file")
_REDIRECT = "http://localhost:8085/"
_APPS = "https://developers.pinterest.com/apps/"
_EXAMPLE = """\b
Examples:
  td-pinterest authorize --to local
  td-pinterest authorize --to td pinterest_export
  td-pinterest authorize --to server https://digdag.example.com pinterest_export
  td-pinterest authorize --no-browser --to file ~/.pinterest.env
"""


@click.command(cls=options.Command, epilog=_EXAMPLE)
@click.option(
    "--to",
    "target_kind",
    type=click.Choice(_TARGETS),
    default="local",
    show_default=True,
    help="Where to store the token and the app's credentials.",
)
@click.argument("target_arguments", nargs=-1, metavar="[PROJECT | URL PROJECT | PATH]")
@click.option(
    "--redirect", default=_REDIRECT, show_default=True, help="The redirect address that is registered in the app."
)
@click.option(
    "--no-browser",
    is_flag=True,
    help="Print the address to open; then ask for the address to which Pinterest redirects.",
)
@click.option(
    "--timeout", type=click.IntRange(1, 3600), default=300, show_default=True, help="Seconds to wait for your approval."
)
@options.env_file
@options.as_json
@options.pass_common
def authorize(
    common: CommonOptions,
    target_kind: str,
    target_arguments: tuple[str, ...],
    redirect: str,
    no_browser: bool,
    timeout: int,
) -> None:
    """Get a refresh token by consent in a browser, and store it where --to specifies.

    Opens Pinterest's consent page, waits for the redirect to this machine, checks what was granted, and stores client
    id, client secret and refresh token: in the local digdag secrets (local), the secrets of a hosted workflow project
    (td PROJECT), those of a project on a digdag server (server URL PROJECT), or a file (file PATH).

    The app's client id and secret are those that the other commands find (PINTEREST_CLIENT_ID and
    PINTEREST_CLIENT_SECRET); if there are none, this command asks for them. No secret is an argument, and none is
    shown.
    """
    credentials = find_credentials(common.env_file)
    environ = credentials.environ
    store = make_target(target_kind, target_arguments, environ)
    app = _add_app_credentials(credentials).build_settings()
    with open_client(credentials.build_task(), app, timing=SYSTEM) as client:
        state = secrets.token_urlsafe(32)
        link = build_consent_url(environ, client_id=app.client_id, redirect_uri=redirect, state=state)
        code = (
            _read_pasted_code(link, state, redirect) if no_browser else _wait_for_code(link, state, redirect, timeout)
        )
        # A code is good once: no signal comes between Pinterest's tokens and where they are kept.
        grant, stored_in = shutdown.run_uninterrupted(
            lambda: _exchange_and_store_tokens(client, app, store, code=code, redirect=redirect)
        )
        doctor = "td-pinterest doctor"
        if target_kind == "file":
            doctor += f" --env-file {shlex.quote(target_arguments[0])}"
        delete = credentials.find_delete_command(target_kind)
        next_command = f"{delete} && {doctor}" if delete else doctor
        _print_authorization(client, grant, stored_in=stored_in, next_command=next_command, as_json=common.as_json)
        if delete:
            screen.print_note(f"Commands find an older refresh token before this one: `{delete}` deletes it.")


def _add_app_credentials(credentials: Credentials) -> Credentials:
    """Return the credentials with the app's client id and secret added. Asks the user for those that are missing.

    Raises SettingsError if there is no terminal to ask at.
    """
    environ = dict(credentials.environ)
    sources = dict(credentials.sources)
    # Whatever it is, it is about to be replaced.
    sources.pop("PINTEREST_REFRESH_TOKEN", None)
    for variable, label in (("PINTEREST_CLIENT_ID", "client id"), ("PINTEREST_CLIENT_SECRET", "client secret")):
        if place := sources.get(variable):
            screen.print_note(f"The app's {label}: from {place}")
            continue
        if not screen.is_interactive():
            raise SettingsError(
                f"{variable} is not set, and there is no terminal to ask for the app's {label}: set the environment "
                f"variable; the value is on the app's page at {_APPS}"
            )
        hidden = label.endswith("secret")
        prompt = f"The app's {label}, from {_APPS}" + (" (not shown)" if hidden else "")
        environ[variable] = click.prompt(prompt, hide_input=hidden, err=True).strip()
        sources[variable] = "the terminal"
    return replace(credentials, environ=environ, sources=sources)


def _wait_for_code(link: str, state: str, redirect: str, timeout: int) -> Secret:
    """Open the consent page `link` in a browser. Return the code that Pinterest then sends to this machine."""
    # Listening first: a browser that is logged in and has approved before comes back at once.
    with callback.listen_for_redirect(redirect, state=state) as arrived:
        screen.print_note(f"Waiting at {redirect} for your approval. If no browser opens, open this address:")
        click.echo(f"\n  {link}\n", err=True)
        webbrowser.open(link)
        try:
            return callback.parse_code(arrived.get(timeout=timeout))
        except queue.Empty:
            raise AccountError(
                f"Pinterest did not redirect within {timeout} s. Either nobody approved, or the browser shows a "
                "Pinterest error (code 283 or 7): then the client id is wrong, or the app does not have exactly the "
                f"redirect address {redirect} (with the final slash). Correct it at {_APPS} and run the command again"
            ) from None


def _read_pasted_code(link: str, state: str, redirect: str) -> Secret:
    """Print the address of the consent page, `link`. Return the code in the redirect address that the user pastes."""
    screen.print_note("Open this address in any browser and approve:")
    click.echo(f"\n  {link}\n", err=True)
    screen.print_note(
        f"The browser then goes to {redirect} and may say that it cannot connect. Paste the whole address of that page "
        "here, and press Enter:"
    )
    pasted = sys.stdin.readline()
    if not pasted.strip():
        raise SettingsError("no address was pasted: nothing was stored. Run the command again")
    return callback.parse_code(callback.parse_pasted_address(pasted, state=state))


def _exchange_and_store_tokens(
    client: Client, app: ConnectionSettings, store: Target, *, code: Secret, redirect: str
) -> tuple[Grant, str]:
    """Exchange the consent code for tokens and store them. Return the tokens and a text that names where they are."""
    grant = exchange_code(
        client, client_id=app.client_id, client_secret=app.client_secret, code=code, redirect_uri=redirect
    )
    if missing := describe_missing_scopes(grant.scopes):
        raise AccountError(
            f"the approval of the app lacks the {missing}, which an export needs: nothing was stored. "
            f"Check which scopes the app may ask for at {_APPS}, and run the command again"
        )
    assert grant.refresh_token is not None  # noqa: S101 - `exchange` has checked this
    try:
        stored_in = store(
            {
                SECRETS["PINTEREST_CLIENT_ID"]: app.client_id,
                SECRETS["PINTEREST_CLIENT_SECRET"]: app.client_secret,
                SECRETS["PINTEREST_REFRESH_TOKEN"]: grant.refresh_token,
            }
        )
    except SettingsError as error:
        error.extend(". You approved the app, but its token was lost: run the command again")
        if shutdown.is_requested():  # nobody waits for this error any more
            screen.print_note(str(error))
        raise error from None
    if shutdown.is_requested():
        screen.print_note(f"The refresh token is stored in {stored_in}.")
    return grant, stored_in


def _print_authorization(client: Client, grant: Grant, *, stored_in: str, next_command: str, as_json: bool) -> None:
    """Print where the token is stored, when it expires, and which ad accounts it may read."""
    accounts = _read_ad_accounts(client, grant, stored_in)
    # The token may not read its user, whom the user's own accounts name.
    owners = {account.owner for account in accounts if "OWNER" in account.roles and account.owner}
    user = owners.pop() if len(owners) == 1 else None
    rows = [
        {"id": account.id, "name": account.name, "roles": list(account.roles), "may_export": account.may_write}
        for account in accounts
    ]
    lasts = grant.refresh_expires_in
    scopes = sorted(grant.scopes)
    expires = None if lasts is None else datetime.fromtimestamp(SYSTEM.now() + lasts, timezone.utc)
    if as_json:
        screen.print_json(
            {"stored_in": stored_in, "user": user, "scopes": scopes, "expires": expires, "ad_accounts": rows}
        )
        return
    screen.print_line(f"Stored in {stored_in}.")
    screen.print_line(f"User: {user or 'Pinterest does not show it'}")
    screen.print_line(f"Scopes: {' '.join(scopes) or 'Pinterest does not name them'}")
    until = f"{expires:%Y-%m-%d}" if expires else "a day that Pinterest does not name"
    screen.print_line(f"The refresh token lasts until {until}; exports renew it.")
    if rows:
        screen.print_line()
        shown = [row | {"ad_account": row["id"]} for row in rows]
        screen.print_table(shown, columns=("ad_account", "name", "roles", "may_export"))
    screen.print_line(f"\nNext: {next_command}")


def _read_ad_accounts(client: Client, grant: Grant, stored_in: str) -> list[AdAccount]:
    """Return the token's ad accounts, or [] and a note if they cannot be read. `stored_in`: where the token is."""
    tokens = TokenSource(Bearer(grant.access_token, expires_at=float("inf")))
    try:
        accounts = list(list_ad_accounts(Api(client=client, tokens=tokens, ad_account_id="")))
    except StoppedError as error:
        raise error.extend(f". The refresh token is stored in {stored_in}") from None
    except ExportError as error:
        screen.print_note(f"The token is stored, but its user and ad accounts cannot be shown now: {error}")
        return []
    if not accounts:
        screen.print_note("The user has no ad account yet: an export needs one.")
    return accounts
