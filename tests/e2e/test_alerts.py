"""The mails and messages that config/workflow.yml asks for, sent to servers on this machine."""

import email
import email.policy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import guard
from tests.alert_receivers import serve_mail_sink, serve_web_sink
from tests.e2e.project import ENGINES, Engine, Ran, Run, edit_file, run_with_digdag, use_audience
from tests.emulators.environment import SECRETS
from tests.emulators.pinterest import AD_ACCOUNT_ID
from tests.exporting import Services, people

pytestmark = pytest.mark.parametrize("engine", ENGINES)
MISSING = "549755885175999999"
FAILURE = f"there is no audience {MISSING} in ad account {AD_ACCOUNT_ID}. Nothing was sent. Check both ids"
SESSION = "2026-11-25T00:00:00+00:00"
CLOSED_PORT = 1
WHERE = r" \(project \w+, attempt \d+\)"
HOOK = "hook-s3cr3t"

# Tasks of a workflow that fail. Names tell what an alert shows: that of the operator's own error, or no word.
TASKS = r"""
from td_pinterest_op.errors import JobError, SettingsError

PERSON = "jane@shop.example +4917012345678"
OWN = "first: wrong (ValueError)\n- second: costs $5, \"it's\" \\ of python: 1\n- third (runtime)"
FROM = "\n\tfrom td_pinterest_op.errors.SettingsError: "
TRACE = "\n\tfrom Traceback (most recent call last):\n"


class Größe(Exception):
    pass


class SettingsErrorOfOurs(SettingsError):
    pass


def own_error():
    raise SettingsError(OWN)


def own_error_with_a_cause():
    try:
        raise ValueError(PERSON)
    except ValueError as error:
        raise SettingsError(OWN) from error


def own_error_while_another_is_handled():
    try:
        raise Größe(PERSON)
    except Größe:
        raise SettingsError(OWN)


def own_error_of_many_lines():
    raise SettingsError(OWN + "\n- and one more" * 50_000)


def raise_from_own_error():
    try:
        raise SettingsError(OWN)
    except SettingsError as error:
        raise ValueError(PERSON) from error


def raise_text_of_own_error():
    try:
        raise SettingsError(OWN)
    except SettingsError as error:
        raise ValueError(str(error)) from error


def raise_own_error_after_forged():
    try:
        raise Größe(PERSON + FROM + PERSON)
    except Größe:
        raise SettingsError(OWN)


def raise_subclass():
    raise SettingsErrorOfOurs(PERSON)


def raise_nothing():
    raise Größe


def raise_group():
    raise ExceptionGroup(PERSON, [Größe(PERSON), SettingsError(PERSON)])


def raise_note():
    error = ValueError(PERSON)
    error.add_note(FROM.strip() + PERSON)
    raise error


def raise_for_a_missing_operator():
    raise ModuleNotFoundError("No module named 'td_pinterest_op': " + PERSON)


def leave():
    raise SystemExit(PERSON)


def stop():
    raise KeyboardInterrupt(PERSON)


MESSAGES = {
    "plain": PERSON,
    "lines": f"first\n{PERSON}\n",
    "forged": FROM + PERSON,
    "forged_after_text": f"bad row{FROM}{PERSON}",
    "forged_with_class": f"bad row (SettingsError){FROM}{PERSON}",
    "forged_with_trace": f"bad row (SettingsError){TRACE}{FROM}{PERSON}",
    "forged_with_runtime": f"bad row (SettingsError){FROM}{PERSON}\n (runtime)",
    "forged_exactly": f"{PERSON} (ValueError){FROM}{PERSON}",
    "forged_with_file": f"{PERSON} (ValueError){TRACE}\n\tfrom   File{FROM}{PERSON}",
    "forged_message": f"\nError messages from python: {PERSON} (SettingsError)\n\tfrom Trace{FROM}x",
    "forged_twice": f"{FROM}{PERSON}{FROM}{PERSON}",
    "forged_prefix": f"Error messages from python: {FROM}{PERSON}",
    "near_module": "\n\tfrom td_pinterest_option.Error: " + PERSON,
    "long": PERSON * 20_000,
    "long_line_feeds": "\n" * 700_000,
    "long_forged": FROM * 17_000,
    "long_periodic": f"python: (SettingsError){FROM}" * 10_000,
    "long_parentheses": " (" * 350_000,
    "carriage_return": f"a\r{FROM}\r\n{PERSON}",
    "separators": f"a\u2028{PERSON}\u2029\x85{FROM}\x00{PERSON}",
    "brackets": f"{{{{{PERSON}}}}} $$ $& $1 $` ]]>",
}


def raise_message(message):
    raise ValueError(MESSAGES[message])
"""
# Ways to fail, each with a part of a task.
OTHERS = {
    **{
        name: f"py>: hostile.{name}"
        for name in (
            "raise_from_own_error",
            "raise_text_of_own_error",
            "raise_own_error_after_forged",
            "raise_subclass",
            "raise_nothing",
            "raise_group",
            "raise_note",
            "raise_for_a_missing_operator",
            "leave",
            "stop",
            "missing",
        )
    },
    "no_module": "py>: nowhere.Nothing",
    "killed": "py>: killed.Killed",
    "fail": "fail>: jane@shop.example is wrong",
    "fail_forged": r'fail>: "x\nError messages from python: a\n\tfrom td_pinterest_op.errors.E: jane@shop.example\n"',
    "templates": r"""fail>: '${"$\x7bsecret:td.apikey\x7d $\x7bland\x7d \x22it\x27s\x22 \\"}'""",
    "fail_as_python": (
        r'fail>: "Python command failed with code 1\nError messages from python: jane@shop.example (E)\n'
        r'\tfrom td_pinterest_op.errors.E: jane@shop.example\n\tfrom x"'
    ),
    "fail_137": "fail>: Python command failed with code 137",
    "wrong_table": "td>: {data: SELECT * FROM nowhere}",
    "empty_query": "td>: {data: ' '}",
    "hive": "td>: {data: SELECT * FROM nowhere}\n    engine: hive",
    "undefined": "echo>: '${land}'",
}


