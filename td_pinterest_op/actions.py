"""The actions, in Pinterest's own words. Each first looks (reads only), then performs; run twice, it ends in one place.

The user knows an audience; records go to the customer list behind it (`rule.customer_list_id`). A list of ours is named
`{audience name} (td {session key} {job id})`: by that a rerun of the same workflow session recognises its own work,
whatever step the earlier try died after, and a ghost of it that is still running.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass

from td_pinterest_op.creation import created_once, lowest
from td_pinterest_op.errors import AudienceError, PinterestError, RequestRefusedError
from td_pinterest_op.pinterest.api import CUSTOMER_LIST, Api, Audience, CustomerList
from td_pinterest_op.settings import Action, Settings
from td_pinterest_op.stats import Stats

log = logging.getLogger(__name__)

READS_ROWS = frozenset({Action.ADD, Action.REMOVE, Action.CREATE, Action.REPLACE})
EMPTY = "-"  # stands for the job id in the name of a list that was made empty
_OURS = re.compile(r" \(td (?P<session>[0-9a-f]{8}) (?P<job>\S+)\)$")
# Statuses of an audience that was removed, where it can still be read. Not in the API description.
_REMOVED = frozenset({"REMOVED", "DELETED", "ARCHIVED"})
_READ_BACK = 3


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
    """What there is to send: how many records, the type of a list made for them, and `send(list id, ADD or REMOVE)`."""

    unique: int
    list_type: str
    send: Callable[[str, str], None]


class Actions:
    """The six actions. Raises AudienceError when one cannot be done, and what goes wrong on the way."""

    def __init__(
        self, *, settings: Settings, api: Api, stats: Stats, session_key: str, sleep: Callable[[float], None]
    ) -> None:
        self._settings, self._api, self._stats = settings, api, stats
        self._session_key, self._sleep = session_key, sleep

    def look(self) -> Target:
        """Find what the action needs; writes nothing."""
        target = _LOOKS[self._settings.action](self)
        self._note(target.audience)
        return target

    def perform(self, target: Target, records: Records) -> None:
        """Do it; `records` are not looked at by the actions that read no rows."""
        _PERFORMANCES[self._settings.action](self, target, records)

    # -- add, remove

    def _look_at_list(self) -> Target:
        audience = self._audience()
        verb = "add to" if self._settings.action is Action.ADD else "remove from"
        return Target(audience=audience, changes=(f"{verb} {_called(audience)} (customer list {_list_of(audience)})",))

    def _add(self, target: Target, records: Records) -> None:
        self._send(records, _list_of(target.audience), "ADD")

    def _remove(self, target: Target, records: Records) -> None:
        self._send(records, _list_of(target.audience), "REMOVE")

    # -- create

    def _look_for_name(self) -> Target:
        name = self._new_name
        own = self._own_audience()
        if own is None and (others := self._named(name)):
            raise AudienceError(
                f'an audience named "{name}" already exists (id {lowest(others).id}): to put people into it use '
                f"action {Action.ADD.value} or {Action.REPLACE.value} with its id, or choose another audience_name"
            )
        own_list = self._own_list(name)
        changes = [f'create customer list "{self._list_name(name, "…")}"'] if own_list is None else []
        changes += [f'create audience "{name}" on it'] if own is None else []
        kept = [f"go on with customer list {own_list.id} of this session's earlier try"] if own_list else []
        kept += [f"go on with {_called(own)} of this session's earlier try"] if own else []
        return Target(audience=own, own_list=own_list, changes=(*kept, *changes), writes=len(changes))

    def _create(self, target: Target, records: Records) -> None:
        name = self._new_name
        made = self._filled_list(target, name, records)
        audience = target.audience or created_once(
            create=lambda: self._api.create_audience(
                name=name, description=self._settings.audience_description, customer_list_id=made.id
            ),
            find=self._own_audience,
            retry=self._api.session.retry,
            sleep=self._sleep,
        )
        self._remove_doubles(audience)
        self._note(self._read_back(audience.id, list_id=made.id, failing=self._not_created))

    def _own_audience(self) -> Audience | None:
        """The audience that this session created: it has the name, and stands on a list of this session."""
        own = [audience for audience in self._named(self._new_name) if self._is_own(audience)]
        return lowest(own) if own else None

    def _named(self, name: str) -> list[Audience]:
        return [audience for audience in self._api.audiences() if audience.name == name and not _is_removed(audience)]

    def _is_own(self, audience: Audience) -> bool:
        behind = self._api.customer_list(audience.customer_list_id) if audience.customer_list_id else None
        found = _OURS.search(behind.name) if behind else None
        return found is not None and found["session"] == self._session_key

    def _remove_doubles(self, kept: Audience) -> None:
        """A ghost of this task may have created the audience at the same moment: the one with the lower id stays."""
        for double in self._named(self._new_name):
            if int(double.id) > int(kept.id) and self._is_own(double):
                log.warning("removing audience %s: %s was created for this session, too", double.id, kept.id)
                self._api.remove_audience(double.id)

    @property
    def _new_name(self) -> str:
        assert self._settings.audience_name  # noqa: S101 - the settings see to it
        return self._settings.audience_name

    # -- replace, clear

    def _look_at_replacement(self) -> Target:
        audience = self._audience()
        return self._moving(audience, self._own_list(audience.name), called=self._list_name(audience.name, "…"))

    def _replace(self, target: Target, records: Records) -> None:
        audience = _there(target.audience)
        if not records.unique:
            self._clear(target, records)
        else:
            self._move(audience, self._filled_list(target, audience.name, records))

    def _look_at_emptying(self) -> Target:
        audience = self._audience()
        behind = self._api.customer_list(_list_of(audience))
        if behind and _is_empty_one(behind):
            return Target(audience=audience, own_list=behind, changes=(f"none: {_called(audience)} is empty already",))
        own = next((own for own in self._session_lists(audience.name) if _is_empty_one(own)), None)
        return self._moving(audience, own, called=self._list_name(audience.name, EMPTY))

    def _clear(self, target: Target, records: Records) -> None:  # noqa: ARG002 - alike for all actions
        audience = _there(target.audience)
        empty = target.own_list if target.own_list and _is_empty_one(target.own_list) else None
        name = self._list_name(audience.name, EMPTY)
        self._move(audience, empty or self._new_list(name, "EMAIL"))

    def _moving(self, audience: Audience, own: CustomerList | None, *, called: str) -> Target:
        behind, changes = _list_of(audience), []
        if own is None:
            changes.append(f'create customer list "{called}"')
        if own is None or own.id != behind:
            changes.append(f"move {_called(audience)} to it; customer list {behind} is left behind")
        kept = [f"go on with customer list {own.id} of this session's earlier try"] if own else []
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

    def _look_at_removal(self) -> Target:
        found = self._api.audience(self._audience_id)
        if found is not None and not _is_removed(found):
            _check_kind(found, self._settings.ad_account_id)
            return Target(audience=found, changes=(f"remove {_called(found)}; its customer list stays",), writes=1)
        if found is not None:
            return Target(audience=found, changes=(f"none: {_called(found)} is removed already",))
        return Target(changes=(f"remove audience {self._audience_id}, which cannot be read (any more)",), writes=1)

    def _delete(self, target: Target, records: Records) -> None:  # noqa: ARG002 - alike for all actions
        self._stats.audience_id = self._audience_id
        if not target.writes:
            log.info("audience %s is removed already", self._audience_id)
            return
        try:
            self._api.remove_audience(self._audience_id)
        except RequestRefusedError as error:
            if error.status != 404:
                raise
            raise AudienceError(
                f"Pinterest knows no audience {self._audience_id} in ad account {self._settings.ad_account_id}: either "
                "it was deleted before, or it never existed there. Check audience_id_delete and ad_account_id"
            ) from None
        if target.audience is None:
            log.info("audience %s could not be read, but its removal was accepted: removed already", self._audience_id)

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

    def _send(self, records: Records, list_id: str, operation: str) -> None:
        self._stats.customer_list_id = list_id
        records.send(list_id, operation)

    def _filled_list(self, target: Target, audience_name: str, records: Records) -> CustomerList:
        name = self._list_name(audience_name, self._stats.job_id or EMPTY)
        made = target.own_list or self._new_list(name, records.list_type)
        if made.name != name:
            log.warning(
                'customer list %s ("%s") of an earlier try of this session holds another job\'s records as well',
                made.id,
                made.name,
            )
        self._send(records, made.id, "ADD")
        return made

    def _list_name(self, audience_name: str, job_id: str) -> str:
        return f"{audience_name} (td {self._session_key} {job_id})"

    def _session_lists(self, audience_name: str) -> list[CustomerList]:
        """Lists that this session made for an audience of that name, the oldest first."""
        begin = f"{audience_name} (td {self._session_key} "
        own = [
            found for found in self._api.customer_lists() if found.name.startswith(begin) and _OURS.search(found.name)
        ]
        return sorted(own, key=lambda found: int(found.id))

    def _own_list(self, audience_name: str) -> CustomerList | None:
        own = (own for own in self._session_lists(audience_name) if not own.name.endswith(f" {EMPTY})"))
        return next(own, None)

    def _new_list(self, name: str, list_type: str) -> CustomerList:
        def find() -> CustomerList | None:
            same = [found for found in self._api.customer_lists() if found.name == name]
            return lowest(same) if same else None

        made = created_once(
            create=lambda: self._api.create_customer_list(name=name, list_type=list_type),
            find=find,
            retry=self._api.session.retry,
            sleep=self._sleep,
        )
        log.info('customer list %s "%s"', made.id, name)
        return made

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

    _not_created = (
        "Pinterest answered that it created the audience, but it cannot be read back with its customer list: "
        "run this task again, it goes on where this run ended"
    )


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


def _is_empty_one(customer_list: CustomerList) -> bool:
    """Whether it is a list of ours that was made empty, and that nothing was sent to since."""
    ours = _OURS.search(customer_list.name)
    return ours is not None and ours["job"] == EMPTY and not customer_list.uploaded


def _there(audience: Audience | None) -> Audience:
    assert audience is not None  # noqa: S101 - `look` has found it
    return audience


def _list_of(audience: Audience | None) -> str:
    list_id = _there(audience).customer_list_id
    assert list_id is not None  # noqa: S101 - `_audience` has checked it
    return list_id


def _called(audience: Audience) -> str:
    return f'audience {audience.id} "{audience.name}"'


_Performance = Callable[[Actions, Target, "Records"], None]
_LOOKS: dict[Action, Callable[[Actions], Target]] = {
    Action.ADD: Actions._look_at_list,
    Action.REMOVE: Actions._look_at_list,
    Action.CREATE: Actions._look_for_name,
    Action.REPLACE: Actions._look_at_replacement,
    Action.CLEAR: Actions._look_at_emptying,
    Action.DELETE: Actions._look_at_removal,
}
_PERFORMANCES: dict[Action, _Performance] = {
    Action.ADD: Actions._add,
    Action.REMOVE: Actions._remove,
    Action.CREATE: Actions._create,
    Action.REPLACE: Actions._replace,
    Action.CLEAR: Actions._clear,
    Action.DELETE: Actions._delete,
}
