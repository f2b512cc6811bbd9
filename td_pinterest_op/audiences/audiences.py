"""Find, check, create, switch and remove audiences."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from td_pinterest_op.audiences.consistency import PATIENCE, read_until_found, repeat_until_list_is_ready
from td_pinterest_op.audiences.customer_lists import find_list
from td_pinterest_op.errors import AudienceError, PinterestError, RequestRefusedError
from td_pinterest_op.http.retry import poll
from td_pinterest_op.pinterest.api import CUSTOMER_LIST, Api, Audience


@dataclass(frozen=True, slots=True)
class Audiences:
    """The audiences of one ad account. Methods raise the API's errors, and AudienceError where they document it."""

    api: Api

    def find_usable(self, audience_id: str) -> Audience:
        """Return an audience. Raises AudienceError if its customer list cannot take records."""
        account = self.api.ad_account_id
        audience = read_until_found(partial(self.api.find_audience, audience_id), self.api.client)
        if audience is None:
            raise AudienceError(f"there is no audience {audience_id} in ad account {account}: check both ids")
        self.check_type_and_account(audience)
        if audience.is_removed:
            raise AudienceError(f"{audience.label} was removed: create a new audience (action create_new_audience)")
        if audience.customer_list_id is None:
            raise AudienceError(
                f"{audience.label} has no customer list, so it cannot take records: create a new audience (action "
                "create_new_audience)"
            )
        if not read_until_found(partial(find_list, self.api, audience), self.api.client):
            raise AudienceError(
                f"{audience.label} uses customer list {audience.customer_list_id}, which Pinterest does not find: run "
                "this task again later. If that does not help, create a new audience (action create_new_audience)"
            )
        return audience

    def find_by_name(self, name: str) -> list[Audience]:
        """Return all audiences with a name. Pinterest allows several audiences of a name."""
        return [audience for audience in self.api.list_audiences() if audience.name == name and not audience.is_removed]

    def create(self, name: str, *, description: str | None, list_id: str) -> Audience:
        """Create an audience that uses a customer list, once Pinterest has finished processing the list."""
        rule = {"customer_list_id": list_id}
        create = partial(self.api.create_audience, name=name, description=description, rule=rule)
        return repeat_until_list_is_ready(create, self.api.client)

    def remove(self, audience_id: str) -> bool:
        """Remove an audience. Returns False if Pinterest does not know the audience."""
        try:
            self.api.remove_audience(audience_id)
        except RequestRefusedError as error:
            if error.status != 404:
                raise
            return False
        return True

    def switch_list(self, audience_id: str, *, list_id: str) -> None:
        """Ask Pinterest to switch an audience to a customer list."""
        switch = partial(self.api.switch_audience, audience_id, customer_list_id=list_id)
        repeat_until_list_is_ready(switch, self.api.client)

    def wait_for_switch(self, audience_id: str, *, list_id: str, check: Callable[[Audience], None]) -> Audience:
        """Return an audience once Pinterest shows that it uses a list. `check` gets what is read until then.

        Waits for as long as the retry settings allow, at least half a minute: reads may lag behind writes.
        Raises PinterestError if the audience still uses another list, and what `check` raises.
        """
        client = self.api.client
        seen = ""

        def find_switched() -> Audience | None:
            """Return the audience if it uses the list, else None."""
            nonlocal seen
            now = self.api.find_audience(audience_id)
            seen = f"it used customer list {now.customer_list_id}" if now else "it was not found"
            if now and now.customer_list_id != list_id:
                check(now)
                return None
            return now

        waits = (0.0, *client.retry.iterate_waits_for(PATIENCE))
        switched = poll(find_switched, waits, sleep=client.rate_limiter.wait)
        if switched is None:
            raise PinterestError(
                f"Pinterest accepted customer list {list_id} for audience {audience_id} but does not show it yet: when "
                f"the audience was last read, {seen}. The change may appear later"
            )
        return switched

    def check_type_and_account(self, audience: Audience) -> None:
        """Raise AudienceError if an audience is not a customer-list audience, or belongs to another ad account."""
        if audience.audience_type != CUSTOMER_LIST:
            raise AudienceError(
                f"{audience.label} is of type {audience.audience_type}: only {CUSTOMER_LIST} audiences accept records. "
                "Use the id of such an audience"
            )
        if audience.ad_account_id not in (None, self.api.ad_account_id):
            raise AudienceError(
                f"{audience.label} belongs to ad account {audience.ad_account_id} and is only shared with "
                f"{self.api.ad_account_id}. Only {audience.ad_account_id} can change it: set ad_account_id to "
                f"{audience.ad_account_id}, or use an audience of {self.api.ad_account_id}"
            )
