"""What Pinterest holds: ad accounts, customer lists with their real members, audiences."""

from __future__ import annotations

import copy
import hashlib
import itertools
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Generic, TypeVar

from tests.emulators.pinterest.accounts import AD_ACCOUNT_ID, ROLES, USER, AdAccount, User
from tests.emulators.pinterest.advertising import Advertising
from tests.emulators.pinterest.refusals import not_found, not_permitted
from tests.emulators.pinterest.switches import Switches

# Fewer matched people than this and a list cannot be used.
SMALLEST_AUDIENCE = 100
# 18 digits, beyond 2^53: an id that went through a floating point number is another one.
_FIRST_ID = 549_755_885_175_000_001
# 19 digits, which still fit into 63 bits.
_LONG_ID = 4_000_000_000_000_000_000
_T = TypeVar("_T")


@dataclass(slots=True, kw_only=True)
class CustomerList:
    """`members` are 32-byte digests; the counters rise as the API description says. Times: seconds since 1970."""

    id: str
    ad_account_id: str
    name: str
    list_type: str
    created: float
    updated: float
    members: set[bytes] = field(default_factory=set)
    num_batches: int = 1
    num_uploaded: int = 0
    num_removed: int = 0
    is_nca: bool = False

    def fingerprint(self) -> str:
        """SHA-256, in hex, over the sorted digests."""
        return hashlib.sha256(b"".join(sorted(self.members))).hexdigest()


@dataclass(slots=True, kw_only=True)
class Audience:
    """`shared_with` are the ad accounts that receive it; `size` None: that of the list behind it."""

    id: str
    ad_account_id: str
    name: str
    audience_type: str
    rule: dict[str, Any]
    created: float
    updated: float
    description: str | None = None
    shared_with: frozenset[str] = frozenset()
    removed: bool = False
    size: int | None = None
    status: str | None = None


class Past(Generic[_T]):
    """What lists or audiences looked like a while ago, for reads that lag: versions by id, oldest first.

    Times are seconds since 1970; the caller holds the world's lock. What was never noted has always looked as it does
    now: a test's own seeds are visible at once.
    """

    def __init__(self) -> None:
        self._versions: dict[str, list[tuple[float, _T | None]]] = {}

    def note(self, id_: str, before: _T | None, now: float) -> None:
        """Keep what `id_` looked like until now; None: it did not exist."""
        self._versions.setdefault(id_, []).append((now, copy.copy(before)))

    def seen(self, id_: str, current: _T, at: float) -> _T | None:
        """What `id_` looked like at a time; None: it did not exist yet."""
        for until, version in self._versions.get(id_, ()):
            if at < until:
                return version
        return current

    def oldest(self, id_: str, current: _T) -> _T:
        """What `id_` looked like when it was made."""
        return next((version for _, version in self._versions.get(id_, ()) if version is not None), current)