@dataclass(frozen=True, kw_only=True)
class Receivers:
    """The servers and what they received."""

    mail_port: int
    mails: list[bytes]
    address: str
    messages: list[str]

    def mail(self) -> tuple[str, str, str]:
        """Receiver, subject and text of the only mail."""
        (taken,) = self.mails
        message = email.message_from_bytes(taken, policy=email.policy.default)
        body = message.get_body(("plain",))
        assert body is not None
        guard.check(taken.decode().replace("you@example.com", ""), "the mail")
        return str(message["To"]), str(message["Subject"]), body.get_content().strip()

    def message(self) -> dict[str, str]:
        """The JSON of the only message."""
        (message,) = self.messages
        guard.check(message, "the message")
        alert: dict[str, str] = json.loads(message)
        return alert


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    with serve_mail_sink() as (port, mails), serve_web_sink() as (address, messages):
        yield Receivers(mail_port=port, mails=mails, address=address, messages=messages)


@pytest.fixture(autouse=True)
def people_to_export(services: Services) -> None:
    services.td.create("sandbox", "people", [{"email": person, "opted_in": 1} for person in people(20)])


@pytest.fixture
def alerts(project: Path) -> Path:
    """The project with both alerts switched on; its audience does not exist."""
    switch_on_alerts(project)
    edit_file(project / "config" / "export.yml", (r'audience_id: "\d+"', f'audience_id: "{MISSING}"'))
    return project


def switch_on_alerts(project: Path, *, mail_port: int = CLOSED_PORT, to: str = "[you@example.com]") -> None:
    edit_file(
        project / "config" / "workflow.yml",
        (r"^mail:\n(?:  .*\n)+", f"mail:\n  to: {to}\n  port: {mail_port}\n  from: workflows@example.com\n"),
        (r"^slack: \w+", "slack: true"),
    )


def run_failing_export(
    engine: Engine, services: Services, project: Path, *, mail_port: int, webhook: str, resume: Ran | None = None
) -> Ran:
    """Run the export, which fails. The address of `webhook` is a secret."""
    switch_on_alerts(project, mail_port=mail_port)
    more = {"mail.host": "127.0.0.1", "slack.webhook": webhook}
    ran = engine(project / "pinterest_export.dig", services, project.parent, more, resume=resume)
    assert not ran.succeeded
    assert webhook not in ran.log
    return ran


