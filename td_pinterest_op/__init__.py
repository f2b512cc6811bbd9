"""Exports Treasure Data query results to Pinterest audiences, as a custom operator of a Treasure Workflow (digdag).

The layers, from the entry points down; a sub-package imports only from the lines below its own, or from itself:

    cli/                          `td-pinterest`, for people: one module a command
    activation  many              entry points that a workflow names after `py>`
    export  erase  status  history    the same, one operator each
    audiences/                    the actions, customer lists, sending in batches
    mirroring/                    an audience that follows a query: the ledger, the plan, the statements
    withholding/                  reading rows; opt-outs, consent, control group: one rule, in Python and in SQL
    records/                      values to unique records, through a spool on disk; limits and the plan
    task_runtime/                 the digdag task: parameters, services, log, signals, the refresh token's store
    report/  run_history/         statistics as an HTML page; a row for each run in the user's warehouse
    pinterest/  treasure_data/  settings/    the two services over HTTP; `result_settings`
    stats  identifiers/  http/    counters; identifier types and their rules; one HTTP request
    runtime/  errors  redaction/  clock, signals, files; the error classes; masking of secrets and personal data
"""

from td_pinterest_op import requirements

__version__ = "0.6.0"
USER_AGENT = f"td_pinterest_op/{__version__}"

requirements.check_environment()
