"""The customer lists that this operator makes: how they are named, found again, and made once.

A list of ours is named `{audience name} (td {session key} {job id})`: by that a rerun of the same workflow session
recognises its own work, whatever step the earlier try died after, and a ghost of it that is still running.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Iterable
from itertools import chain

from td_pinterest_op.audiences.create_once import created_once, oldest
from td_pinterest_op.pinterest.api import Api, CustomerList

log = logging.getLogger(__name__)

_NO_JOB = "-"  # stands for the job id in the name of a list that was made empty
_OURS = re.compile(r" \(td (?P<session>[0-9a-f]{8}) (?P<job>\S+)\)$")


class CustomerLists:
    """Those of one workflow session. Methods raise what the API raises.

    `in_use` gives the ids of the lists behind other audiences than the one worked on. Audiences may share a name,
    so a list's name alone does not tell whose it is, and nobody must get into two audiences by one list.
    """

    def __init__(
        self, *, api: Api, session_key: str, in_use: Callable[[], Collection[str]], sleep: Callable[[float], None]
    ) -> None:
        self._api, self._session_key, self._in_use, self._sleep = api, session_key, in_use, sleep

    def name(self, audience_name: str, job_id: str | None = None) -> str:
        """How a list for an audience of that name is called; without a job, one that is made empty."""
        return f"{audience_name} (td {self._session_key} {job_id or _NO_JOB})"

    def is_of_this_session(self, list_id: str) -> bool:
        found = self._api.customer_list(list_id)
        ours = _OURS.search(found.name) if found else None
        return ours is not None and ours["session"] == self._session_key

    def started(
        self, audience_name: str, *, job_id: str | None, same_records: Callable[[str], bool]
    ) -> CustomerList | None:
        """The list that this session made for these records of an audience of that name; the oldest of several.

        A list of the job itself, else one of another job that has the `same_records`: a rerun of the whole workflow has
        another job. Where its records are others (a corrected query, say), they go to a list of their own: added to
        the earlier ones they would make a mixture.
        """
        lists = [found for found in self._of_session(audience_name) if not _is_named_empty(found)]
        own = (found for found in lists if _job(found) == job_id)
        others = (found for found in lists if _job(found) != job_id and same_records(_job(found)))
        return next(chain(own, others), None)

    def unused_empty(self, audience_name: str) -> CustomerList | None:
        """The list that this session made empty for an audience of that name, if it still is."""
        return next(filter(is_made_empty, self._of_session(audience_name)), None)

    def create(self, name: str, list_type: str) -> CustomerList:
        """A new list, or the one of that name that an earlier try made."""
        return self._made(name, list_type, find=lambda: self._named(name, lambda _: True))

    def create_empty(self, audience_name: str) -> CustomerList:
        """A new list that stays empty; not one of the same name that records were sent to since."""
        name = self.name(audience_name)
        return self._made(name, "EMAIL", find=lambda: self._named(name, is_made_empty))

    def _made(self, name: str, list_type: str, *, find: Callable[[], CustomerList | None]) -> CustomerList:
        made = created_once(
            create=lambda: self._api.create_customer_list(name=name, list_type=list_type),
            find=find,
            retry=self._api.client.retry,
            sleep=self._sleep,
        )
        log.info('customer list %s "%s"', made.id, name)
        return made

    def _named(self, name: str, fits: Callable[[CustomerList], bool]) -> CustomerList | None:
        same = self._not_in_use(found for found in self._api.customer_lists() if found.name == name and fits(found))
        return oldest(same) if same else None

    def _of_session(self, audience_name: str) -> list[CustomerList]:
        begin = f"{audience_name} (td {self._session_key} "
        own = self._not_in_use(
            found for found in self._api.customer_lists() if found.name.startswith(begin) and _OURS.search(found.name)
        )
        return sorted(own, key=lambda found: int(found.id))

    def _not_in_use(self, lists: Iterable[CustomerList]) -> list[CustomerList]:
        found = list(lists)
        in_use = self._in_use() if found else ()
        return [one for one in found if one.id not in in_use]


def is_made_empty(customer_list: CustomerList) -> bool:
    """Whether it is a list of ours that was made empty and, as far as Pinterest says, nothing was sent to since."""
    return _is_named_empty(customer_list) and not customer_list.uploaded


def _is_named_empty(customer_list: CustomerList) -> bool:
    return _job(customer_list) == _NO_JOB


def _job(customer_list: CustomerList) -> str:
    """The job in the name of a list of ours; nothing for any other list."""
    ours = _OURS.search(customer_list.name)
    return ours["job"] if ours else ""