def test_each_alert_reports_once_what_failed_for_which_audience_and_what_to_do(
    engine: Engine, services: Services, alerts: Path, receivers: Receivers
) -> None:
    ran = run_failing_export(
        engine, services, alerts, mail_port=receivers.mail_port, webhook=f"{receivers.address}/200/{HOOK}"
    )
    guard.check(ran.log, "the log")
    to, subject, text = receivers.mail()
    assert (to, subject) == ("you@example.com", "[pinterest] pinterest_export failed"), ran.log
    told = re.escape(f"pinterest_export of {SESSION} failed: {FAILURE}") + WHERE
    assert re.fullmatch(told, text), text
    assert list(message := receivers.message()) == ["text"]
    assert re.fullmatch(told, message["text"]), message


def test_mail_after_a_success_says_what_was_done(
    run: Run, services: Services, project: Path, receivers: Receivers
) -> None:
    use_audience(project, services.audience(people(3)))
    switch_on_alerts(project, mail_port=receivers.mail_port)
    edit_file(
        project / "config" / "workflow.yml",
        (r"^mail_on_success: false", "mail_on_success: true"),
        (r"^  from:", "  host: 127.0.0.1\n  from:"),
    )
    ran = run("pinterest_export")
    assert ran.succeeded, ran.log
    to, subject, text = receivers.mail()
    assert (to, subject) == ("you@example.com", "[pinterest] pinterest_export succeeded")
    assert text.startswith('Added 20 records to audience "Shoppers".')
    assert receivers.messages == []


ALERT_VALUES = [
    ("", 0, 0),
    ("mail:\nslack:\n", 0, 0),
    ("mail: {to: [], port: PORT, from: a@example.com}\nslack: false\n", 0, 0),
    ("mail: {to: '', port: PORT, from: a@example.com}\nslack: 'false'\n", 0, 0),
    ("mail: {to: you@example.com, port: PORT, from: a@example.com}\n", 1, 0),
    ("mail: {to: [you@example.com], port: PORT, from: a@example.com}\nslack: 'true'\n", 1, 1),
    ("slack: true\n", 0, 1),
]


@pytest.mark.parametrize(("values", "mails", "messages"), ALERT_VALUES)
def test_alerts_are_sent_as_config_workflow_yml_says(
    engine: Engine,
    services: Services,
    alerts: Path,
    receivers: Receivers,
    values: str,
    mails: int,
    messages: int,
) -> None:
    (alerts / "config" / "workflow.yml").write_text(
        "td: {database: sandbox}\n" + values.replace("PORT", str(receivers.mail_port))
    )
    secrets = {"mail.host": "127.0.0.1", "slack.webhook": f"{receivers.address}/200"}
    ran = engine(alerts / "pinterest_export.dig", services, alerts.parent, secrets)
    assert (len(receivers.mails), len(receivers.messages)) == (mails, messages), ran.log
    assert f"failed: {FAILURE}" in ran.log


# Files of a project that people may have, with which an alert has to work all the same.
ODD = {
    "a list without entries": ("pinterest_audiences", {"audiences.yml": "audiences:\nresult_settings:\n"}),
    "empty settings": ("pinterest_export", {"export.yml": "ad_account_id:\naudience_id:\n"}),
    "a variable named pinterest": ("pinterest_export", {"lift.yml": "{}\n"}),
}


@pytest.mark.parametrize("case", ODD)
def test_alert_is_sent_whatever_the_project_exports(
    engine: Engine, services: Services, alerts: Path, receivers: Receivers, case: str
) -> None:
    name, files = ODD[case]
    for file, text in files.items():
        (alerts / "config" / file).write_text(text)
    edit_file(alerts / f"{name}.dig", (r"^(_export:\n  !include : config/workflow.yml\n)", r"\1  pinterest: 3\n"))
    edit_file(alerts / f"{name}.dig", (r"\Z", "\n+killed: {fail>: Python command failed with code 137}\n"))
    ran = engine(
        alerts / f"{name}.dig",
        services,
        alerts.parent,
        {"mail.host": "127.0.0.1", "slack.webhook": f"{receivers.address}/200"},
    )
    assert re.fullmatch(rf"{name} of .* failed: .+{WHERE}", receivers.message()["text"], re.DOTALL), ran.log


