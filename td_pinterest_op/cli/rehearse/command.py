"""`td-pinterest rehearse`: announces the steps, asks, runs them, and shows what they found out."""

import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click

from td_pinterest_op import __version__
from td_pinterest_op.cli import files, options, screen
from td_pinterest_op.cli.connection import ENVIRONMENT, open_connection
from td_pinterest_op.cli.options import FILE, CommonOptions
from td_pinterest_op.cli.rehearse.rehearsal import (
    DEFAULT_BATCH,
    NAME,
    DecisiveResponse,
    Facts,
    NotTriedError,
    Rehearsal,
)
from td_pinterest_op.cli.rehearse.steps import LARGE, STEPS, Step
from td_pinterest_op.errors import ExportError, PinterestError, SettingsError, StoppedError
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.runtime.clock import SYSTEM
from td_pinterest_op.runtime.text import format_count
from td_pinterest_op.stats import RequestCounts

log = logging.getLogger(__name__)

_EXAMPLE = """\b
Examples:
  td-pinterest rehearse
  td-pinterest rehearse --no-large --yes
  td-pinterest rehearse --only list,batches --output batches.json
"""
_OUTPUT = "rehearsal.json"
_TRIAL_WRITES = 300
# What an export has in flight without a setting, max_in_flight.
_DEFAULT_AT_ONCE = 8
# The operator looks for what it has just created for so long before it creates it again, in seconds.
_LOOKED_FOR = 10.0
_FAILED = {
    401: "the token may not do this",
    403: "the user or the app may not do this",
    404: "it is not found",
    429: "Pinterest asks to wait longer than somebody at a terminal would",
}


def _parse_steps(_context: click.Context, option: click.Parameter, text: str | None) -> Sequence[Step]:
    """Return the steps that --only names, or all steps if the option is not used."""
    names = [name.strip() for name in text.split(",")] if text else [step.name for step in STEPS]
    unknown = set(names) - {step.name for step in STEPS}
    if unknown:
        known = ", ".join(step.name for step in STEPS)
        raise click.BadParameter(
            f"there is no step {' or '.join(sorted(unknown))}: the steps are {known}", param=option
        )
    return [step for step in STEPS if step.name in names]


@click.command(cls=options.Command, epilog=_EXAMPLE)
@click.option(
    "--only", "requested_steps", metavar="STEP,…", callback=_parse_steps, help="Only these steps, and what they need."
)
@click.option(
    "--no-large",
    "without_large_batches",
    is_flag=True,
    help="Leave out the step batches, those of more than 10,000 records.",
)
@click.option(
    "--output", type=FILE, default="rehearsal.json", show_default=True, help="The file to write the results to."
)
@options.yes
@options.ad_account
@options.env_file
@options.as_json
@options.quiet
@options.pass_common
def rehearse(common: CommonOptions, requested_steps: Sequence[Step], without_large_batches: bool, output: Path) -> None:
    """Send test requests to find out what Pinterest does where its documentation is silent.

    Says first what it does and what it leaves behind, and asks. It creates customer lists and an audience of its own in
    your ad account, with made-up people, and touches nothing of yours. It ends with a table, advice, and a file that
    contains no id, no secret and no personal data: attach it to a bug report, or give it to `scripts/sandbox --like`,
    which then behaves like your ad account.

    Steps: token, account, list_without_records, list, batches, at_once, records_v2, audience, move, remove.
    """
    requested = [step for step in requested_steps if not (without_large_batches and step.name == LARGE)]
    if not requested:
        raise click.UsageError("no step is left to run: --no-large leaves out the only step that --only names")
    if not output.parent.is_dir():
        raise SettingsError(f"there is no folder {output.parent} for --output: create it, or name another file")
    counts = RequestCounts()
    to_do = _add_needed_steps(requested)
    names = {step.name for step in to_do}
    writes = sum(step.writes for step in to_do) + ("audience" in names and "remove" not in names)
    response = DecisiveResponse()
    with open_connection(common, timing=SYSTEM, counts=counts, on_response=response.record_response) as connection:
        api = connection.make_api()
        if not (common.quiet and common.yes):
            can_store_token = connection.credentials.sources.get("PINTEREST_REFRESH_TOKEN") != ENVIRONMENT
            screen.print_note(
                _describe_steps(names, account=api.ad_account_id, writes=writes, can_store_token=can_store_token)
            )
        if not (common.yes or screen.ask_yes_no("Do this?")):
            raise StoppedError("you answered no: nothing was written")
        at = datetime.fromtimestamp(SYSTEM.now(), timezone.utc)
        rehearsal = Rehearsal(connection, api, response=response, timing=SYSTEM)
        steps = _run_steps(rehearsal, to_do, common)
    names = {step.name for step in requested}
    result = {
        "version": __version__,
        "at": f"{at:%Y-%m-%dT%H:%M:%SZ}",
        "writes": {"announced": writes, "made": counts.sent},
        "facts": {name: round(it, 2) if isinstance(it, float) else it for name, it in asdict(rehearsal.facts).items()},
        "steps": [step for step in steps if step["name"] in names],
        "advice": build_advice(rehearsal.facts),
    }
    _print_result(result, output, common)


def _add_needed_steps(wanted: Sequence[Step]) -> list[Step]:
    """Return the wanted steps, and the steps that must run before them, in the order of STEPS."""
    names = {step.name for step in wanted}
    for step in reversed(STEPS):
        if step.name in names and step.needs:
            names.add(step.needs)
    return [step for step in STEPS if step.name in names]


