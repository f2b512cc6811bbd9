"""The result of one check of the doctor, and what all checks share."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from td_pinterest_op.cli.ad_accounts import AdAccount
from td_pinterest_op.cli.connection import Credentials
from td_pinterest_op.workflow.services import Services

OK, WARNING, ERROR = "ok", "warning", "error"
_NOT_CHECKED = "not checked: "


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check of the doctor. `advice` is "" if there is nothing to do."""

    status: str
    message: str
    advice: str = ""

    @property
    def was_run(self) -> bool:
        """Whether the check was run rather than skipped."""
        return not self.message.startswith(_NOT_CHECKED)


def skip_check(reason: str, advice: str = "fix that first") -> CheckResult:
    """Return the result of a check that is skipped, with the reason why."""
    return CheckResult(WARNING, _NOT_CHECKED + reason, advice)


@dataclass(kw_only=True)
class DoctorContext:
    """The options of `td-pinterest doctor`, and what its checks share."""

    credentials: Credentials
    account_id: str | None
    audience_id: str | None
    settings: Mapping[str, object] | None  # of the file of --settings
    params: Mapping[str, Any]  # of the checked task
    has_lists: bool  # whether the export may withhold people by `suppress` or `consent`
    workflow: Path | None
    unchecked: Sequence[str] = ()  # the parameters in the file of --settings that no check uses
    history: tuple[str | None, object] = (None, None)  # the database and the table of the run history
    account: AdAccount = field(init=False)  # the ad account, once its check has found it
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)  # closes what was opened

    @cached_property
    def services(self) -> Services:
        """Connections to Treasure Data and Pinterest, opened on first use."""
        return self.stack.enter_context(self.credentials.open_services())
