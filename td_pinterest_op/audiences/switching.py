"""Make an audience use another customer list so that, of two runs that do this at once, the newer one wins.

Pinterest has no compare-and-set: an older run may read the audience first, and switch it last. So the newer run looks
again, and a run whose switch took long looks for a newer run's list.
"""

import logging
from dataclasses import dataclass, replace

from td_pinterest_op.audiences.consistency import request_switch, wait_out_read_lag
from td_pinterest_op.audiences.customer_lists import TargetList, find_own_lists
from td_pinterest_op.audiences.list_name import ListName, parse_list_name
from td_pinterest_op.audiences.lookup import find_used_list, read_audience_until_found
from td_pinterest_op.errors import AudienceError, ExportError, PinterestError
from td_pinterest_op.pinterest.api import Api, Audience, CustomerList, build_age_key

log = logging.getLogger(__name__)

# Seconds from the last reading of an audience to the answer to its switch, in which a run need not fear others.
_LONGEST_SAFE_READ_TO_SWITCH_SECONDS = 3.0
# Half a minute in all: reads may show a switch late.
_MOST_READS = 3


@dataclass(kw_only=True)
class ListSwitcher:
    """The switch of an audience to the customer list of this run. Methods raise the errors of `Api`.

    A run is newer than another if the ids of its Treasure Data jobs, which are in its list's name, are greater or, for
    equal jobs, if its list's id is.
    """

    api: Api
    target: TargetList
    replaces_newer: bool
    advice: str  # on what to do if Pinterest never switches the audience

    def require_older_list(self, audience: Audience) -> ListName | None:
        """Raise AudienceError if `audience` uses a newer run's list. Returns the name if this operator gave it."""
        used = find_used_list(self.api, audience)
        if used and (newer := self._parse_name_of_newer_run(used)):
            raise AudienceError(
                f"{audience.label} uses customer list {used.id} of a newer run (job {newer.jobs}, here job "
                f"{self.target.name.jobs}), and keeps it",
                advice="To replace it, run this task again, with a new job of its query if its job is older. To "
                "replace the result of a newer job anyway, or if the job ids come from two accounts or regions of "
                "Treasure Data, set replace_newer: true",
                subjects=[audience.subject],
            )
        return parse_list_name(used)

    def switch_and_confirm(self, audience: Audience) -> Audience:
        """Switch `audience`, as it was just read, and return it as Pinterest shows it ten seconds later or more.

        If an older run has switched it meanwhile, switches it once more. Raises AudienceError if it then uses a newer
        run's list or somebody else's, or is removed, and PinterestError if Pinterest refuses the switch or does not
        show it within half a minute.
        """
        label = audience.label
        unseen_seconds = self._request_switch(audience)
        may_repeat = True
        seen = audience
        for _ in range(_MOST_READS):
            wait_out_read_lag(self.api.client)
            found = read_audience_until_found(self.api, audience.id)
            if found is None or found.is_removed:
                raise AudienceError(
                    f"{label} was removed by somebody else during this export", subjects=[audience.subject]
                )
            seen = found
            if seen.customer_list_id == self.target.id:
                if unseen_seconds > _LONGEST_SAFE_READ_TO_SWITCH_SECONDS:
                    self._require_no_undone_switch(audience)
                return seen
            older = self.require_older_list(seen)
            if not older and seen.customer_list_id != audience.customer_list_id:
                raise AudienceError(
                    f"{label} was changed by somebody else during this export: it uses customer list "
                    f"{seen.customer_list_id} now, not {self.target.id}",
                    advice="Run this task again to replace its members",
                    subjects=[audience.subject],
                )
            if older and may_repeat:
                may_repeat = False
                text = "%s uses customer list %s, which is older than this run's; switching again"
                log.warning(text, label, seen.customer_list_id)
                unseen_seconds = max(unseen_seconds, self._request_switch(seen))
        raise PinterestError(
            f"Pinterest accepted customer list {self.target.id} for audience {audience.id} but does not show it yet: "
            f"when the audience was last read, it used customer list {seen.customer_list_id}",
            advice=f"The change may appear later, and running this task again is safe. {self.advice}",
            subjects=[audience.subject],
        )

    def _request_switch(self, audience: Audience) -> float:
        """Ask Pinterest for the switch. Returns the seconds from the last reading of the audience to the answer.

        The audience is read before each try. Raises AudienceError if a newer run's list is in use then.
        """
        api = self.api
        clock = api.client.timing.monotonic
        target = self.target
        read_at = clock()
        judged_ids: set[str | None] = {target.id}

        def check_audience() -> None:
            """Read the audience. It may use this run's list after a lost answer, which says nothing of other runs."""
            nonlocal read_at
            api.client.check_write()
            begin = clock()
            now = api.find_audience(audience.id) or audience
            if now.customer_list_id not in judged_ids:
                self.require_older_list(now)
                judged_ids.add(now.customer_list_id)
            if now.customer_list_id != target.id:
                read_at = begin

        try:
            # It has a client of its own: what the check reads is no success of the switch.
            switching = replace(api, client=replace(api.client, check_write=check_audience))
            request_switch(switching, audience.id, list_id=target.id)
        except ExportError as error:
            # A 401 is about the token, and 408 and 429 about the moment.
            if 400 <= (error.status or 0) < 500 and error.status not in (401, 408, 429) and not error.maybe_applied:
                error.sent = f"The audience is unchanged, and customer list {target.id} stays without use"
                error.advice = f"{error.advice}. {self.advice}".removeprefix(". ")
            raise
        return clock() - read_at

    def _require_no_undone_switch(self, audience: Audience) -> None:
        """Raise AudienceError if a newer run has made a list since `audience` was read, which this one may have undone.

        A list that another audience uses is for that audience.
        """
        oldest = build_age_key(audience.customer_list_id or "")
        mine = self.target.name
        own = find_own_lists(self.api, mine.audience, lambda made: build_age_key(made.id) <= oldest)
        newer = {made.id: name for made in own if (name := self._parse_name_of_newer_run(made))}
        used_ids = {each.customer_list_id for each in self.api.list_audiences()} if newer else set()
        for list_id, name in newer.items():
            has_same_people = not name.jobs.is_newer_than(mine.jobs) and name.fingerprint == mine.fingerprint
            if list_id not in used_ids and not has_same_people:
                raise AudienceError(
                    f"the switch of {audience.label} to customer list {self.target.id} (job {mine.jobs}) took long, "
                    f"and a newer run made customer list {list_id} (job {name.jobs}) meanwhile, whose switch it may "
                    "have undone",
                    advice="Run the task of the newer job again",
                    subjects=[audience.subject],
                )

    def _parse_name_of_newer_run(self, made: CustomerList) -> ListName | None:
        name = parse_list_name(made)
        target = self.target
        if name is None or made.id == target.id:
            return None
        is_newer = name.jobs.is_newer_than(target.name.jobs)
        if is_newer is None:
            is_newer = target.id != "" and build_age_key(made.id) > build_age_key(target.id)
        elif self.replaces_newer:
            is_newer = False
        return name if is_newer else None
