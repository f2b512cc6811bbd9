"""The process of a task: its log (on stderr, for digdag), its end on a signal, its error, its restart as a subtask.

A workflow server shows a running task no secret. If Pinterest ends a refresh token as it issues the next one, one of
two tasks that start with the same token is refused. That task succeeds and adds itself as a subtask, which gets the
current secret.
Sources: digdag-core, agent/OperatorManager.java; digdag-standards, digdag/standards/py/runner.py.
"""

import contextlib
import contextvars
import logging
import os
import sys
from types import TracebackType
from typing import TextIO

from td_pinterest_op.errors import AccountError, ExportError
from td_pinterest_op.redaction.secret import escape_for_message, mask_sensitive_data, replace_in_texts
from td_pinterest_op.runtime.shutdown import end_on_signals
from td_pinterest_op.task_runtime.task import Task, get_current_task

log = logging.getLogger("td_pinterest_op")

LOG_FORMAT = "%(asctime)s %(levelname)s %(label)s%(message)s"
# What each line of the log begins with, such as "vip: " for an entry of a list. Threads inherit it.
log_label = contextvars.ContextVar("log_label", default="")
# The subtask's parameter with the refused token's fingerprint and how often it was refused.
_REFUSED_CREDENTIAL_PARAMETER = "pinterest_refused_token"
# Nobody has renewed a token that was refused this many times in a row.
_MOST_TOKEN_REFUSALS = 3


class GuardedTaskRun:
    """Context manager of a task's run. Sets up the log, ends the run on SIGTERM or SIGINT, and raises only ExportError.

    Any other exception could quote a row: the error that replaces it names only its type and place. Its traceback,
    which digdag prints, has no frame of the run. A task may start again (see `rerun_after_refused_token`).
    """

    def __enter__(self) -> None:
        # The log goes to stderr only: the root logger's handlers do not mask. It stays so: a process runs one task.
        log.addHandler(MaskedStderrHandler())
        log.setLevel(logging.INFO)
        log.propagate = False
        self._stack = contextlib.ExitStack()
        self._stack.callback(flush_or_discard, sys.stderr)
        self._stack.enter_context(end_on_signals())

    def __exit__(self, _type: object, error: BaseException | None, _traceback: TracebackType | None) -> bool:
        with self._stack:
            if isinstance(error, AccountError) and rerun_after_refused_token(error):
                return True  # the task succeeds, and its subtask does the work
            if not isinstance(error, Exception):  # a success, or the interpreter's exit
                return False
            failure = ExportError.from_exception(error)
            log.error("%s. Who must act: %s. %s", type(failure).__name__, failure.who, failure.general_advice)
        # digdag prints the message, and its runner raises the error again: Python would print it a second time.
        before = sys.excepthook
        sys.excepthook = lambda kind, raised, trace: None if raised is failure else before(kind, raised, trace)
        raise failure.with_traceback(None) from None


def flush_or_discard(stream: TextIO) -> None:
    """Discard what a stream cannot write: at its end, Python would try again, and exit with code 120."""
    with contextlib.suppress(AttributeError, ValueError):  # no stream, or a closed one
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class MaskedStderrHandler(logging.Handler):
    """Writes masked lines to stderr. The run goes on if a line cannot be written."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(LOG_FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        """Write a log record. Raises StoppedError if a signal arrives."""
        vars(record)["label"] = log_label.get()
        # Indented, so that no line of a message passes for a line of the log.
        text = mask_sensitive_data(self.format(record))
        lines = "\n    ".join(escape_for_message(line) for line in text.split("\n"))
        # No stream, a closed one, or one without a reader.
        with contextlib.suppress(AttributeError, OSError, ValueError):
            sys.stderr.write(f"{lines}\n")
            sys.stderr.flush()


def may_rerun_for_renewed_token(task: Task, error: BaseException) -> bool:
    """Whether the task may start again: `error` is about a token that another task may have renewed."""
    if not isinstance(error, AccountError) or error.refused_token is None:
        return False
    is_secret = any("${secret:" in str(value) for value in (task.params.get("_env") or {}).values())
    return is_secret and _count_token_refusals(task, error) < _MOST_TOKEN_REFUSALS


def rerun_after_refused_token(error: AccountError) -> bool:
    """Have digdag run the current task again, if another task may have renewed its token. Return whether it does."""
    import digdag

    task = get_current_task()
    if not may_rerun_for_renewed_token(task, error):
        return False
    log.warning(
        "Pinterest refused the refresh token, which another task may have renewed: this task starts again, with the "
        "current value of the secret"
    )
    # Without digdag's directives, such as `py>` and `_retry`.
    params = {
        name: replace_in_texts(value, "$", "${'$'}")
        for name, value in task.params.items()
        if not name.startswith(("_", "+")) and not name.endswith(">")
    }
    params |= {name: task.params[name] for name in ("_env", "_workdir") if name in task.params}
    refused = {"fingerprint": error.refused_token, "times": _count_token_refusals(task, error)}
    params |= {"py>": task.params["_command"], _REFUSED_CREDENTIAL_PARAMETER: refused}
    digdag.env.add_subtask(params)
    return True


def _count_token_refusals(task: Task, error: AccountError) -> int:
    before = task.params.get(_REFUSED_CREDENTIAL_PARAMETER) or {}
    return int(before["times"]) + 1 if before.get("fingerprint") == error.refused_token else 1
