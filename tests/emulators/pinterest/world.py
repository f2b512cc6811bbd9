"""What Pinterest holds: ad accounts, customer lists with their real members, audiences."""

import copy
import itertools
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Generic, TypeVar

from tests.emulators.pinterest.accounts import AD_ACCOUNT_ID, USER, AdAccount, User
from tests.emulators.pinterest.advertising import Advertising
from tests.emulators.pinterest.refusals import not_found, not_permitted
from tests.emulators.pinterest.switches import Switches

# Fewer matched people than this and a list cannot be used.
SMALLEST_AUDIENCE = 100
# 18 digits, beyond 2^53: an id that went through a floating point number is another one.
_FIRST_ID = 549_755_885_175_000_001
_T = TypeVar("_T")


@dataclass(kw_only=True)
class CustomerList:
    """`members` are 32-byte digests; the counters rise as in the API description. Times: seconds since 1970."""

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


@dataclass(kw_only=True)
class Audience:
    """`shared_with` are the ad accounts that receive it; `size` None: that of its list."""

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


class PastVersions(Generic[_T]):
    """Earlier versions of lists or audiences, for reads that lag: by id, oldest first.

    Times are seconds since 1970; the caller holds the world's lock. What was never recorded has always had its
    present version: what a test adds is visible at once.
    """

    def __init__(self) -> None:
        self._versions: dict[str, list[tuple[float, _T | None]]] = {}

    def record(self, id_: str, before: _T | None, now: float) -> None:
        """Keep the version of `id_` that was valid until now; None: it did not exist."""
        self._versions.setdefault(id_, []).append((now, copy.copy(before)))

    def version_at(self, id_: str, current: _T, at: float) -> _T | None:
        """Return the version of `id_` at a time; None: it did not exist yet."""
        for until, version in self._versions.get(id_, ()):
            if at < until:
                return version
        return current

    def first_version(self, id_: str, current: _T) -> _T:
        """Return the version of `id_` right after its creation."""
        return next((version for _, version in self._versions.get(id_, ()) if version is not None), current)