def test_resumed_run_that_fails_again_sends_its_alerts_again(
    engine: Engine, services: Services, alerts: Path, receivers: Receivers
) -> None:
    ran = None
    webhook = f"{receivers.address}/200/{HOOK}"
    for count in (1, 2, 3):
        ran = run_failing_export(engine, services, alerts, mail_port=receivers.mail_port, webhook=webhook, resume=ran)
        assert (count, count) == (len(receivers.mails), len(receivers.messages)), ran.log
        assert all(FAILURE in message for message in receivers.messages)


def test_failed_alert_does_not_prevent_the_other(
    engine: Engine, services: Services, alerts: Path, receivers: Receivers
) -> None:
    run_failing_export(engine, services, alerts, mail_port=CLOSED_PORT, webhook=f"{receivers.address}/200/{HOOK}")
    assert (receivers.mails, FAILURE in receivers.message()["text"]) == ([], True)
    run_failing_export(
        engine, services, alerts, mail_port=receivers.mail_port, webhook=f"{receivers.address}/404/{HOOK}"
    )
    assert FAILURE in receivers.mail()[-1]


def test_alerts_show_the_paragraph_of_the_operator_and_no_word_of_another_task(
    engine: Engine, services: Services, alerts: Path, receivers: Receivers
) -> None:
    (alerts / "hostile.py").write_text(TASKS, encoding="utf-8")
    (alerts / "killed.py").write_text(
        "import os\n\n\nclass Killed:\n    def run(self):\n        os.kill(os.getpid(), 9)\n"
    )
    values: dict[str, Any] = {}
    exec(
        TASKS.partition("class Größe")[0] + TASKS[TASKS.index("MESSAGES = ") : TASKS.index("def raise_message")], values
    )
    own = {name: f"py>: hostile.{name}" for name in re.findall(r"def (own_\w+)", TASKS)}
    given = {f"message_{name}": f"py>: hostile.raise_message\n    message: {name}" for name in values["MESSAGES"]}
    shell = {"shell": "sh>: exit 1"} if engine is run_with_digdag else {}  # which tests/dig does not know
    tasks = own | given | OTHERS | shell
    assert len(tasks) > 40
    flow = "_export:\n  !include : config/workflow.yml\n"
    flow += "+all:\n  _parallel: true\n"
    for name, task in tasks.items():
        flow += f"  +{name}:\n    {task}\n    _error:\n      !include : config/failed.yml\n"
    (alerts / "hostile.dig").write_text(flow)
    edit_file(
        alerts / "config" / "failed.yml", (r"^(    fail>: &alert >-\n      )", r"\1${task_name.split(/[+^]/)[3]}:")
    )
    switch_on_alerts(alerts, to="[]")
    engine(alerts / "hostile.dig", services, alerts.parent, {"slack.webhook": f"{receivers.address}/200"})
    shown = {}
    for message in receivers.messages:
        text = json.loads(message)["text"]
        told = re.fullmatch(rf"(\w+):hostile of \S+ failed: (.*){WHERE}", text, re.DOTALL)
        assert told, text[:500]
        shown[told[1]] = told[2]
    paragraph = values["OWN"].replace("$", "$ ")
    expected = dict.fromkeys(tasks, "see the log") | dict.fromkeys(own, paragraph)
    expected["killed"] = "the process was killed (exit code 137), usually for lack of memory: run it again"
    expected["raise_for_a_missing_operator"] = (
        "the Python that runs py> tasks does not have the operator: install td_pinterest_op into it, or name another "
        "one with -p py.python=PATH; on a server, push the project with td-pinterest push"
    )
    shown["own_error_of_many_lines"] = shown["own_error_of_many_lines"].partition("\n- and one more")[0]
    assert {name: text for name, text in shown.items() if text != expected[name]} == {}
    assert sorted(shown) == sorted(tasks)


def test_alert_about_a_task_without_credentials_contains_no_credentials(
    engine: Engine, services: Services, alerts: Path, receivers: Receivers
) -> None:
    nothing = ", ".join(f"{variable}: ''" for variable in SECRETS.values())
    edit_file(
        alerts / "pinterest_export.dig",
        (r"^  _env:\n    !include : config/environment.yml\n", f"  _env: {{{nothing}}}\n"),
    )
    ran = run_failing_export(
        engine, services, alerts, mail_port=receivers.mail_port, webhook=f"{receivers.address}/200/{HOOK}"
    )
    guard.check(ran.log, "the log")
    for text in (receivers.mail()[-1], receivers.message()["text"]):
        assert "set the workflow's secret pinterest.refresh_token" in text, ran.log
