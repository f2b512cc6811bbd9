"""`td-pinterest doctor`: a line for each thing that an export needs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from td_pinterest_op.cli import files, options, screen
from td_pinterest_op.cli.check import check_workflow
from td_pinterest_op.cli.connection import Credentials, find_credentials
from td_pinterest_op.cli.doctor.check import ERROR, OK, WARNING, CheckResult, DoctorContext, Target
from td_pinterest_op.cli.doctor.checks import run_checks
from td_pinterest_op.cli.export import build_query_params, complete_settings
from td_pinterest_op.cli.lint.exports import Export
from td_pinterest_op.cli.options import FILE, CommonOptions

# The sign of each status, its replacement on a terminal that has only ASCII, and its style.
_SIGNS = {OK: ("✓", "ok", "green"), WARNING: ("!", "!", "yellow"), ERROR: ("✗", "x", "bold red")}

_EXAMPLE = """\b
Examples:
  td-pinterest doctor
  td-pinterest doctor --query people.sql --database shop
  td-pinterest doctor --job 2345678 --workflow pinterest_export.dig --json
"""


@click.command(cls=options.Command, epilog=_EXAMPLE)
@options.ad_account
@options.audience
@click.option("--job", "job_id", metavar="ID", help="Check the result of this Treasure Data job too.")
@click.option("--query", metavar="SQL|FILE", help="Run this query (SQL, or a file with it), and check its rows.")
@click.option("--database", help="The database of --query.")
@click.option(
    "--settings",
    "settings_file",
    type=FILE,
    help="Check these result_settings, a YAML or JSON file, and the rows against them.  [default: the rows against "
    "those in --workflow]",
)
@click.option("--workflow", type=FILE, help="Check this .dig file too, and the ad account and audience that it names.")
@click.option("--project", metavar="NAME", help="Check the secrets of this project on hosted Treasure Workflow too.")
@options.env_file
@options.as_json
@options.pass_common
def doctor(
    common: CommonOptions, /, settings_file: Path | None, workflow: Path | None, project: str | None, **source: Any
) -> int:
    """Check everything that an export needs, and say what to do about each problem. Writes nothing to Pinterest.

    A job or a query is read, and its first 1,000 rows are checked. The exit code is 1 if something is wrong.
    """
    if bool(source["query"]) != bool(source["database"]) or (source["query"] and source["job_id"]):
        raise click.UsageError("--query and --database must be given together, and without --job")
    credentials = find_credentials(common.env_file)
    file_settings = files.read_task_file(settings_file)[0] if settings_file else None
    exports = check_workflow(workflow)[1] if workflow and workflow.is_file() else []
    context = DoctorContext(
        credentials=credentials,
        targets=_find_targets(exports, credentials, common),
        settings=None if file_settings is None else complete_settings(file_settings, credentials, common),
        params=build_query_params(source),
        workflow=workflow,
        exports=exports,
        project=project,
    )
    checks: list[tuple[str, CheckResult]] = []
    with context.stack:
        for name, check in run_checks(context):
            checks.append((name, check))
            if not common.as_json:
                _print_check_result(name, check)
    return _print_summary(checks, as_json=common.as_json)


def _find_targets(exports: Sequence[Export], credentials: Credentials, common: CommonOptions) -> Sequence[Target]:
    """Return the ad accounts and audiences that a workflow's exports name, else that of the options or environment."""
    named = Target(
        account_id=common.ad_account or credentials.environ.get("PINTEREST_AD_ACCOUNT_ID") or "",
        audience_id=common.audience or credentials.environ.get("PINTEREST_AUDIENCE_ID") or "",
    )
    of_exports = [target for export in exports for target in _find_export_targets(export, named)]
    return list(dict.fromkeys(of_exports)) or [named]


def _find_export_targets(export: Export, default: Target) -> Iterator[Target]:
    """Yield the ad accounts and audiences of an export. What only a run knows is that of `default`."""
    settings = export.settings
    parsed = export.request.settings if export.request else None
    is_unknown = any(name.startswith("audience_") for name in export.unknown)
    ids = [str(value) for name, value in settings.items() if name.startswith("audience_id") and value]
    name = "" if ids or is_unknown else str(settings.get("audience_name") or "")
    for account_id in getattr(parsed, "ad_account_ids", None) or [settings.get("ad_account_id") or default.account_id]:
        for audience_id in getattr(parsed, "audience_ids", None) or ids[:1] or [default.audience_id]:
            yield Target(account_id=str(account_id), audience_id="" if name else audience_id, name=name)


def _print_check_result(name: str, check: CheckResult) -> None:
    """Print the sign, the name and the message of a check, with advice if the check did not succeed."""
    sign, plain, style = _SIGNS[check.status]
    is_plain = screen.make_console().options.ascii_only
    screen.print_line(
        Text.assemble((plain if is_plain else sign, style), " ", (f"{name}: ", "bold"), check.message), indent=2
    )
    if check.advice and check.status != OK:
        screen.print_line(f"  {'->' if is_plain else '→'} {check.advice}", indent=4)


def _print_summary(checks: Sequence[tuple[str, CheckResult]], *, as_json: bool) -> int:
    """Print how many checks succeeded and failed. Return the exit code, 1 if a check failed."""
    counts = Counter(check.status for _, check in checks)
    is_ok = not counts[ERROR]
    if as_json:
        listed = [
            {"name": name, "status": check.status, "message": check.message, "advice": check.advice}
            for name, check in checks
        ]
        screen.print_json({"ok": is_ok, "checks": listed})
    else:
        ending = "Everything that was checked is in place." if is_ok else "An export would fail."
        screen.print_line(f"\n{ending} {counts[OK]} passed, {counts[WARNING]} with a warning, {counts[ERROR]} failed")
        if is_ok and not Path("rehearsal.json").exists():
            screen.print_note(
                "`td-pinterest rehearse` finds the largest batch that your ad account accepts: it can make exports "
                "up to ten times faster"
            )
    return 0 if is_ok else 1
