"""The end of a run, the same for every operator: its error's message, its figures in the log, its page, its history."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from td_pinterest_op.errors import ExportError
from td_pinterest_op.redaction.secret import escape
from td_pinterest_op.report.page_file import report_run
from td_pinterest_op.run_history.history_table import FAILED, SUCCESS, Row
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.task_runtime.process import may_resubmit
from td_pinterest_op.task_runtime.services import Services
from td_pinterest_op.task_runtime.task_history import History

log = logging.getLogger(__name__)


def finish_run(
    services: Services,
    error: Exception | None,
    *,
    history: History | None,
    rows: Sequence[Row],
    about: Sequence[tuple[str, str | None]],
    statistics: Mapping[str, Any] | None = None,
    report: str | None = None,
) -> None:
    """Publish the outcome of a run in log, history and report page. Raise its `error`, if any, as an ExportError.

    `rows`: what the history gets; a row without an outcome gets the run's. `about`: the subjects that the error must
    name (see `name_subjects`). `statistics`: the figures for the log and the page. `report`: the page's path. A task
    that starts again publishes nothing. After a signal there is no time left to write to the history.
    """
    failure = ExportError.from_exception(error) if error else None
    if failure and may_resubmit(services.task, failure):
        raise failure
    if failure:
        name_subjects(failure, about)
    if statistics:
        level, text = (logging.ERROR, "statistics of the failed run") if failure else (logging.INFO, "statistics")
        log.log(level, "%s: %s", text, json.dumps(statistics))
        if report:
            report_run(Path(report), statistics, error=str(failure or ""), now=services.timing.utc())
    if history and not shutdown.is_requested():
        outcome = {"outcome": FAILED, "error": str(failure)} if failure else {"outcome": SUCCESS}
        history.write_rows([outcome | dict(row) for row in rows])
    if failure:
        raise failure


def name_subjects(error: ExportError, about: Sequence[tuple[str, str | None]]) -> None:
    """Add the subjects in `about` that an error's message does not name to the message, which may be read alone.

    `about`: what each subject is, and its id or name (None if unknown), such as ("ad account", "549755885175").
    """
    names = [(label, escape(subject)) for label, subject in about if subject]
    if unnamed := [f"{label} {name}" for label, name in names if name not in str(error)]:
        error.extend(f" ({', '.join(unnamed)})")
