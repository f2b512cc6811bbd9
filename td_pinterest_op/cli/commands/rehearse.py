"""`td-pinterest rehearse`."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from td_pinterest_op import __version__
from td_pinterest_op.cli import options, screen
from td_pinterest_op.cli.connection import REFRESH_TOKEN_VARIABLE, build_ad_account_api, open_services_with_options
from td_pinterest_op.cli.rehearse.rehearsal import (
    DEFAULT_BATCH_SIZE,
    NAME_PREFIX,
    STEPS,
    Rehearsal,
    RehearsalFacts,
    Step,
)
from td_pinterest_op.errors import ExportError, PinterestError, SettingsError, StoppedError
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.runtime.atomic_file import write_result
from td_pinterest_op.runtime.text import format_count

log = logging.getLogger(__name__)

# The default of max_in_flight.
_DEFAULT_BATCHES_IN_FLIGHT = 8


@options.command(
    """\b
Examples:
  td-pinterest rehearse
  td-pinterest rehearse --no-large --yes
  td-pinterest rehearse --only list,batches --output batches.json
"""
)
@click.option("--only", metavar="STEP,…", help="Run only these steps, and those that they need.")
@click.option("--no-large", is_flag=True, help="Skip the step `batches`, whose requests have more than 10,000 records.")
@click.option(
    "--output",
    type=options.FILE_TYPE,
    default="rehearsal.json",
    show_default=True,
    help="The file to write the results to.",
)
@options.yes
@options.ad_account
@options.usual_options
def rehearse(common: options.CommonOptions, only: str | None, no_large: bool, output: Path) -> None:
    """Find out what Pinterest does where its documentation is silent.

    First says which requests it will send and what it will leave behind, and asks. It creates customer lists and an
    audience of made-up people in your ad account, and changes nothing else there.

    It ends with a table, advice and a file without ids, secrets or personal data. Attach the file to a bug report, or
    pass it to `scripts/sandbox --like`, which then behaves like your ad account.

    Steps: token, account, list_without_records, list, batches, at_once, records_v2, audience, move, remove.
    """
    known = [step.name for step in STEPS]
    requested = {name.strip() for name in only.split(",")} if only else set(known)
    if unknown := requested.difference(known):
        raise click.UsageError(f"--only: there is no step {', '.join(unknown)}: the steps are {', '.join(known)}")
    if no_large:
        requested.discard("batches")
    if not output.parent.is_dir():
        raise SettingsError(f"there is no folder {output.parent} for --output: create it, or name another file")
    # In STEPS, a step comes after those that it needs.
    names = set(requested)
    for step in reversed(STEPS):
        if step.name in names:
            names.add(step.needs)
    to_do = [step for step in STEPS if step.name in names]
    writes = sum(step.writes for step in to_do)
    if "audience" in names and "remove" not in names:
        writes += 1
    with open_services_with_options(common) as services:
        api = build_ad_account_api(services, common)
        if not (common.quiet and common.yes):
            listed = "\n".join(f"- {step.name}: {step.request}" for step in to_do)
            screen.print_note(
                f"To find out what Pinterest's documentation does not say, in ad account {api.ad_account_id}:\n"
                f"{listed}\n{format_count(writes, 'write request')} (a trial app has 300 a day), and more if some must "
                f'be repeated. Customer lists named "{NAME_PREFIX} …" stay: Pinterest has no way to delete them. The '
                "people in them are made up: digests of addresses under .invalid. An audience of that name is removed "
                "at the end, also after Ctrl-C. Nothing else in the ad account is touched. It takes a few minutes.\n"
                "The step token stores each new refresh token where the old one was found. None can be stored in the "
                f"environment: if your app renews refresh tokens, and {REFRESH_TOKEN_VARIABLE} is set there, first "
                "run `td-pinterest authorize --to local`. If Pinterest takes the return of the old token for theft, "
                "run `td-pinterest authorize` again."
            )
        if not (common.yes or screen.ask_yes_no("Do this?")):
            raise StoppedError("you answered no: nothing was written")
        rehearsal = Rehearsal(services, api)
        done = _run_and_clean_up(rehearsal, to_do, common)
    steps = [step for step in done if step["name"] in requested]
    advice = build_advice(rehearsal.facts)
    result = {
        "version": __version__,
        "at": f"{services.timing.get_utc_time():%Y-%m-%dT%H:%M:%SZ}",
        "writes": {"announced": writes, "made": services.client.counts.sent},
        "facts": asdict(rehearsal.facts),
        "steps": steps,
        "advice": advice,
    }
    if common.as_json:
        screen.print_json(result)
    else:
        screen.print_table(steps, columns=("name", "status", "code", "seconds", "verdict"), wrappable=("verdict",))
        screen.print_line()
        for text in advice or ["nothing to set: the defaults fit this service"]:
            screen.print_line(f"Advice: {text}")
    write_result(output, json.dumps(result, indent=2) + "\n")
    common.print_note(
        f"Written to {output}: it contains no id, no secret and no personal data, and may be attached to a bug report."
    )


def _run_and_clean_up(
    rehearsal: Rehearsal, steps: Sequence[Step], common: options.CommonOptions
) -> list[dict[str, Any]]:
    """Run the steps, and remove the rehearsal's audience at the end. Return a row for each step."""
    timing = rehearsal.services.timing
    done: list[dict[str, Any]] = []
    try:
        rehearsal.services.tokens.get_token()
        for step in steps:
            common.print_note(f"{step.name}: {step.request} …")
            rehearsal.answer = None
            begin = timing.monotonic()
            if step.needs and step.needs not in rehearsal.made:
                verdict = f"not tried: there is no {step.needs}"
            else:
                try:
                    verdict = step.run(rehearsal)
                except StoppedError:
                    raise
                except ExportError as error:
                    rehearsal.answer = error
                    log.warning("step %s: %s", step.name, error)
                    verdict = f"unknown: Pinterest answered {error.status}" if error.status else "unknown: no answer"
            answer = rehearsal.answer
            done.append(
                {
                    "name": step.name,
                    "asked": step.request,
                    "status": answer.status if answer else None,
                    "code": answer.error_code if answer else None,
                    "seconds": round(timing.monotonic() - begin, 2),
                    "verdict": verdict,
                    **({"limits": rehearsal.limits} if step.name == "account" and rehearsal.limits else {}),
                }
            )
        is_tidy = rehearsal.ensure_audience_removed()
    except StoppedError as error:
        shutdown.clear_request()
        audience = (
            "its audience no longer exists"
            if rehearsal.ensure_audience_removed()
            else f'its audience "{rehearsal.name}" may still exist: delete it in Ads Manager'
        )
        lists = f'; customer lists named "{rehearsal.name} …" stay' if rehearsal.services.client.counts.sent else ""
        error.sent = f"{len(done)} of {len(steps)} steps were taken; {audience}{lists}"
        raise
    if not is_tidy:
        raise PinterestError(f'the audience "{rehearsal.name}" could not be removed: delete it in Ads Manager')
    return done


def build_advice(facts: RehearsalFacts) -> list[str]:
    """Return the advice that follows from facts: settings for exports, and what to avoid."""
    advice = []
    if facts.largest_batch not in (None, DEFAULT_BATCH_SIZE):
        advice.append(f"set limit_records_per_request: {facts.largest_batch}")
    if facts.batches_at_once is not None and facts.batches_at_once < _DEFAULT_BATCHES_IN_FLIGHT:
        advice.append(f"set max_in_flight: {facts.batches_at_once}")
    if facts.records_v2 is False:
        advice.append("keep records: identifiers, since rows with several keys are refused")
    if facts.move_obeyed is False:
        advice.append(
            "use the actions that add, remove and create; those that replace and clear switch the audience to another "
            "list, which Pinterest did not do"
        )
    if facts.refresh_rotates and facts.old_refresh_token_lives is False:
        advice.append("keep the refresh token in one place: every refresh makes the previous token invalid")
    return advice
