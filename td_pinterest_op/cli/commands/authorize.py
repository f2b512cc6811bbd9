"""`td-pinterest authorize`."""

import secrets
import sys
import urllib.parse
import webbrowser
from dataclasses import replace

import click

from td_pinterest_op.cli import options, screen
from td_pinterest_op.cli.connection import (
    ENVIRONMENT_SOURCE,
    LOCAL_SECRETS_SOURCE,
    REFRESH_TOKEN_VARIABLE,
    Credentials,
    find_credentials,
    list_ad_accounts,
)
from td_pinterest_op.cli.oauth_redirect import RedirectParameters, RedirectServer, parse_redirect_parameters
from td_pinterest_op.cli.secret_target import TARGET_ARGUMENT_NAMES, SecretsByName, build_store_function
from td_pinterest_op.errors import AccountError, ExportError, PinterestError, SettingsError, StoppedError, add_to_errors
from td_pinterest_op.http.endpoints import require_safe_for_secrets
from td_pinterest_op.pinterest.client import TokenSource
from td_pinterest_op.pinterest.oauth import (
    REQUIRED_SCOPES,
    WRONG_APP_CODE,
    Bearer,
    Grant,
    RenewableTokens,
    describe_missing_scopes,
)
from td_pinterest_op.redaction.secret import Secret, escape_and_quote, mask_and_escape
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.runtime.clock import SYSTEM_TIMING

_STORE_QUESTION = "Store the token of this user?"
_APPS_URL = "https://developers.pinterest.com/apps/"
_USED_CODE_ADVICE = (
    "The code was used before, is too old (it lasts a few minutes) or belongs to another redirect address: run "
    "`td-pinterest authorize` again and approve within a few minutes"
)
_WRONG_APP_ADVICE = (
    f"Check client id and client secret: both are on the app's page at {_APPS_URL}, and the secret changes when "
    "somebody resets it there"
)
# Advice about a refused consent code.
_ADVICE_BY_ERROR_CODE = {
    WRONG_APP_CODE: _WRONG_APP_ADVICE,
    283: _USED_CODE_ADVICE,
    None: f"{_USED_CODE_ADVICE}. {_WRONG_APP_ADVICE}",
}
# How to delete an older token, by the place where it is.
_DELETE_TOKEN_COMMANDS = {
    ENVIRONMENT_SOURCE: f"unset {REFRESH_TOKEN_VARIABLE}",
    LOCAL_SECRETS_SOURCE: "digdag secrets --local --delete pinterest.refresh_token",
}


@options.command(
    """\b
Examples:
  td-pinterest authorize --to local
  td-pinterest authorize --to td pinterest_export
  td-pinterest authorize --to server https://digdag.example.com pinterest_export
  td-pinterest authorize --no-browser --to file ~/.pinterest.env
"""
)
@click.option(
    "--to",
    "kind",
    type=click.Choice(tuple(TARGET_ARGUMENT_NAMES)),
    default="local",
    show_default=True,
    help="Where to store the token and the app's credentials.",
)
@click.argument("target_arguments", nargs=-1, metavar="[PROJECT | URL PROJECT | PATH]")
@click.option(
    "--redirect",
    default="http://localhost:8085/",
    show_default=True,
    help="The redirect address that is registered in the app.",
)
@click.option(
    "--no-browser",
    is_flag=True,
    help="Print the address instead of opening it; then ask for the address to which Pinterest redirects.",
)
@click.option(
    "--timeout", type=click.IntRange(1, 3600), default=300, show_default=True, help="Seconds to wait for your approval."
)
@options.env_file
@options.as_json
@options.yes
def authorize(
    common: options.CommonOptions,
    kind: str,
    target_arguments: tuple[str, ...],
    redirect: str,
    no_browser: bool,
    timeout: int,
) -> None:
    """Get a refresh token in the browser, and store it.

    Opens Pinterest's consent page and waits for the redirect to this machine. Then it checks the scopes, shows who
    approved and which ad accounts they may use, and asks before it stores client id, client secret and token.

    --to says where: the local digdag secrets (local), the secrets of a hosted project (td PROJECT) or of a project on a
    digdag server (server URL PROJECT), or a file (file PATH).

    The client id and secret come from where the other commands find them (PINTEREST_CLIENT_ID and
    PINTEREST_CLIENT_SECRET); if there are none, this command asks. No secret is an argument, and none is shown.
    """
    credentials = find_credentials(common.env_file)
    store = build_store_function(kind, target_arguments, credentials.environ)
    if not common.yes:
        screen.require_terminal(_STORE_QUESTION)
    state = secrets.token_urlsafe(32)
    page = credentials.environ.get("PINTEREST_OAUTH_URL") or "https://www.pinterest.com/oauth/"
    require_safe_for_secrets(page, name="PINTEREST_OAUTH_URL")
    with _complete_app_credentials(credentials).open_services() as services:
        query = {
            "client_id": services.tokens.client_id.reveal(),
            "redirect_uri": redirect,
            "response_type": "code",
            "scope": ",".join(REQUIRED_SCOPES),  # separated by commas here, by spaces in the response
            "state": state,
        }
        link = f"{page}?{urllib.parse.urlencode(query)}"
        screen.print_note("Open this address in a browser, if none opens by itself, and approve:")
        click.echo(f"\n  {link}\n", err=True)
        if no_browser:
            screen.print_note(
                f"The browser then goes to {redirect} and may say that it cannot connect. Paste the whole address of "
                "that page here, and press Enter:"
            )
            answer = parse_redirect_parameters(sys.stdin.readline(), state=state)
            screen.discard_pasted_lines()
        else:
            answer = _open_browser_and_wait(link, state, redirect, timeout)
        if "code" not in answer:
            raise AccountError(
                f"the app was not approved on Pinterest's page ({mask_and_escape(answer['error'], longest=40)}): "
                "nothing was stored. To approve it after all, run the command again"
            )
        grant, issued = _exchange_code(services.tokens, code=Secret(answer["code"]), redirect=redirect)
        tokens = TokenSource(Bearer(grant.access_token, expires_at=float("inf")))
        try:
            accounts = list(list_ad_accounts(replace(services.pinterest, tokens=tokens)))
        except StoppedError:
            raise
        except ExportError as error:
            accounts = []
            screen.print_note(f"The user and the ad accounts cannot be shown now: {error}")
        # The token may lack the permission to read its user: an account that the user owns has the name.
        owner = next((account.owner for account in accounts if "OWNER" in account.roles), None)
        # Other users of this machine may read the state in the browser's arguments, and could send the approval of
        # another Pinterest user here.
        labels = [account.label + (" (read only)" if account.may_write is False else "") for account in accounts]
        screen.print_note(
            f"Approved by: {escape_and_quote(owner) if owner else 'a user that is not shown'}. "
            f"Ad accounts: {', '.join(labels) or 'none'}"
        )
        if not (common.yes or screen.ask_yes_no(_STORE_QUESTION)):
            raise StoppedError("you answered no: nothing was stored")

        def store_secrets() -> str:
            with add_to_errors(sent="You approved the app, but its token was lost: run the command again"):
                place = store(issued)
            # Printed at once, since a signal may end the command.
            screen.print_note(f"The refresh token is stored in {place}.")
            return place

        # A signal must not leave a part of the secrets stored.
        stored_in = shutdown.run_uninterrupted(store_secrets)
    lasts = grant.refresh_expires_in
    facts: dict[str, object] = {
        "stored_in": stored_in,
        "user": owner,
        "scopes": sorted(grant.scopes),
        "expires": None if lasts is None else SYSTEM_TIMING.get_utc_time(lasts),
    }
    if common.as_json:
        facts["ad_accounts"] = [
            {"id": account.id, "name": account.name, "roles": account.roles, "may_export": account.may_write}
            for account in accounts
        ]
        screen.print_json(facts)
    else:
        screen.print_properties(facts)
    older = credentials.sources.get(REFRESH_TOKEN_VARIABLE, "")
    # The places in which commands look before the target. Only digdag reads the secrets of a project.
    earlier = {"local": (ENVIRONMENT_SOURCE,), "file": (ENVIRONMENT_SOURCE, LOCAL_SECRETS_SOURCE)}
    for place in earlier.get(kind, ()):
        if older.startswith(place):
            screen.print_note(
                f"Commands find the older refresh token in {older} before this one. Delete it: "
                f"`{_DELETE_TOKEN_COMMANDS[place]}`."
            )


