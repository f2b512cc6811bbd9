"""The actions, in Pinterest's own words. Each first looks (reads only), then performs; run twice, it ends in one place.

The user knows an audience; records go to the customer list behind it (`rule.customer_list_id`).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from td_pinterest_op.audiences.audiences import Audiences, is_removed, label
from td_pinterest_op.audiences.create_once import oldest
from td_pinterest_op.audiences.customer_lists import CustomerLists, is_made_empty
from td_pinterest_op.errors import AudienceError, ExportError
from td_pinterest_op.pinterest.api import CUSTOMER_LIST, Api, Audience, CustomerList
from td_pinterest_op.settings.parse import Action, Settings
from td_pinterest_op.stats import Stats

log = logging.getLogger(__name__)

READS_ROWS = frozenset({Action.ADD, Action.REMOVE, Action.CREATE, Action.REPLACE})
_NOT_CREATED = "Pinterest answered that it created the audience, but it cannot be read back with its customer list"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What an action found on Pinterest. `changes` and `writes` are for the plan: what will be created, changed or left
    behind, and how many requests that takes beside the batches."""

    audience: Audience | None = None
    own_list: CustomerList | None = None
    changes: tuple[str, ...] = ()
    writes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What there is to send: how many records, the type of a list made for them, and `send(list id, ADD or REMOVE)`.

    `same_as` tells whether another job, given by its id, has the very same records.
    """

    unique: int
    list_type: str
    send: Callable[[str, str], None]
    same_as: Callable[[str], bool]


class Actions:
    """The six actions. Raises AudienceError when one cannot be done, and what goes wrong on the way."""

    def __init__(
        self, *, settings: Settings, api: Api, stats: Stats, session_key: str, sleep: Callable[[float], None]
    ) -> None:
        self._settings, self._api, self._stats = settings, api, stats
        self._lists = CustomerLists(api=api, session_key=session_key, in_use=self._lists_in_use, sleep=sleep)
        self._audiences = Audiences(api=api, ad_account_id=settings.ad_account_id, lists=self._lists, sleep=sleep)

    def look(self, records: Records | None) -> Target:
        """Find what the action needs; writes nothing. `records` is None before the rows are read, or when none are."""
        target = _LOOKS[self._settings.action](self, records)
        self._note(target.audience)
        return target

    def perform(self, target: Target, records: Records | None) -> None:
        """Do it; `records` is None for the actions that read no rows."""
        _PERFORMANCES[self._settings.action](self, target, records)

    # -- add, remove

    def _look_at_list(self, records: Records | None) -> Target:  # noqa: ARG002 - alike for all actions
        audience = self._audiences.usable(self._audience_id)
        verb = "add to" if self._settings.action is Action.ADD else "remove from"
        return Target(audience=audience, changes=(f"{verb} {label(audience)} (customer list {_list_of(audience)})",))

    def _add(self, target: Target, records: Records | None) -> None:
        self._send(records, _list_of(target.audience), "ADD")

    def _remove(self, target: Target, records: Records | None) -> None:
        self._send(records, _list_of(target.audience), "REMOVE")

    # -- create

    def _look_for_name(self, records: Records | None) -> Target:
        name = self._new_name
        named = self._audiences.with_name(name)
        own = self._audiences.made_by_this_session(named)
        if own is None and named:
            raise AudienceError(_taken_name(oldest(named)))
        own_list = self._own_list(name, records)
        if own is not None:
            return self._moving(own, own_list, list_name=self._lists.name(name, self._stats.job_id))
        kept, changes = _list_changes(own_list, list_name=self._lists.name(name, self._stats.job_id))
        changes.append(f'create audience "{name}" on it')
        return Target(own_list=own_list, changes=(*kept, *changes), writes=len(changes))

    def _create(self, target: Target, records: Records | None) -> None:
        name = self._new_name
        made = self._filled_list(target, name, records)
        with self._all_in(made):
            if target.audience:
                self._move(target.audience, made)
            audience = target.audience or self._audiences.create(
                name, description=self._settings.audience_description, list_id=made.id
            )
            self._audiences.remove_duplicates(audience)
            self._note(self._audiences.confirm_list(audience.id, list_id=made.id, message=_NOT_CREATED))

    @property
    def _new_name(self) -> str:
        assert self._settings.audience_name  # noqa: S101 - the settings see to it
        return self._settings.audience_name

    # -- replace, clear

    def _look_at_replacement(self, records: Records | None) -> Target:
        if records and not records.unique:
            return self._look_at_emptying(records)
        audience = self._audiences.usable(self._audience_id)
        list_name = self._lists.name(audience.name, self._stats.job_id)
        return self._moving(audience, self._own_list(audience.name, records), list_name=list_name)

    def _replace(self, target: Target, records: Records | None) -> None:
        audience = _there(target.audience)
        if records and not records.unique:
            self._clear(target, records)
        else:
            made = self._filled_list(target, audience.name, records)
            with self._all_in(made):
                self._move(audience, made)

    def _look_at_emptying(self, records: Records | None) -> Target:  # noqa: ARG002 - alike for all actions
        audience = self._audiences.usable(self._audience_id)
        behind = self._api.customer_list(_list_of(audience))
        if behind and is_made_empty(behind):
            return Target(audience=audience, own_list=behind, changes=(f"none: {label(audience)} is empty already",))
        return self._moving(
            audience, self._lists.unused_empty(audience.name), list_name=self._lists.name(audience.name)
        )

    def _clear(self, target: Target, records: Records | None) -> None:  # noqa: ARG002 - alike for all actions
        audience = _there(target.audience)
        self._move(audience, target.own_list or self._lists.create_empty(audience.name))

    def _moving(self, audience: Audience, own: CustomerList | None, *, list_name: str) -> Target:
        behind = _list_of(audience)
        kept, changes = _list_changes(own, list_name=list_name)
        if own is None or own.id != behind:
            changes.append(f"move {label(audience)} to it; customer list {behind} is left behind")
        return Target(audience=audience, own_list=own, changes=(*kept, *changes), writes=len(changes))

    def _move(self, audience: Audience, made: CustomerList) -> None:
        behind = _list_of(audience)
        if behind == made.id:
            self._stats.customer_list_id = made.id
            return
        # Until it is read back, what the audience stands on is the old list.
        self._stats.customer_list_id = behind
        self._api.move_audience(audience.id, customer_list_id=made.id)
        self._audiences.confirm_list(
            audience.id,
            list_id=made.id,
            message=(
                f"Pinterest said that it moved {label(audience)} to customer list {made.id}, but the audience still "
                f"stands on {behind}: its members are as they were, and list {made.id} is left behind unused. "
                "Pinterest does not seem to move this audience: create a new one (create_new_audience) and delete this "
                "one, or keep it up to date with add_people_to_current_audience and remove_people_from_current_audience"
            ),
        )
        self._stats.customer_list_id, self._stats.previous_customer_list_id = made.id, behind

    # -- delete

    def _look_at_removal(self, records: Records | None) -> Target:  # noqa: ARG002 - alike for all actions
        found = self._audiences.removable(self._audience_id)
        if found is not None and not is_removed(found):
            return Target(audience=found, changes=(f"remove {label(found)}; its customer list stays",), writes=1)
        if found is not None:
            return Target(audience=found, changes=(f"none: {label(found)} is removed already",))
        return Target(changes=(f"remove audience {self._audience_id}, which cannot be read (any more)",), writes=1)

    def _delete(self, target: Target, records: Records | None) -> None:  # noqa: ARG002 - alike for all actions
        self._stats.audience_id = self._audience_id
        if not target.writes:
            log.info("audience %s is removed already", self._audience_id)
            return
        # One that was there a moment ago is gone for a ghost of this task, or for a try whose answer was lost.
        if not self._audiences.remove(self._audience_id) and target.audience is None:
            raise AudienceError(
                f"Pinterest knows no audience {self._audience_id} in ad account {self._settings.ad_account_id}: either "
                "it was deleted before, or it never existed there. Check audience_id_delete and ad_account_id"
            )
        if target.audience is None:
            log.info("audience %s could not be read, but its removal was accepted: removed already", self._audience_id)

    # -- what several actions do

    @property
    def _audience_id(self) -> str:
        assert self._settings.audience_id  # noqa: S101 - the settings see to it
        return self._settings.audience_id

    def _lists_in_use(self) -> Collection[str]:
        """The lists behind all audiences but the one that is worked on: the named one, or that of the new name."""
        one, new = self._settings.audience_id, self._settings.audience_name
        return {
            audience.customer_list_id
            for audience in self._api.audiences()
            if audience.customer_list_id and audience.id != one and audience.name != new
        }

    def _note(self, audience: Audience | None) -> None:
        if audience:
            self._stats.audience_id, self._stats.audience_name = audience.id, audience.name
            self._stats.customer_list_id = audience.customer_list_id

    def _send(self, records: Records | None, list_id: str, operation: str) -> None:
        assert records is not None  # noqa: S101 - only actions without rows have none
        self._stats.customer_list_id = list_id
        records.send(list_id, operation)

    def _own_list(self, audience_name: str, records: Records | None) -> CustomerList | None:
        """The list of an earlier try of this session, if it was made for the very same records."""
        if records is None:
            return None
        return self._lists.started(audience_name, job_id=self._stats.job_id, same_records=records.same_as)

    def _filled_list(self, target: Target, audience_name: str, records: Records | None) -> CustomerList:
        assert records is not None  # noqa: S101 - only actions without rows have none
        name = self._lists.name(audience_name, self._stats.job_id)
        made = target.own_list or self._lists.create(name, records.list_type)
        self._send(records, made.id, "ADD")
        return made

    @contextlib.contextmanager
    def _all_in(self, made: CustomerList) -> Iterator[None]:
        """What is left to do once all records are in a list; an error says so."""
        try:
            yield
        except ExportError as error:
            raise error.extended(
                f". All {self._stats.sent} records are in customer list {made.id}, but it is not seen behind the "
                "audience. Running this task again is safe: it goes on from there"
            ) from None


def _list_changes(own: CustomerList | None, *, list_name: str) -> tuple[list[str], list[str]]:
    """What the plan says of the list to fill: what is there already, and what has to be created."""
    if own:
        return [f"go on with customer list {own.id} of this session's earlier try"], []
    return [], [f'create customer list "{list_name}"']


def _taken_name(audience: Audience) -> str:
    use = f"to put people into it use action {Action.ADD.value} or {Action.REPLACE.value} with its id, or "
    return (
        f'an audience named "{audience.name}" already exists (id {audience.id}): '
        f"{use if audience.audience_type == CUSTOMER_LIST else ''}choose another audience_name"
    )


def _there(audience: Audience | None) -> Audience:
    assert audience is not None  # noqa: S101 - `look` has found it
    return audience


def _list_of(audience: Audience | None) -> str:
    list_id = _there(audience).customer_list_id
    assert list_id is not None  # noqa: S101 - `_audience` has checked it
    return list_id


_LOOKS: dict[Action, Callable[[Actions, Records | None], Target]] = {
    Action.ADD: Actions._look_at_list,
    Action.REMOVE: Actions._look_at_list,
    Action.CREATE: Actions._look_for_name,
    Action.REPLACE: Actions._look_at_replacement,
    Action.CLEAR: Actions._look_at_emptying,
    Action.DELETE: Actions._look_at_removal,
}
_PERFORMANCES: dict[Action, Callable[[Actions, Target, Records | None], None]] = {
    Action.ADD: Actions._add,
    Action.REMOVE: Actions._remove,
    Action.CREATE: Actions._create,
    Action.REPLACE: Actions._replace,
    Action.CLEAR: Actions._clear,
    Action.DELETE: Actions._delete,
}
