"""Exports Treasure Data query results to Pinterest audiences, as a custom operator of a Treasure Workflow (digdag).

The map, from the doors down; a module imports from lower rows or from its own folder:

    cli/                         `td-pinterest`, for people: one module a command
    export  status  erase        the doors that a workflow names after `py>:`
    activation  many  mirror     doors to an export of another kind
    assignment                   what a task asks for, with every problem at once
    connect                      a task and its settings → both services, built once
    audiences/                   the actions, customer lists, sending in batches
    withholding/                 whom not to send: opt-outs, who has not consented, a control group
    warehouse/                   SQL made from the operator's own tables: hashing, mirror, history
    records/                     rows → unique records, by way of a spool on disk; the plan
    workflow/                    the digdag task: parameters, log and signals, refresh token kept
    pinterest/  treasure_data/   the two services over HTTP: one call, retried
    settings/                    `result_settings` → one frozen value, or every problem at once
    report/                      statistics → one page
    identifiers/                 the types of identifiers, one row each, and what is valid
    transport  connections       one HTTP request: time limits, bounded bodies
    stats  errors  retry  secret  timing
"""

from td_pinterest_op import requirements

__version__ = "0.3.2"
USER_AGENT = f"td_pinterest_op/{__version__}"

requirements.check()
