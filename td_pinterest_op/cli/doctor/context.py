"""The result of a check, and what all checks share."""

import contextlib
from dataclasses import dataclass, field
from functools import cached_property

from td_pinterest_op.cli.connection import AdAccount, Credentials, list_ad_accounts
from td_pinterest_op.task_runtime.services import Services


@dataclass(frozen=True)
class CheckResult:
    """The result of a check. `status`: ok, warning or error. `advice`: "" if there is nothing to do."""

    message: str
    status: str = "ok"
    advice: str = ""


@dataclass(kw_only=True)
class DoctorContext:
    """The options of `td-pinterest doctor`, and what its checks share."""

    credentials: Credentials
    account_id: str  # "" if no ad account is named
    audience_id: str  # "" if no audience is named
    project: str | None  # whose secrets are checked
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)  # closes what was opened

    @cached_property
    def services(self) -> Services:
        """Connections to both services."""
        return self.stack.enter_context(self.credentials.open_services())

    @cached_property
    def accounts(self) -> list[AdAccount]:
        """The ad accounts that the token can read."""
        return list(list_ad_accounts(self.services.pinterest))

    @property
    def matching_accounts(self) -> list[AdAccount]:
        """The named ad account if the token can read it, or all that it can read if none is named."""
        return [account for account in self.accounts if self.account_id in ("", account.id)]

    @cached_property
    def services_without_pinterest(self) -> Services:
        """Connections without credentials for Pinterest."""
        return self.stack.enter_context(self.credentials.without_pinterest().open_services())
