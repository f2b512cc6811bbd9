"""What settings and linter know of an action. The actions are in `audiences.actions`."""

import enum
from dataclasses import dataclass


class Scope(enum.Enum):
    """The subject of a setting. An action uses the settings of its scopes, and the settings that it names."""

    EVERY_ACTION = "every action"
    ROWS = "the rows of a query"
    PEOPLE = "the people who are added"
    NEW_AUDIENCE = "the audience that is created"
    OLD_AUDIENCE = "the audience that is changed"
    NEW_LIST = "the customer list that is filled for an audience"
    NAMED = "only the actions that name the setting"


@dataclass(frozen=True, kw_only=True)
class ActionSpec:
    """The description of an action that `result_settings` can name.

    `audience_id`: its own setting for the audience's id. `needs`: the settings that it requires. `uses`: settings
    besides those of its `scopes`. `only_once`: it fails in a second session, unless `if_exists` allows it.
    `leaves_lists`: each session orphans a customer list. `drops_members`: members who are not in the rows leave.
    `finds_by_name`: its audience may be named by `audience_name`, and is created if it does not exist. `needs_query`:
    the warehouse reads the rows. `least_records`: the default of `min_records`.
    """

    name: str
    aliases: tuple[str, ...] = ()
    audience_id: str | None = None
    scopes: frozenset[Scope]
    needs: frozenset[str] = frozenset()
    uses: frozenset[str] = frozenset()
    only_once: bool = False
    leaves_lists: bool = False
    drops_members: bool = False
    finds_by_name: bool = False
    needs_query: bool = False
    least_records: int | None = None

    @property
    def reads_rows(self) -> bool:
        """Whether the action exports the rows of a query."""
        return Scope.ROWS in self.scopes

    @property
    def adds_people(self) -> bool:
        """Whether the action may add people to an audience."""
        return Scope.PEOPLE in self.scopes
