"""The result of a check, and what all checks share."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from td_pinterest_op.cli.connection import AdAccount, Credentials, list_ad_accounts
from td_pinterest_op.cli.lint.rules import CheckedExport
from td_pinterest_op.cli.lint.workflow import Workflow
from td_pinterest_op.task_runtime.services import Services


@dataclass(frozen=True)
class CheckResult:
    """The result of a check. `status`: ok, warning or error. `advice`: "" if there is nothing to do."""

    message: str
    status: str = "ok"
    advice: str = ""


@dataclass(frozen=True, kw_only=True)
class ExportTarget:
    """The ad account and the audience that an export is for, "" if none is named."""

    account_id: str
    audience_id: str | None  # None for a task that is about no single audience
    name: str = ""  # the name by which an audience is found or created
    must_be_new: bool = False  # whether the export fails if the name is taken
    expected_name: str | None = None
    changes_members: bool = True
    is_from_workflow: bool = False  # whether a workflow names the audience, or should


@dataclass(kw_only=True)
class DoctorContext:
    """The options of `td-pinterest doctor`, and what its checks share."""

    credentials: Credentials
    targets: Sequence[ExportTarget]  # at least one, each once
    query_params: Mapping[str, Any]  # a task's, to read the job or the query of the options
    workflow: Workflow | None
    exports: Sequence[CheckedExport]  # the workflow's
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

    def list_matching_accounts(self, target: ExportTarget) -> list[AdAccount]:
        """Return the target's ad account if the token can read it, or all that it can read if none is named."""
        return [account for account in self.accounts if target.account_id in ("", account.id)]

    @cached_property
    def services_without_pinterest(self) -> Services:
        """Connections without credentials for Pinterest."""
        return self.stack.enter_context(self.credentials.without_pinterest().open_services())
