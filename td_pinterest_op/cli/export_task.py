"""An export that a user at a terminal runs: its plan, the question before its first write, and its progress."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import Progress

from td_pinterest_op.cli import files, screen
from td_pinterest_op.cli.connection import Credentials
from td_pinterest_op.cli.options import CommonOptions
from td_pinterest_op.errors import StoppedError
from td_pinterest_op.exporting.export_run import export_task
from td_pinterest_op.runtime.clock import SYSTEM_TIMING
from td_pinterest_op.task_runtime.progress import ProgressReporter
from td_pinterest_op.task_runtime.task import Task

_FACT_INDENT = 12
_WRITE_QUESTION = "Write this to Pinterest?"


def build_source_params(options: Mapping[str, Any]) -> dict[str, str]:
    """Return a task's parameters for the options that name its job or query, database and engine."""
    params = {name: options[name] for name in ("job_id", "database", "engine") if options.get(name)}
    if options.get("query"):
        params["query"] = files.read_sql_option(options["query"], "--query")
    return params


def run_export_task(task: Task, credentials: Credentials, common: CommonOptions) -> Mapping[str, Any]:
    """Run an export that asks the user before its first write, and return its statistics."""
    is_dry = str(task.params["result_settings"].get("dry_run", "")).lower() == "true"
    asks = not (common.yes or is_dry)
    if asks:  # before the query's job runs, which would be of no use
        screen.require_terminal(_WRITE_QUESTION)
    reporter = TerminalReporter(timing=SYSTEM_TIMING, needs_approval=asks, quiet=common.quiet)
    return export_task(task, SYSTEM_TIMING, reporter=reporter, on_new_refresh_token=credentials.build_token_saver())


@dataclass(frozen=True, kw_only=True)
class TerminalReporter(ProgressReporter):
    """Prints the plan of an export, asks for approval, and shows progress bars on a terminal."""

    needs_approval: bool
    quiet: bool  # leaves out bars, and a plan that needs no approval

    def show_plan_for_approval(self, text: str) -> None:
        """Print the plan and ask for approval. Raises StoppedError if the user declines."""
        if not self.quiet or self.needs_approval:
            first, *facts = text.splitlines()
            screen.print_note(first[0].upper() + first[1:])
            for fact in facts:
                screen.print_note(fact, hanging_indent=_FACT_INDENT)
        if self.needs_approval and not screen.ask_yes_no(_WRITE_QUESTION):
            raise StoppedError("you answered no")

    @contextlib.contextmanager
    def show_progress(
        self,
        name: str,
        unit: str,  # noqa: ARG002 - the bar shows none
        total: int | None,
    ) -> Iterator[Callable[[int], None]]:
        """Show a progress bar. Yields a function that sets the number of finished units."""
        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=self.quiet or not console.is_terminal) as bar:
            task = bar.add_task(name, total=total)
            yield lambda done: bar.update(task, completed=done)
