"""The mail and the message of config/failed.yml, uncommented, sent to servers on this machine."""

import email
import email.policy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import guard
from tests.alert_receivers import ReceivedRequest, serve_mail_sink, serve_web_sink
from tests.e2e.project import ENGINES, Engine, Ran, edit_file, read_history
from tests.emulators.environment import SECRETS
from tests.emulators.pinterest import AD_ACCOUNT_ID
from tests.exporting import Services, people

pytestmark = pytest.mark.parametrize("engine", ENGINES)
MISSING = "549755885175999999"
FAILURE = f"there is no audience {MISSING} in ad account {AD_ACCOUNT_ID}: check both ids"
SESSION = "2026-11-25T00:00:00+00:00"
CLOSED_PORT = 1
WHERE = r" \(project \w+, attempt \d+\)"
HOOK = "hook-s3cr3t"
# In YAML, through re.sub, which reads a backslash as well.
LINES = r'"The first line.\\nThe row of jane@shop.example is wrong."'
# In JavaScript \x7b and \x7d are braces, \x22 and \x27 quotes.
HOSTILE = (
    r"""'${"$\x7bsecret:td.apikey\x7d $\x7bland\x7d $\x7b1+1\x7d \x22it\x27s\x22 \\ of """
    r"""jane@shop.example jane%40shop.example 5eed0000-0000-4000-8000-000000000001\n" """
    r"""+ new Array(10000).join("\x22\x27\\ $\x7bland\x7d\n")}'"""
)


TASKS = """\
class Größe(Exception):
    pass


class Empty:
    def run(self):
        raise Größe


class Group:
    def run(self):
        raise ExceptionGroup("several: Größe", [Größe()])
"""


@dataclass(frozen=True, kw_only=True)
class Receivers:
    """The servers and what they received."""

    mail_port: int
    mails: list[bytes]
    address: str
    messages: list[ReceivedRequest]

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
        (asked,) = self.messages
        guard.check(asked.body, "the message")
        alert: dict[str, str] = json.loads(asked.body)
        return alert


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    with serve_mail_sink() as (port, mails), serve_web_sink() as (address, messages):
        yield Receivers(mail_port=port, mails=mails, address=address, messages=messages)


@pytest.fixture(autouse=True)
def people_to_export(services: Services) -> None:
    services.td.create("sandbox", "people", [{"email": person, "opted_in": True} for person in people(20)])


@pytest.fixture
def alerts(project: Path) -> Path:
    """The project with both alerts switched on, as a reader of failed.yml does it; its audience does not exist."""
    edit_file(project / "config" / "failed.yml", (r"^  # (?=\+|  )", "  "))
    edit_file(project / "config" / "pinterest.yml", (r'audience_id: "\d+"', f'audience_id: "{MISSING}"'))
    return project


def run_failing_export(
    engine: Engine, services: Services, project: Path, *, mail_port: int, webhook: str, resume: Ran | None = None
) -> Ran:
    """Run the export, which fails. The address of `webhook` is a secret."""
    edit_file(
        project / "config" / "failed.yml",
        (r"^    (?:# )?port: \d+$", f"    port: {mail_port}"),
        (r"^    (?:# )?from: ", "    from: "),
    )
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


# Files of a project that people may have, with which an alert has to work all the same.
ODD = {
    "a list without entries": ("pinterest_many", {"audiences.yml": "audiences:\n"}),
    "an empty target": ("pinterest_export", {"pinterest.yml": "ad_account_id:\naudience_id:\naudience_name:\n"}),
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
    assert re.fullmatch(rf"{name} of .* failed: .+{WHERE}", receivers.message()["text"]), ran.log


def test_resumed_run_that_fails_again_sends_its_alerts_again(
    engine: Engine, services: Services, alerts: Path, receivers: Receivers
) -> None:
    ran = None
    webhook = f"{receivers.address}/200/{HOOK}"
    for count in (1, 2, 3):
        ran = run_failing_export(engine, services, alerts, mail_port=receivers.mail_port, webhook=webhook, resume=ran)
        assert (count, count) == (len(receivers.mails), len(receivers.messages)), ran.log
        assert all(FAILURE in message.body for message in receivers.messages)
        assert len([job for job in services.td.jobs.all() if "opted_in" in job.query]) == 1


def test_alerts_contain_the_first_line_of_a_message_only(
    engine: Engine, services: Services, alerts: Path, receivers: Receivers
) -> None:
    edit_file(alerts / "pinterest_export.dig", (r"^  td>: queries/people.sql$", f"  fail>: {LINES}"))
    run_failing_export(
        engine, services, alerts, mail_port=receivers.mail_port, webhook=f"{receivers.address}/200/{HOOK}"
    )
    assert "failed: The first line. (project " in receivers.mail()[-1]
    assert "failed: The first line. (project " in receivers.message()["text"]


def test_failed_alert_does_not_prevent_the_other(
    engine: Engine, services: Services, alerts: Path, receivers: Receivers
) -> None:
    run_failing_export(engine, services, alerts, mail_port=CLOSED_PORT, webhook=f"{receivers.address}/200/{HOOK}")
    assert (receivers.mails, FAILURE in receivers.message()["text"]) == ([], True)
    run_failing_export(
        engine, services, alerts, mail_port=receivers.mail_port, webhook=f"{receivers.address}/404/{HOOK}"
    )
    assert FAILURE in receivers.mail()[-1]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (f"fail>: {HOSTILE}", r"""\$ \{secret:td.apikey\} \$ \{land\} \$ \{1\+1\} "it's" \\ of(?: <hidden>){3}"""),
        ("td>: {data: SELECT * FROM nowhere}", r"Query \d+ failed"),
        ("td>: {data: ' '}", r"Query \d+ failed"),
        ("td>: {data: SELECT * FROM nowhere}\n  engine: hive", "a query failed"),
        ("fail>: Jane of +49 (40) 123 4567, at https://a/?key=s3cr3t", "Jane of <hidden>, at https://a/<hidden>"),
        ("py>: tasks.Empty", "(?:see the log)?"),
        ("py>: tasks.Group", r"several: Größe \(1 sub-exception\)"),
        ("fail>: Python command failed with code 137", r"Python command failed with code 137"),
        (
            "py>: td_pinterest_op.status.AudienceStatus\n  result_settings: {ad_account_id: one, min_size: many}",
            r"result_settings has \d problems: - ad_account_id: .* - audience_ids?: .* - min_size: .*",
        ),
        ("td>: queries/land.sql", r"\(ReferenceError: .*land.* is not defined\) in queries/land\.sql \(config\)"),
    ],
    ids=["hostile", "wrong table", "empty", "hive", "number", "no message", "group", "killed", "problems", "undefined"],
)
def test_alerts_and_history_report_a_failure_whatever_its_message_contains(
    engine: Engine, services: Services, alerts: Path, receivers: Receivers, query: str, told: str
) -> None:
    (alerts / "queries" / "land.sql").write_text("SELECT email\nFROM people\nWHERE land = '${land}'\n")
    (alerts / "tasks.py").write_text(TASKS)
    flow = alerts / "pinterest_export.dig"
    flow.write_text(flow.read_text().replace("td>: queries/people.sql", query))
    ran = run_failing_export(
        engine, services, alerts, mail_port=receivers.mail_port, webhook=f"{receivers.address}/200/{HOOK}"
    )
    (row,) = read_history(services)
    assert re.fullmatch(told, row["error"]), ran.log
    whole = re.escape(f"pinterest_export of {SESSION} failed: ") + told + WHERE
    for text in (receivers.mail()[-1], receivers.message()["text"]):
        assert re.fullmatch(whole, text), text


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
