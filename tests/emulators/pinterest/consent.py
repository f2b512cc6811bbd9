"""The consent page of Pinterest's OAuth: https://www.pinterest.com/oauth/, on the emulator at /oauth/.

A wrong app or redirect is a JSON page and no redirect, as seen of the live service; what is approved or refused goes
back to the redirect.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit, urlunsplit

from aiohttp import web

from tests.emulators.pinterest.accounts import User
from tests.emulators.pinterest.pages import page
from tests.emulators.pinterest.refusals import RefusalError, invalid, unknown_app, unknown_redirect
from tests.emulators.pinterest.tokens import CLIENT_ID, Tokens
from tests.emulators.pinterest.world import World

PATH = "/oauth/"
APP_NAME = "Audience export (sandbox app)"
# What each scope allows, in words for the person who is asked.
SCOPES = {
    "ads:read": "See your ad accounts, audiences and customer lists",
    "ads:write": "Create, change and remove your audiences and customer lists",
    "user_accounts:read": "See your user name and business name",
    "billing:read": "See your billing data",
    "boards:read": "See your public boards",
    "catalogs:read": "See your catalogs",
    "pins:read": "See your public Pins",
}


@dataclass(frozen=True, kw_only=True)
class _Request:
    """What an app asks a user for; `scopes` are in the order asked for."""

    redirect_uri: str
    scopes: tuple[str, ...]
    state: str | None

    def fields(self) -> dict[str, str]:
        """The parameters of the address, which the page's form sends back."""
        fields = {
            "client_id": CLIENT_ID,
            "redirect_uri": self.redirect_uri,
            "response_type": "code",
            "scope": ",".join(self.scopes),
        }
        return fields if self.state is None else fields | {"state": self.state}

    def redirect(self, answer: Mapping[str, str]) -> str:
        """The redirect's address with an answer and the state."""
        state = {} if self.state is None else {"state": self.state}
        scheme, host, path, query, _ = urlsplit(self.redirect_uri)
        more = urlencode(dict(answer) | state)
        return urlunsplit((scheme, host, path, f"{query}&{more}" if query else more, ""))


class Consent:
    """The handlers of the page and of its two buttons."""

    def __init__(self, *, world: World, tokens: Tokens) -> None:
        self._world = world
        self._tokens = tokens

    def routes(self) -> list[web.RouteDef]:
        return [web.get(PATH, self._show), web.post(PATH, self._decide)]

    async def _show(self, request: web.Request) -> web.StreamResponse:
        try:
            asked = self._read_request(request.query)
        except RefusalError as refusal:
            return _json(refusal)
        with self._world.lock:
            accounts = {
                user.id: [account for account in self._world.accounts.values() if account.may_read(user)]
                for user in self._world.users.values()
            }
            users = list(self._world.users.values())
        return page(
            "consent.html",
            app_name=APP_NAME,
            client_id=CLIENT_ID,
            scopes=[(scope, SCOPES[scope]) for scope in asked.scopes],
            users=users,
            accounts=accounts,
            fields=asked.fields(),
            host=urlsplit(asked.redirect_uri).netloc,
        )

    async def _decide(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        try:
            asked = self._read_request(form)
            user = self._user(form)
        except RefusalError as refusal:
            return _json(refusal)
        if form.get("decision") == "approve":
            code = self._tokens.consent(user, scopes=frozenset(asked.scopes), redirect_uri=asked.redirect_uri)
            raise web.HTTPFound(asked.redirect({"code": code}))
        raise web.HTTPFound(asked.redirect({"error": "access_denied"}))

    def _read_request(self, query: Mapping[str, str]) -> _Request:
        """Raises the refusal of a request that no consent can answer."""
        if query.get("client_id") != CLIENT_ID:
            raise unknown_app()
        if query.get("redirect_uri") not in self._world.switches.redirect_uris:
            raise unknown_redirect()
        if query.get("response_type") != "code":
            raise invalid("response_type must be code")
        scopes = tuple(scope for scope in query.get("scope", "").split(",") if scope)
        if not scopes or not set(scopes) <= set(SCOPES):
            raise invalid(f"scope must be some of {', '.join(SCOPES)}, separated by commas")
        return _Request(redirect_uri=query["redirect_uri"], scopes=scopes, state=query.get("state"))

    def _user(self, form: Mapping[str, str]) -> User:
        user = self._world.users.get(form.get("user_id", ""))
        if user is None or form.get("decision") not in ("approve", "refuse"):
            raise invalid("choose an account, and approve or refuse")
        return user


def _json(refusal: RefusalError) -> web.Response:
    return web.json_response({"code": refusal.code, "message": refusal.message}, status=refusal.status)
