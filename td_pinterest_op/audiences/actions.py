"""The actions. Each reads first, then writes. Running one twice gives the same result.

The user knows an audience; records go to the customer list behind it (`rule.customer_list_id`).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from td_pinterest_op.audiences.actalikes import Actalikes
from td_pinterest_op.audiences.audiences import Audiences, is_removed, label
from td_pinterest_op.audiences.create_once import age, oldest
from td_pinterest_op.audiences.customer_lists import CustomerLists, ListToFill, is_made_empty, job_of
from td_pinterest_op.audiences.row_fallback import RowFallback
from td_pinterest_op.audiences.sender import Put, Sender
from td_pinterest_op.errors import AudienceError, ExportError
from td_pinterest_op.pinterest.api import CUSTOMER_LIST, Api, Audience
from td_pinterest_op.records.read import Prepared
from td_pinterest_op.secret import escaped
from td_pinterest_op.settings.parse import Action, IfExists, Settings
from td_pinterest_op.stats import Stats

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of an action. `says`: what it does, for the plan. `writes`: its requests besides those of batches."""

    says: str
    writes: int = 0
    do: Callable[[], object]


class Actions:
    """The steps of the action that the settings name. Raises AudienceError when it cannot be done."""

    def __init__(self, *, settings: Settings, api: Api, stats: Stats, session_key: str, sender: Sender) -> None:
        self._settings, self._api, self._stats, self._sender = settings, api, stats, sender
        self._new_name = settings.audience_name or ""
        self._lists = CustomerLists(
            api=api,
            session_key=session_key,
            audience_id=settings.audience_id,
            audience_name=settings.audience_name,
            is_nca=settings.is_nca,
        )
        self._audiences = Audiences(api=api, lists=self._lists)
        self._actalikes = Actalikes(api=api, lists=self._lists, session_key=session_key, settings=settings)
        self._fallback = RowFallback(
            stats=stats, batch_size=settings.limit_records_per_request, skip_refused=settings.ignore_invalid_records
        )

    def check(self) -> None:
        """Check, before any row is read, that the audience can be changed or that its name is free."""
        if self._settings.action is Action.CREATE:
            self._existing_or_own()
        elif self._settings.action is Action.CREATE_ACTALIKE:
            self._own_actalike()
        elif self._settings.action is Action.DELETE:
            self._removable()
        else:
            self._usable()

    def steps(self, prepared: Prepared | None) -> list[Step]:
        """What there is to do. Reads only. `prepared` is None for the actions that read no rows."""
        return _STEPS[self._settings.action](self, prepared or Prepared.nothing())

    # -- add, remove

    def _add(self, prepared: Prepared) -> list[Step]:
        return self._change(self._usable(), prepared, "ADD", "add to")

    def _remove(self, prepared: Prepared) -> list[Step]:
        return self._change(self._usable(), prepared, "REMOVE", "remove from")

    def _change(self, audience: Audience, prepared: Prepared, operation: str, verb: str) -> list[Step]:
        list_id = _list_of(audience)

        def send() -> None:
            self._send(prepared, partial(self._api.change_records, list_id, operation=operation))
            self._check_unmoved(audience)

        return [Step(says=f"{verb} {label(audience)} (customer list {list_id})", do=send)]

    def _check_unmoved(self, audience: Audience) -> None:
        now = self._api.audience(audience.id)
        if now and not is_removed(now) and now.customer_list_id == audience.customer_list_id:
            self._note(now)
            return
        state, advice = "cannot be found any more", ""
        if now and is_removed(now):
            state = "was removed"
        elif now:
            state, advice = f"stands on customer list {now.customer_list_id} now", ". Run this task again"
        raise AudienceError(
            f"{label(audience)} was changed by somebody else during this export: it {state}. All {self._stats.sent} "
            f"records went to customer list {audience.customer_list_id}, which was behind it before, so they have no "
            f"effect on the audience{advice}"
        )

    # -- create

    def _create(self, prepared: Prepared) -> list[Step]:
        existing, own = self._existing_or_own()
        if own:
            return self._fill_and_move(own, prepared)
        if existing:
            return self._serve_existing(existing, prepared)
        target, fill = self._fill(self._new_name, prepared)
        create = Step(
            says=f'create audience "{self._new_name}" on it', writes=1, do=lambda: self._create_audience(target)
        )
        return [fill, create]

    def _existing_or_own(self) -> tuple[Audience | None, Audience | None]:
        """The audience of another session that has the new name, or the one that this session made of it."""
        self._stats.audience_name = self._new_name
        named = self._audiences.with_name(self._new_name)
        own = self._audiences.made_by_this_session(named)
        if own or not named:
            return None, own
        if self._settings.if_exists is IfExists.FAIL:
            raise AudienceError(_taken_name(oldest(named)))
        if len(named) > 1:
            ids = ", ".join(one.id for one in sorted(named, key=age))
            raise AudienceError(
                f'several audiences are named "{self._new_name}" (ids {ids}): with if_exists: '
                f"{self._settings.if_exists.value} it must be one; use another action with the id that is meant"
            )
        return self._usable(named[0].id), None

    def _serve_existing(self, existing: Audience, prepared: Prepared) -> list[Step]:
        if self._settings.if_exists is IfExists.ADD:
            return self._change(existing, prepared, "ADD", "add to")
        return self._fill_and_move(existing, prepared)

    def _create_audience(self, target: ListToFill) -> None:
        with self._all_in(target):
            existing, own = self._existing_or_own()  # it may have been created while the records were sent
            if existing:
                raise AudienceError(self._taken_meanwhile(existing))
            if own:
                self._move(own, target)
                return
            created = self._audiences.create(
                self._new_name, description=self._settings.audience_description, list_id=target.id
            )
            self._note(created)
            self._withdraw_for(self._audiences.rivals(created), created)
            kept = self._audiences.remove_duplicates(self._new_name) or created
            self._note(self._audiences.confirm_list(kept.id, list_id=target.id))
            self._audiences.remove_late_duplicates(self._new_name)

    def _withdraw_for(self, rivals: list[Audience], created: Audience) -> None:
        """Two sessions created audiences of one name: the older one stays."""
        if rivals:
            log.warning("removing audience %s: another session created one of the same name first", created.id)
            self._audiences.remove(created.id)
            raise AudienceError(self._taken_meanwhile(oldest(rivals)))

    def _taken_meanwhile(self, audience: Audience) -> str:
        if self._settings.if_exists is IfExists.FAIL or self._settings.action is not Action.CREATE:
            return _taken_name(audience)
        return (
            f'an audience named "{escaped(audience.name)}" already exists (id {audience.id}): it was created while '
            f"this task ran. Run this task again: if_exists: {self._settings.if_exists.value} then applies to it"
        )

    # -- create a look-alike

    def _create_actalike(self, _: Prepared) -> list[Step]:
        own = self._own_actalike()
        if own:
            return [Step(says=f"none: this session created {label(own)} already", do=lambda: self._note(own))]
        return [Step(says=self._actalikes.says, writes=1, do=self._create_actalike_audience)]

    def _own_actalike(self) -> Audience | None:
        """The audience that this session created; without one, its name must be free and its seed ready."""
        self._stats.audience_name = self._new_name
        named = self._actalikes.with_name(self._new_name)
        own = self._actalikes.made_by_this_session(named)
        if named and not own:
            raise AudienceError(_taken_name(oldest(named)))
        if not own:
            self._actalikes.check_seed()
        return own

    def _create_actalike_audience(self) -> None:
        created = self._actalikes.create_actalike()
        self._note(created)
        self._withdraw_for(self._actalikes.rivals(created), created)
        self._note(self._actalikes.remove_duplicates(self._new_name) or created)
        self._actalikes.remove_late_duplicates(self._new_name)

    # -- replace, clear

    def _replace(self, prepared: Prepared) -> list[Step]:
        return self._fill_and_move(self._usable(), prepared)

    def _clear(self, _: Prepared) -> list[Step]:
        return self._empty_and_move(self._usable())

    def _fill_and_move(self, audience: Audience, prepared: Prepared) -> list[Step]:
        if not prepared.unique:
            return self._empty_and_move(audience)
        self._refuse_younger_job(audience)
        target, fill = self._fill(audience.name, prepared)
        return [fill, *self._move_steps(audience, target)]

    def _empty_and_move(self, audience: Audience) -> list[Step]:
        behind = self._lists.find(_list_of(audience))
        if behind and is_made_empty(behind):
            return [Step(says=f"none: {label(audience)} is empty already", do=lambda: self._note(audience))]
        target, create = self._empty(audience.name)
        return [create, *self._move_steps(audience, target)]

    def _fill(self, audience_name: str, prepared: Prepared) -> tuple[ListToFill, Step]:
        """The list for the records, and the step that sends them; the first batch creates the list."""
        if not prepared.unique:
            return self._empty(audience_name)
        target = self._lists.to_fill(
            audience_name,
            job_id=self._stats.job_id,
            fingerprint=prepared.fingerprint,
            list_type=prepared.list_type,
        )

        def send() -> None:
            self._send(prepared, target.put)
            self._stats.customer_list_id = target.id

        return target, Step(says=_list_change(target), do=send)

    def _empty(self, audience_name: str) -> tuple[ListToFill, Step]:
        target = self._lists.to_leave_empty(audience_name)
        return target, Step(says=_list_change(target), writes=0 if target.id else 1, do=target.leave_empty)

    def _move_steps(self, audience: Audience, target: ListToFill) -> list[Step]:
        behind = _list_of(audience)
        if target.id == behind:
            return [Step(says=f"none: {label(audience)} stands on it already", do=lambda: self._move(audience, target))]
        says = f"move {label(audience)} to it; customer list {behind} is left behind"
        return [Step(says=says, writes=1, do=lambda: self._move(audience, target))]

    def _move(self, audience: Audience, target: ListToFill) -> None:
        with self._all_in(target):
            now = self._audiences.usable(audience.id)  # somebody else may have moved it since
            behind = _list_of(now)
            self._note(now)
            if behind != target.id:
                self._refuse_younger_job(now)
                self._audiences.move(now.id, list_id=target.id)
                self._note(self._audiences.confirm_list(now.id, list_id=target.id))
                self._stats.previous_customer_list_id = behind

    def _refuse_younger_job(self, audience: Audience) -> None:
        """Raises AudienceError when the list behind an audience has the people of a job with a higher id."""
        own, found = self._stats.job_id, job_of(self._lists.find(_list_of(audience)))
        if own and found and found > int(own) and not self._settings.replace_newer:
            raise AudienceError(
                f"{label(audience)} holds the result of job {found}, which is younger than job {own} of this task: the "
                "younger result stays. If the older one must replace it, or the job ids come from two accounts or "
                "regions of Treasure Data, set replace_newer: true"
            )

    # -- delete

    def _delete(self, _: Prepared) -> list[Step]:
        found = self._removable()
        if found is None:
            says = f"remove audience {self._audience_id}, which cannot be read (any more)"
            return [Step(says=says, writes=1, do=self._remove_unread)]
        if is_removed(found):
            return [Step(says=f"none: {label(found)} is removed already", do=partial(self._note, found))]
        says = f"remove {label(found)}; its customer list stays"
        # Whatever the answer: an audience that was there a moment ago is gone now.
        return [Step(says=says, writes=1, do=partial(self._audiences.remove, found.id))]

    def _remove_unread(self) -> None:
        if not self._audiences.remove(self._audience_id):
            raise AudienceError(
                f"Pinterest knows no audience {self._audience_id} in ad account {self._settings.ad_account_id}: either "
                "it was deleted before, or it never existed there. Check audience_id_delete and ad_account_id"
            )
        log.info("audience %s could not be read, but its removal was accepted: removed already", self._audience_id)

    # -- what several actions do

    def _send(self, prepared: Prepared, put: Put) -> None:
        self._sender.send(prepared, self._fallback.around(put))

    @property
    def _audience_id(self) -> str:
        return self._settings.audience_id or ""

    def _usable(self, audience_id: str | None = None) -> Audience:
        found = self._audiences.usable(audience_id or self._audience_id)
        self._note(found)
        self._check_name(found)
        return found

    def _removable(self) -> Audience | None:
        self._stats.audience_id = self._audience_id
        found = self._audiences.removable(self._audience_id)
        if found:
            self._note(found)
        self._check_name(found)
        return found

    def _check_name(self, audience: Audience | None) -> None:
        expected = self._settings.expected_audience_name
        if expected is not None and (audience is None or audience.name != expected):
            found = f'named "{escaped(audience.name)}"' if audience else "not to be read, so that its name is not known"
            raise AudienceError(
                f'audience {self._stats.audience_id} is {found}; expected_audience_name is "{expected}": check the id. '
                "Nothing was changed"
            )

    def _note(self, audience: Audience) -> None:
        self._stats.audience_id, self._stats.audience_name = audience.id, audience.name
        self._stats.customer_list_id = audience.customer_list_id
        self._stats.audience_status, self._stats.audience_size = audience.status or None, audience.size

    @contextlib.contextmanager
    def _all_in(self, target: ListToFill) -> Iterator[None]:
        """Around what is left to do once all records are in a list: an error says so."""
        try:
            yield
        except AudienceError as error:
            # Running again would end here again.
            raise error.extended(f". {self._where(target)}, which is not behind that audience") from None
        except ExportError as error:
            raise error.extended(
                f". {self._where(target)}, but that list was not seen behind the audience. Running this task again is "
                "safe: it goes on from there"
            ) from None

    def _where(self, target: ListToFill) -> str:
        return f"All {self._stats.sent} records are in customer list {target.id}"


def _list_change(target: ListToFill) -> str:
    if target.started:
        return f"go on with customer list {target.id} of this session's earlier try"
    return f'create customer list "{escaped(target.name)}"'


def _taken_name(audience: Audience) -> str:
    use = f"to put people into it use action {Action.ADD.value} or {Action.REPLACE.value} with its id, or "
    return (
        f'an audience named "{escaped(audience.name)}" already exists (id {audience.id}): '
        f"{use if audience.audience_type == CUSTOMER_LIST else ''}choose another audience_name"
    )


def _list_of(audience: Audience) -> str:
    assert audience.customer_list_id is not None  # noqa: S101 - Audiences.usable has checked it
    return audience.customer_list_id


_STEPS: dict[Action, Callable[[Actions, Prepared], list[Step]]] = {
    Action.ADD: Actions._add,
    Action.REMOVE: Actions._remove,
    Action.CREATE: Actions._create,
    Action.REPLACE: Actions._replace,
    Action.CLEAR: Actions._clear,
    Action.DELETE: Actions._delete,
    Action.CREATE_ACTALIKE: Actions._create_actalike,
}