class World:
    """Every method may be called from any thread; returned lists and audiences are the live ones: only read them.

    `clock` gives seconds since 1970.
    """

    def __init__(self, *, switches: Switches, clock: Callable[[], float]) -> None:
        self.switches = switches
        self.clock = clock
        self.lock = threading.RLock()
        self.users: dict[str, User] = {USER.id: USER}
        self.accounts: dict[str, AdAccount] = {}
        self.lists: dict[str, CustomerList] = {}
        self.audiences: dict[str, Audience] = {}
        self.past_lists: PastVersions[CustomerList] = PastVersions()
        self.past_audiences: PastVersions[Audience] = PastVersions()
        # What was asked for and did not exist, with `Switches.unknown_audiences`: "ad account" or "audience" by id.
        self.unknown: dict[str, str] = {}
        # Ids that nothing new gets.
        self.reserved_ids: set[str] = set()
        # No id ends in a zero: the operator warns of ids that a template seems to have rounded.
        self._ids = (number for number in itertools.count(_FIRST_ID) if number % 10)
        self.advertising = Advertising(new_id=self._new_id)
        self.add_ad_account(AD_ACCOUNT_ID, name="Emulated ad account")

    def _new_id(self) -> str:
        # A test may have chosen any id of the row.
        ids = map(str, self._ids)
        return next(id_ for id_ in ids if id_ not in self.audiences and id_ not in self.reserved_ids)

    # -- additions, by the API and by tests ---------------------------------------------------------------------------

    def add_user(self, username: str, *, business_name: str | None = None) -> User:
        """Add a user who can consent; without a role on any ad account until one is added with it."""
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
        """Add an ad account. `roles` are those of users who do not own it, by username."""
        with self.lock:
            users = {user.username: user.id for user in self.users.values()}
            roles_by_id: dict[str, tuple[str, ...]] = {owner.id: ("OWNER",)}
            for username, of_user in (roles or {}).items():
                roles_by_id[users[username]] = tuple(of_user)
            account = AdAccount(id=ad_account_id, name=name, owner=owner, roles=roles_by_id)
            self.accounts[ad_account_id] = account
            return account

    def add_list(
        self, name: str, *, ad_account_id: str = AD_ACCOUNT_ID, list_type: str = "EMAIL", members: Iterable[str] = ()
    ) -> CustomerList:
        """Add a list; `members` are hex digests."""
        with self.lock:
            now = self.clock()
            customer_list = CustomerList(
                id=self._new_id(),
                ad_account_id=ad_account_id,
                name=name,
                list_type=list_type,
                created=now,
                updated=now,
                members={bytes.fromhex(member) for member in members},
            )
            customer_list.num_uploaded = len(customer_list.members)
            self.lists[customer_list.id] = customer_list
            return customer_list

    def add_audience(
        self, name: str, *, customer_list_id: str | None = None, ad_account_id: str = AD_ACCOUNT_ID, **fields: Any
    ) -> Audience:
        """Add an audience; `fields` are the other fields of Audience (audience_type, rule, shared_with, removed, …)."""
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
            values.setdefault("id", self._new_id())
            audience = Audience(ad_account_id=ad_account_id, name=name, **values)
            self.audiences[audience.id] = audience
            return audience

    def move_audience(self, audience_id: str, customer_list_id: str) -> None:
        """Switch an audience to another list, as a person or another program would; reads show it at once."""
        with self.lock:
            audience = self.audiences[audience_id]
            audience.rule = {"customer_list_id": self.lists[customer_list_id].id}
            audience.updated = self.clock()

    # -- versions for reads that lag ----------------------------------------------------------------------------------

    def record_list(self, customer_list: CustomerList, *, is_new: bool = False) -> None:
        """Record the version of a list, right before a request changes it, or right after one creates it."""
        self.past_lists.record(customer_list.id, None if is_new else customer_list, self.clock())

    def record_audience(self, audience: Audience, *, is_new: bool = False) -> None:
        """As `record_list`, for an audience."""
        self.past_audiences.record(audience.id, None if is_new else audience, self.clock())

    def lagging_list(self, customer_list: CustomerList, lag: float) -> CustomerList | None:
        """Return the version of a list `lag` seconds ago; None: it did not exist yet."""
        return self.past_lists.version_at(customer_list.id, customer_list, self.clock() - lag)

    def lagging_audience(self, audience: Audience, lag: float) -> Audience | None:
        """Return the version of an audience `lag` seconds ago, whose rule may be older; None: it did not exist yet."""
        now = self.clock()
        version = self.past_audiences.version_at(audience.id, audience, now - lag)
        if version is None:
            return None
        older = self.past_audiences.version_at(audience.id, audience, now - max(lag, self.switches.move_lag_seconds))
        return replace(version, rule=(older or self.past_audiences.first_version(audience.id, audience)).rule)

    # -- look-ups, with the refusals of the API -----------------------------------------------------------------------

    def require_account(self, ad_account_id: str, user: User, *, writes: bool = False) -> AdAccount:
        """Return an ad account that the user may read, or write. Raises the refusal."""
        account = self.accounts.get(ad_account_id)
        if account is None and self.switches.unknown_audiences is not None:
            self.unknown.setdefault(ad_account_id, "ad account")
            account = self.add_ad_account(ad_account_id)
        if account is None:
            raise not_found("AdAccount")
        if not (account.may_write(user) if writes else account.may_read(user)):
            raise not_permitted()
        return account

    def require_list(self, ad_account_id: str, list_id: str) -> CustomerList:
        customer_list = self.lists.get(list_id)
        if customer_list is None or customer_list.ad_account_id != ad_account_id:
            raise not_found("Customer list")
        return customer_list

    def require_audience(self, ad_account_id: str, audience_id: str) -> Audience:
        """Return an audience that the ad account owns or has received, removed or not. Raises the refusal."""
        audience = self.audiences.get(audience_id)
        if audience is None and self.switches.unknown_audiences is not None:
            audience = self._make_unknown(ad_account_id, audience_id, self.switches.unknown_audiences)
        if audience is None or ad_account_id not in {audience.ad_account_id, *audience.shared_with}:
            raise not_found("Audience")
        return audience

    def _make_unknown(self, ad_account_id: str, audience_id: str, names: Mapping[str, str]) -> Audience:
        self.unknown.setdefault(audience_id, "audience")
        name = names.get(audience_id, f"Audience {audience_id}")
        customer_list = self.add_list(name, ad_account_id=ad_account_id)
        return self.add_audience(name, id=audience_id, customer_list_id=customer_list.id, ad_account_id=ad_account_id)

    # -- questions of tests -------------------------------------------------------------------------------------------

    def members(self, list_id: str) -> set[str]:
        """Return the hex digests of the people in a list."""
        with self.lock:
            return {member.hex() for member in self.lists[list_id].members}

    def lists_named(self, name: str) -> list[CustomerList]:
        with self.lock:
            return [customer_list for customer_list in self.lists.values() if customer_list.name == name]

    def audiences_named(self, name: str, *, removed: bool | None = False) -> list[Audience]:
        """Return the audiences of a name. `removed` None: both those that are removed and those that are not."""
        with self.lock:
            return [each for each in self.audiences.values() if each.name == name and removed in (None, each.removed)]

    def members_of_audience(self, audience_id: str) -> set[str]:
        """Return the hex digests of the people in the list that an audience uses now."""
        with self.lock:
            return self.members(self.audiences[audience_id].rule["customer_list_id"])

    def state(self) -> dict[str, Any]:
        """Return all but the members, as JSON types."""
        with self.lock:
            return {
                "ad_accounts": [{"id": account.id, "name": account.name} for account in self.accounts.values()],
                "lists": [_state_of(customer_list) for customer_list in self.lists.values()],
                "audiences": [_state_of(audience) for audience in self.audiences.values()],
            }


def _state_of(entity: CustomerList | Audience) -> dict[str, Any]:
    """As JSON types, with the members counted."""
    state = {field.name: getattr(entity, field.name) for field in fields(entity)}
    if isinstance(entity, CustomerList):
        return state | {"members": len(entity.members)}
    return state | {"shared_with": sorted(entity.shared_with)}
