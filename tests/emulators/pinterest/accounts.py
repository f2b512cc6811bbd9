"""Who may do what: Pinterest users, ad accounts, and the roles of users on them."""

from collections.abc import Mapping
from dataclasses import dataclass

AD_ACCOUNT_ID = "549755885175"

# A user with one of these roles may write customer lists and audiences.
WRITERS = frozenset({"OWNER", "ADMIN", "AUDIENCE_MANAGER"})


@dataclass(frozen=True, kw_only=True)
class User:
    """A Pinterest user, in whose name a token acts."""

    id: str
    username: str
    business_name: str | None = None


# The one in whose name the emulator's first refresh token acts.
USER = User(id="383791336903426391", username="emulated", business_name="Emulated Shop")


@dataclass(frozen=True, kw_only=True)
class AdAccount:
    """`roles` are those of each user, by the user's id."""

    id: str
    name: str
    owner: User = USER
    roles: Mapping[str, tuple[str, ...]]

    def may_read(self, user: User) -> bool:
        return bool(self.roles.get(user.id))

    def may_write(self, user: User) -> bool:
        return not WRITERS.isdisjoint(self.roles.get(user.id, ()))
