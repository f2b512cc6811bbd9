"""Exports Treasure Data query results to Pinterest audiences, as a custom operator of a Treasure Workflow (digdag).

The layers, from the entry points down. A module imports only from lines below its own, or from its own folder:

    cli/                    `td-pinterest`, for people: one module a command
    activation  export  erasure  status  lift   the operators that a workflow names after `py>`, one class each
    exporting/              an export from its settings to its statistics, and lists of exports
    audiences/              the actions, customer lists, sending in batches
    mirroring/              an audience that follows a query: the ledger, the plan, the statements
    withholding/            opt-outs, consent, control group: the rule in Python, for rows that are read here
    trino/                  the SQL that the warehouse runs: hashing, the same rule for withholding, rejected rows
    records/                rows to unique records, through a spool on disk; limits
    task_runtime/           the digdag task: parameters, services, log, signals, the refresh token's store
    report/                 statistics as an HTML page
    run_history/            a row for each run in the user's warehouse
    pinterest/  treasure_data/    the two services over HTTP
    stats                   the counters of a run
    settings/               `result_settings`: each setting, its type and its rules
    http/  identifiers/     one HTTP request; identifier types and their rules
    runtime/                clock, signals, files
    errors                  the error classes
    redaction/              masking of secrets and personal data
"""

import os
import sys

# While `python -m td_pinterest_op` looks for this package, the working folder comes first, which may be anybody's:
# nothing but this package is imported from there.
if sys.argv[:1] == ["-m"] and sys.path[0] == os.getcwd() and not __file__.startswith(sys.path[0]):  # noqa: PTH109
    del sys.path[0]

from td_pinterest_op import requirements

__version__ = "0.7.0"
USER_AGENT = f"td_pinterest_op/{__version__}"

requirements.check_python_and_packages()