def _describe_steps(names: Collection[str], *, account: str, writes: int, can_store_token: bool) -> str:
    """Return the text shown before the confirmation: what the steps do, and what they leave behind."""
    lists = len({"list_without_records", "list", "move"}.intersection(names))
    lines = [f"To find out what Pinterest's documentation does not say, in ad account {account}:"]
    if "token" in names:
        lines.append(
            "- the token is refreshed three times, once with the old refresh token; each new one is stored where the "
            "old one was found. If Pinterest takes that for theft, run `td-pinterest authorize` again"
        )
        if not can_store_token:
            lines.append(
                "  The old one was found in the environment, where no new one can be stored: if your app renews "
                "refresh tokens, store it first, with `td-pinterest authorize --to local`"
            )
    if lists:
        named = f'named "{NAME} …"'
        created = format_count(
            lists, f"customer list {named} is created, and stays", f"customer lists {named} are created, and stay"
        )
        lines.append(
            f"- up to {created}: Pinterest has no way to delete them. The people in them are made up: digests of "
            "addresses under .invalid"
        )
    if "audience" in names:
        lines.append("- an audience of that name is created, and removed at the end, also after Ctrl-C")
    lines.append(
        f"- {format_count(writes, 'request writes', 'requests write')} (a trial app has {_TRIAL_WRITES} a day), and "
        "more if some must be repeated"
    )
    return "\n".join([*lines, "Nothing else in the ad account is touched. It takes a few minutes."])


def _run_steps(rehearsal: Rehearsal, steps: Sequence[Step], common: CommonOptions) -> list[dict[str, Any]]:
    """Run the steps, then remove the rehearsal's audience. Return the result of each step.

    Raises StoppedError, whose text says whether an audience is left, PinterestError if the audience cannot be removed,
    and the errors of a refused token.
    """
    done: list[dict[str, Any]] = []
    try:
        rehearsal.services.tokens.get_token()
        for step in steps:
            common.print_note(f"{step.name}: {step.request} …")
            done.append(_run_step(step, rehearsal))
        is_tidy = rehearsal.remove_what_is_left()
    except StoppedError as error:
        shutdown.clear_request()
        is_tidy = rehearsal.remove_what_is_left()
        audience = (
            "its audience no longer exists"
            if is_tidy
            else f'its audience "{rehearsal.name}" may still exist: delete it in Ads Manager'
        )
        raise error.extend(f" after {len(done)} of {len(steps)} steps; {audience}") from None
    if not is_tidy:
        raise PinterestError(f'the audience "{rehearsal.name}" could not be removed: delete it in Ads Manager')
    return done


def _run_step(step: Step, rehearsal: Rehearsal) -> dict[str, Any]:
    """Run one step. Return the step's result: name, request, HTTP status, error code, seconds and verdict."""
    rehearsal.response.clear_response()
    begin = SYSTEM.monotonic()
    try:
        verdict = step.run(rehearsal)
    except NotTriedError as error:
        verdict = str(error)
    except StoppedError:
        raise
    except ExportError as error:
        rehearsal.response.record_error(error)
        log.warning("step %s: %s", step.name, error)
        verdict = f"unknown: {_FAILED.get(error.status or 0, 'Pinterest did not carry out the request')}"
    came = {
        "name": step.name,
        "asked": step.request,
        "status": rehearsal.response.status,
        "code": rehearsal.response.code,
        "seconds": round(SYSTEM.monotonic() - begin, 2),
        "verdict": verdict,
    }
    return came | ({"limits": rehearsal.limits} if step.name == "account" and rehearsal.limits else {})


def build_advice(facts: Facts) -> list[str]:
    """Return advice that follows from a rehearsal's facts: settings for exports, and what to avoid."""
    batch = facts.largest_batch
    at_once = facts.batches_at_once
    return [
        text
        for applies, text in (
            (batch not in (None, DEFAULT_BATCH), f"set limit_records_per_request: {batch}"),
            (at_once is not None and at_once < _DEFAULT_AT_ONCE, f"set max_in_flight: {at_once}"),
            (facts.records_v2 is False, "keep records: identifiers, since rows with several keys are refused"),
            (
                facts.move_obeyed is False,
                (
                    "use the actions that add, remove and create; those that replace and clear switch the audience to "
                    "another list, which Pinterest did not do"
                ),
            ),
            (
                facts.refresh_rotates and facts.old_refresh_token_lives is False,
                "keep the refresh token in one place: every refresh makes the previous token invalid",
            ),
            (
                (facts.list_listed_seconds or 0.0) > _LOOKED_FOR,
                "look at `td-pinterest lists` after a run that got no response from Pinterest: new lists take time "
                "to appear there",
            ),
        )
        if applies
    ]


def _print_result(result: dict[str, Any], output: Path, common: CommonOptions) -> None:
    """Print a rehearsal's result, as a table and advice or as JSON, and write it to the file `output`."""
    if common.as_json:
        screen.print_json(result)
    else:
        rows = [step | {"step": step["name"]} for step in result["steps"]]
        screen.print_table(rows, columns=("step", "status", "code", "seconds", "verdict"), prose=("verdict",))
        screen.print_line()
        for text in result["advice"] or ["nothing to set: the defaults fit this service"]:
            screen.print_line(f"Advice: {text}")
    try:
        output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"the file {output} of --output cannot be written: {files.explain_error(error)}") from None
    common.print_note(
        f"Written to {output}: it contains no id, no secret and no personal data, and may be attached to a bug report."
    )
