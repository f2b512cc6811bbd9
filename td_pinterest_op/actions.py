"""The actions, in Pinterest's own words. Each first looks (reads only), then performs; run twice, it ends in one place.

The user knows an audience; records go to the customer list behind it (`rule.customer_list_id`).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from td_pinterest_op.creation import created_once, lowest
from td_pinterest_op.customer_lists import CustomerLists, is_made_empty
from td_pinterest_op.errors import AudienceError, ExportError, PinterestError, RequestRefusedError
from td_pinterest_op.pinterest.api import CUSTOMER_LIST, Api, Audience, CustomerList
from td_pinterest_op.settings import Action, Settings
from td_pinterest_op.stats import Stats

log = logging.getLogger(__name__)

READS_ROWS = frozenset({Action.ADD, Action.REMOVE, Action.CREATE, Action.REPLACE})
# Statuses of an audience that was removed, where it can still be read. Not in the API description.
_REMOVED = frozenset({"REMOVED", "DELETED", "ARCHIVED"})
_READ_BACK = 3
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
        self._lists, self._sleep = CustomerLists(api=api, session_key=session_key, sleep=sleep), sleep

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
        audience = self._audience()
        verb = "add to" if self._settings.action is Action.ADD else "remove from"
        return Target(audience=audience, changes=(f"{verb} {_called(audience)} (customer list {_list_of(audience)})",))

    def _add(self, target: Target, records: Records | None) -> None:
        self._send(records, _list_of(target.audience), "ADD")

    def _remove(self, target: Target, records: Records | None) -> None:
        self._send(records, _list_of(target.audience), "REMOVE")

    # -- create

    def _look_for_name(self, records: Records | None) -> Target:
        name = self._new_name
        named = self._named(name)
        own = self._own_of(named)
        if own is None and named:
            raise AudienceError(
                f'an audience named "{name}" already exists (id {lowest(named).id}): to put people into it use '
                f"action {Action.ADD.value} or {Action.REPLACE.value} with its id, or choose another audience_name"
            )
        own_list = self._own_list(name, records)
        if own is not None:
            return self._moving(own, own_list, called=self._lists.name(name, self._stats.job_id))
        kept, changes = _list_changes(own_list, called=self._lists.name(name, self._stats.job_id))
        changes.append(f'create audience "{name}" on it')
        return Target(own_list=own_list, changes=(*kept, *changes), writes=len(changes))

    def _create(self, target: Target, records: Records | None) -> None:
        name = self._new_name
        made = self._filled_list(target, name, records)
        with self._all_in(made):
            if target.audience:
                self._move(target.audience, made)
            audience = target.audience or created_once(
                create=lambda: self._api.create_audience(
                    name=name, description=self._settings.audience_description, customer_list_id=made.id
                ),
                find=self._own_audience,
                retry=self._api.session.retry,
                sleep=self._sleep,
            )
            self._remove_doubles(audience)
            self._note(self._read_back(audience.id, list_id=made.id, failing=_NOT_CREATED))

    def _own_audience(self) -> Audience | None:
        """The audience that this session created: it has the name, and stands on a list of this session."""
        return self._own_of(self._named(self._new_name))

    def _own_of(self, named: Iterable[Audience]) -> Audience | None:
        own = [audience for audience in named if self._is_own(audience)]
        return lowest(own) if own else None

    def _named(self, name: str) -> list[Audience]:
        return [audience for audience in self._api.audiences() if audience.name == name and not _is_removed(audience)]

    def _is_own(self, audience: Audience) -> bool:
        return audience.customer_list_id is not None and self._lists.is_of_this_session(audience.customer_list_id)

    def _remove_doubles(self, kept: Audience) -> None:
        """A ghost of this task may have created the audience at the same moment: the one with the lower id stays."""
        for double in self._named(self._new_name):
            if int(double.id) > int(kept.id) and self._is_own(double):
                log.warning("removing audience %s: %s was created for this session, too", double.id, kept.id)
                self._removed(double.id)

    @property
    def _new_name(self) -> str:
        assert self._settings.audience_name  # noqa: S101 - the settings see to it
        return self._settings.audience_name

    # -- replace, clear

    def _look_at_replacement(self, records: Records | None) -> Target:
        if records and not records.unique:
            return self._look_at_emptying(records)
        audience = self._audience()
        called = self._lists.name(audience.name, self._stats.job_id)
        return self._moving(audience, self._own_list(audience.name, records), called=called)

    def _replace(self, target: Target, records: Records | None) -> None:
        audience = _there(target.audience)
        if records and not records.unique:
            self._clear(target, records)
        else:
            made = self._filled_list(target, audience.name, records)
            with self._all_in(made):
                self._move(audience, made)

    def _look_at_emptying(self, records: Records | None) -> Target:  # noqa: ARG002 - alike for all actions
        audience = self._audience()
        behind = self._api.customer_list(_list_of(audience))
        if behind and is_made_empty(behind):
            return Target(audience=audience, own_list=behind, changes=(f"none: {_called(audience)} is empty already",))
        return self._moving(audience, self._lists.empty(audience.name), called=self._lists.name(audience.name))

    def _clear(self, target: Target, records: Records | None) -> None:  # noqa: ARG002 - alike for all actions
        audience = _there(target.audience)
        self._move(audience, target.own_list or self._lists.make_empty(audience.name))

    def _moving(self, audience: Audience, own: CustomerList | None, *, called: str) -> Target:
        behind = _list_of(audience)
        kept, changes = _list_changes(own, called=called)
        if own is None or own.id != behind:
            changes.append(f"move {_called(audience)} to it; customer list {behind} is left behind")
        return Target(audience=audience, own_list=own, changes=(*kept, *changes), writes=len(changes))

    def _move(self, audience: Audience, made: CustomerList) -> None:
        behind = _list_of(audience)
        self._stats.customer_list_id = made.id
        if behind == made.id:
            return
        self._stats.previous_customer_list_id = behind
        self._api.move_audience(audience.id, customer_list_id=made.id)
        self._read_back(
            audience.id,
            list_id=made.id,
            failing=(
                f"Pinterest said that it moved {_called(audience)} to customer list {made.id}, but the audience still "
                f"stands on {behind}: its members are as they were, and list {made.id} is left behind unused. "
                "Pinterest does not seem to move this audience: create a new one (create_new_audience) and delete this "
                "one, or keep it up to date with add_people_to_current_audience and remove_people_from_current_audience"
            ),
        )

    # -- delete

    def _look_at_removal(self, records: Records | None) -> Target:  # noqa: ARG002 - alike for all actions
        found = self._api.audience(self._audience_id)
        if found is not None and not _is_removed(found):
            _check_kind(found, self._settings.ad_account_id)
            return Target(audience=found, changes=(f"remove {_called(found)}; its customer list stays",), writes=1)
        if found is not None:
            return Target(audience=found, changes=(f"none: {_called(found)} is removed already",))
        return Target(changes=(f"remove audience {self._audience_id}, which cannot be read (any more)",), writes=1)

    def _delete(self, target: Target, records: Records | None) -> None:  # noqa: ARG002 - alike for all actions
        self._stats.audience_id = self._audience_id
        if not target.writes:
            log.info("audience %s is removed already", self._audience_id)
            return
        # One that was there a moment ago is gone for a ghost of this task, or for a try whose answer was lost.
        if not self._removed(self._audience_id) and target.audience is None:
            raise AudienceError(
                f"Pinterest knows no audience {self._audience_id} in ad account {self._settings.ad_account_id}: either "
                "it was deleted before, or it never existed there. Check audience_id_delete and ad_account_id"
            )
        if target.audience is None:
            log.info("audience %s could not be read, but its removal was accepted: removed already", self._audience_id)

    def _removed(self, audience_id: str) -> bool:
        """Remove an audience; False when Pinterest does not know it."""
        try:
            self._api.remove_audience(audience_id)
        except RequestRefusedError as error:
            if error.status != 404:
                raise
            return False
        return True

    # -- what several actions do

    @property
    def _audience_id(self) -> str:
        assert self._settings.audience_id  # noqa: S101 - the settings see to it
        return self._settings.audience_id

    def _audience(self) -> Audience:
        """The audience that the settings name, fit for an action on the list behind it."""
        found = self._api.audience(self._audience_id)
        account = self._settings.ad_account_id
        if found is None:
            raise AudienceError(f"there is no audience {self._audience_id} in ad account {account}: check both ids")
        _check_kind(found, account)
        if _is_removed(found):
            raise AudienceError(f"{_called(found)} was removed: create a new one (action {Action.CREATE.value})")
        if found.customer_list_id is None or self._api.customer_list(found.customer_list_id) is None:
            raise AudienceError(
                f"{_called(found)} has no customer list behind it: it cannot take records; create a new one"
            )
        return found

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
        return self._lists.filled(audience_name, job_id=self._stats.job_id, same_records=records.same_as)

    def _filled_list(self, target: Target, audience_name: str, records: Records | None) -> CustomerList:
        assert records is not None  # noqa: S101 - only actions without rows have none
        name = self._lists.name(audience_name, self._stats.job_id)
        made = target.own_list or self._lists.make(name, records.list_type)
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

    def _read_back(self, audience_id: str, *, list_id: str, failing: str) -> Audience:
        """The audience as it is now. Raises PinterestError when another list than `list_id` is behind it."""
        waits = self._api.session.retry.waits()
        for attempt in range(_READ_BACK):
            if attempt:
                self._sleep(next(waits))
            audience = self._api.audience(audience_id)
            if audience and audience.customer_list_id == list_id:
                return audience
        raise PinterestError(failing)


def _list_changes(own: CustomerList | None, *, called: str) -> tuple[list[str], list[str]]:
    """What the plan says of the list to fill: what is there already, and what has to be created."""
    if own:
        return [f"go on with customer list {own.id} of this session's earlier try"], []
    return [], [f'create customer list "{called}"']


def _check_kind(audience: Audience, ad_account_id: str) -> None:
    if audience.audience_type != CUSTOMER_LIST:
        raise AudienceError(
            f"{_called(audience)} is of type {audience.audience_type}: only {CUSTOMER_LIST} audiences hold records"
        )
    if audience.ad_account_id not in (None, ad_account_id):
        raise AudienceError(
            f"{_called(audience)} belongs to ad account {audience.ad_account_id}, not to {ad_account_id}: "
            "it is shared with it, and only its owner's account can change it"
        )


def _is_removed(audience: Audience) -> bool:
    return audience.status.upper() in _REMOVED


def _there(audience: Audience | None) -> Audience:
    assert audience is not None  # noqa: S101 - `look` has found it
    return audience


def _list_of(audience: Audience | None) -> str:
    list_id = _there(audience).customer_list_id
    assert list_id is not None  # noqa: S101 - `_audience` has checked it
    return list_id


def _called(audience: Audience) -> str:
    return f'audience {audience.id} "{audience.name}"'


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