def _complete_app_credentials(credentials: Credentials) -> Credentials:
    """Return the credentials without a refresh token. Ask for those of the app that are missing."""
    environ = dict(credentials.environ)
    sources = {name: place for name, place in credentials.sources.items() if name != REFRESH_TOKEN_VARIABLE}
    for name in ("PINTEREST_CLIENT_ID", "PINTEREST_CLIENT_SECRET"):
        if place := sources.get(name):
            screen.print_note(f"{name}: from {place}")
            continue
        if not screen.is_interactive():
            raise SettingsError(
                f"{name} is not set, and there is no terminal to ask for it: set the environment variable; the value "
                f"is on the app's page at {_APPS_URL}"
            )
        prompt = f"{name}, from the app's page at {_APPS_URL} (a secret is not shown)"
        environ[name] = click.prompt(prompt, hide_input=name.endswith("SECRET"), err=True).strip()
        sources[name] = "the terminal"
    return replace(credentials, environ=environ, sources=sources)


def _open_browser_and_wait(url: str, state: str, redirect: str, timeout: int) -> RedirectParameters:
    """Open the consent page, and return the parameters with which Pinterest redirects to `redirect`."""
    # The server listens first: a browser that is logged in and has approved before is redirected at once.
    with RedirectServer(redirect, state=state) as server:
        screen.print_note(f"Waiting at {redirect} for your approval.")
        webbrowser.open(url)
        end = SYSTEM_TIMING.monotonic() + timeout
        while (answer := server.poll_for_redirect()) is None:
            if SYSTEM_TIMING.monotonic() > end:
                raise AccountError(
                    f"Pinterest did not redirect within {timeout} s. Either nobody approved, or the browser shows a "
                    "Pinterest error (code 283 or 7): then the client id is wrong, or the app does not have exactly "
                    f"the redirect address {redirect} (with the final slash). Correct it at {_APPS_URL} and run the "
                    "command again"
                )
        return answer


def _exchange_code(app: RenewableTokens, *, code: Secret, redirect: str) -> tuple[Grant, SecretsByName]:
    """Exchange the consent code, sent to `redirect`, for tokens. Return the grant and the secrets to store."""
    grant = app.request_grant(
        {"grant_type": "authorization_code", "code": code.reveal(), "redirect_uri": redirect},
        purpose="exchange the code for a refresh token",
        advice=_ADVICE_BY_ERROR_CODE,
    )
    if grant.refresh_token is None:
        raise PinterestError(
            "Pinterest's answer to the authorization code has no refresh token: run `td-pinterest authorize` again"
        )
    if missing := describe_missing_scopes(grant.scopes):
        raise AccountError(
            f"the approval of the app lacks the {missing}, which an export needs: nothing was stored. "
            f"Check which scopes the app may ask for at {_APPS_URL}, and run the command again"
        )
    return grant, {
        "pinterest.client_id": app.client_id,
        "pinterest.client_secret": app.client_secret,
        "pinterest.refresh_token": grant.refresh_token,
    }