class World:
    """Every method may be called from any thread; lists and audiences handed out are the live ones: only read them.

    `clock` gives seconds since 1970.
    """

    def __init__(self, *, switches: Switches, clock: Callable[[], float]) -> None:
        self.switches, self.clock = switches, clock
        self.lock = threading.RLock()
        self.users: dict[str, User] = {USER.id: USER}
        self.accounts: dict[str, AdAccount] = {}
        self.lists: dict[str, CustomerList] = {}
        self.audiences: dict[str, Audience] = {}
        self.past_lists: Past[CustomerList] = Past()
        self.past_audiences: Past[Audience] = Past()
        # What was asked for and did not exist, with `Switches.unknown_audiences`: "ad account" or "audience" by id.
        self.unknown: dict[str, str] = {}
        # None ends in a zero: the operator warns of ids that look as if a template had rounded them.
        self._ids = (number for number in itertools.count(_FIRST_ID) if number % 10)
        self.advertising = Advertising(new_id=self._new_id)
        self.add_ad_account(AD_ACCOUNT_ID, name="Emulated ad account")

    def _new_id(self) -> str:
        # Ids of somebody's choice may stand anywhere in the row.
        return next(id_ for id_ in map(str, self._ids) if id_ not in self.audiences)

    # -- making, for the API and for tests ----------------------------------------------------------------------

    def add_user(self, username: str, *, business_name: str | None = None) -> User:
        """A user who can consent; without a role on any ad account until one is made with it."""
        with self.lock:
            user = User(id=self._new_id(), username=username, business_name=business_name)
            self.users[user.id] = user
            return user

    def add_ad_account(
        self,
        ad_account_id: str,
        *,
        name: str = "Ad account",
        owner: User = USER,
        roles: Mapping[str, Sequence[str]] | None = None,
    ) -> AdAccount:
        """A new ad account. `roles` are those of users who do not own it, by username.

        Raises ValueError for an unknown user or role.
        """
        with self.lock:
            users = {user.username: user.id for user in self.users.values()}
            held: dict[str, tuple[str, ...]] = {owner.id: ("OWNER",)}
            for username, given in (roles or {}).items():
                if username not in users or not set(given) <= set(ROLES):
                    raise ValueError(f"roles are those of {', '.join(users)}: {', '.join(ROLES)}")
                held[users[username]] = tuple(given)
            account = AdAccount(id=ad_account_id, name=name, owner=owner, roles=held)
            self.accounts[ad_account_id] = account
            return account

    def add_list(
        self, name: str, *, ad_account_id: str = AD_ACCOUNT_ID, list_type: str = "EMAIL", members: Iterable[str] = ()
    ) -> CustomerList:
        """A new list; `members` are hex digests."""
        with self.lock:
            now = self.clock()
            made = CustomerList(
                id=self._new_id(),
                ad_account_id=ad_account_id,
                name=name,
                list_type=list_type,
                created=now,
                updated=now,
                members={bytes.fromhex(member) for member in members},
            )
            made.num_uploaded = len(made.members)
            self.lists[made.id] = made
            return made

    def add_audience(
        self, name: str, *, customer_list_id: str | None = None, ad_account_id: str = AD_ACCOUNT_ID, **fields: Any
    ) -> Audience:
        """A new audience; `fields` are the other ones of Audience (audience_type, rule, shared_with, removed, …)."""
        rule = {} if customer_list_id is None else {"customer_list_id": customer_list_id}
        with self.lock:
            now = self.clock()
            values: dict[str, Any] = {
                "audience_type": "CUSTOMER_LIST",
                "rule": rule,
                "created": now,
                "updated": now,
            } | fields
            values["shared_with"] = frozenset(values.get("shared_with", ()))
            long = _LONG_ID if self.switches.long_audience_ids else 0
            values.setdefault("id", str(int(self._new_id()) + long))
            made = Audience(ad_account_id=ad_account_id, name=name, **values)
            self.audiences[made.id] = made
            return made

    def move_audience(self, audience_id: str, customer_list_id: str) -> None:
        """Put another list behind an audience, as somebody else would; reads show it at once."""
        with self.lock:
            held = self.audiences[audience_id]
            held.rule = {"customer_list_id": self.lists[customer_list_id].id}
            held.updated = self.clock()

    # -- how reads see it: a while ago --------------------------------------------------------------------------

    def note_list(self, held: CustomerList, *, is_new: bool = False) -> None:
        """Note how a list looks, right before a request changes it, or right after one made it."""
        self.past_lists.note(held.id, None if is_new else held, self.clock())

    def note_audience(self, held: Audience, *, is_new: bool = False) -> None:
        """As `note_list`, for an audience."""
        self.past_audiences.note(held.id, None if is_new else held, self.clock())

    def seen_list(self, held: CustomerList, lag: float) -> CustomerList | None:
        """A list as it was `lag` seconds ago; None: it was not made yet."""
        return self.past_lists.seen(held.id, held, self.clock() - lag)

    def seen_audience(self, held: Audience, lag: float) -> Audience | None:
        """An audience as it was `lag` seconds ago, with the rule that may lag further behind; None: not made yet."""
        now = self.clock()
        seen = self.past_audiences.seen(held.id, held, now - lag)
        if seen is None:
            return None
        moved = self.past_audiences.seen(held.id, held, now - max(lag, self.switches.move_lag_seconds))
        return replace(seen, rule=(moved or self.past_audiences.oldest(held.id, held)).rule)

    # -- finding, with the refusals of the API ------------------------------------------------------------------

    def account(self, ad_account_id: str, user: User, *, writes: bool = False) -> AdAccount:
        """One that the user may read, or write."""
        account = self.accounts.get(ad_account_id)
        if account is None and self.switches.unknown_audiences is not None:
            self.unknown.setdefault(ad_account_id, "ad account")
            account = self.add_ad_account(ad_account_id)
        if account is None:
            raise not_found("AdAccount")
        if not (account.may_write(user) if writes else account.may_read(user)):
            raise not_permitted()
        return account

    def customer_list(self, ad_account_id: str, list_id: str) -> CustomerList:
        customer_list = self.lists.get(list_id)
        if customer_list is None or customer_list.ad_account_id != ad_account_id:
            raise not_found("Customer list")
        return customer_list

    def audience(self, ad_account_id: str, audience_id: str) -> Audience:
        """One that the ad account owns or has received, removed or not."""
        audience = self.audiences.get(audience_id)
        if audience is None and self.switches.unknown_audiences is not None:
            audience = self._make_unknown(ad_account_id, audience_id, self.switches.unknown_audiences)
        if audience is None or ad_account_id not in {audience.ad_account_id, *audience.shared_with}:
            raise not_found("Audience")
        return audience

    def _make_unknown(self, ad_account_id: str, audience_id: str, names: Mapping[str, str]) -> Audience | None:
        self.unknown.setdefault(audience_id, "audience")
        if self.switches.makes_named_only and audience_id not in names:
            return None
        name = names.get(audience_id, f"Audience {audience_id}")
        held = self.add_list(name, ad_account_id=ad_account_id)
        return self.add_audience(name, id=audience_id, customer_list_id=held.id, ad_account_id=ad_account_id)

    # -- asking, for tests --------------------------------------------------------------------------------------

    def members(self, list_id: str) -> set[str]:
        """Who is in a list: hex digests."""
        with self.lock:
            return {member.hex() for member in self.lists[list_id].members}

    def lists_named(self, name: str) -> list[CustomerList]:
        with self.lock:
            return [customer_list for customer_list in self.lists.values() if customer_list.name == name]

    def audiences_named(self, name: str, *, removed: bool | None = False) -> list[Audience]:
        """`removed` None: both those that are removed and those that are not."""
        with self.lock:
            return [held for held in self.audiences.values() if held.name == name and removed in (None, held.removed)]

    def members_of_audience(self, audience_id: str) -> set[str]:
        """Who is in the list behind an audience now: hex digests."""
        with self.lock:
            return self.members(self.audiences[audience_id].rule["customer_list_id"])

    def state(self) -> dict[str, Any]:
        """Everything but the members, as JSON types."""
        with self.lock:
            return {
                "ad_accounts": [{"id": held.id, "name": held.name} for held in self.accounts.values()],
                "lists": [_state_of(held) for held in self.lists.values()],
                "audiences": [_state_of(held) for held in self.audiences.values()],
            }


def _state_of(held: CustomerList | Audience) -> dict[str, Any]:
    """As JSON types, with the members counted."""
    state = {field.name: getattr(held, field.name) for field in fields(held)}
    if isinstance(held, CustomerList):
        return state | {"members": len(held.members), "fingerprint": held.fingerprint()}
    return state | {"shared_with": sorted(held.shared_with)}
