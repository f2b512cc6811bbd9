"""Control flow, one workflow each: what tests.dig prints, and what the real engine prints where there is one."""

import dataclasses
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import children
from tests.dig import DigError, run, warm

SESSION = "2026-03-30 00:00:00"
_MODULE = """
import digdag

def once(name="tries"):
    with open(name, "a") as file:
        file.write("x")
    with open(name) as file:
        count = len(file.read())
    digdag.env.store({"counted": {"try%d" % count: count}})
    if count < 2:
        raise ValueError("first try")

def keep(key, value=1):
    digdag.env.store({"kept": {key: value}})

def note(key, error):
    digdag.env.store({"failures": {key: error["message"].splitlines()[0]}})

def kinds(entry):
    print("E: %s" % sorted((name, type(value).__name__) for name, value in entry.items()))

def dollar():
    raise ValueError("a price of $" + "{price}")
"""


@dataclass(frozen=True, kw_only=True)
class Case:
    """Files of a project, of which flow.dig is run; the lines it prints that begin with "E:"; whether it succeeds.

    `resumed`: the lines of a second run that resumes the first one, if there is one.
    """

    name: str
    flow: str
    printed: list[str]
    succeeds: bool = True
    files: dict[str, str] = field(default_factory=dict)
    in_order: bool = True
    resumed: list[str] | None = None


CASES = [
    Case(
        name="for_each hands out every combination with its own types",
        flow="""
_export: {sizes: [1, 2], entries: [{id: "1", ratio: 1.5, none: null, nested: {a: 1}}]}
+a:
  for_each>: {colour: [red, a green one], size: "${sizes}"}
  _do: {+show: {echo>: "E: ${colour} ${size + 1} ${task_name}"}}
+b:
  for_each>: {entry: "${entries}"}
  _do: {+kinds: {py>: job.kinds}}
+c: {for_each>: {x: []}, _do: {echo>: "E: never"}}
""",
        printed=[
            "E: red 2 +flow+a^sub+for-0=colour=0=red&1=size=0=1+show",
            "E: red 3 +flow+a^sub+for-0=colour=0=red&1=size=1=2+show",
            "E: a green one 2 +flow+a^sub+for-0=colour=1=a%20green%20&1=size=0=1+show",
            "E: a green one 3 +flow+a^sub+for-0=colour=1=a%20green%20&1=size=1=2+show",
            "E: [('id', 'str'), ('nested', 'dict'), ('none', 'NoneType'), ('ratio', 'float')]",
        ],
    ),
    Case(
        name="a sequential loop ends at the first failure",
        flow="""
+a:
  for_each>: {x: [1, 2, 3]}
  _do:
    +say: {echo>: "E: ${x}"}
    +end: {if>: "${x == 2}", _do: {fail>: "no ${x}"}}
  _error: {echo>: "E: loop ${error.message}"}
_error: {echo>: "E: top ${error.message} ${typeof error.stacktrace}"}
""",
        printed=["E: 1", "E: 2", "E: loop no 2", "E: top no 2 undefined"],
        succeeds=False,
    ),
    Case(
        name="with a limit the wave ends and later waves are left out",
        flow="""
+a:
  for_each>: {x: [1, 2, 3]}
  _parallel: {limit: 2}
  _do: {+say: {echo>: "E: ${x}"}, +end: {if>: "${x == 1}", _do: {fail>: "no"}}}
""",
        printed=["E: 1", "E: 2"],
        succeeds=False,
        in_order=False,
    ),
    Case(
        name="side by side all run and what a child's error task stores reaches those above",
        flow="""
+a:
  for_each>: {x: [a, b, c]}
  _parallel: true
  _do:
    +one: {py>: job.keep, key: "${x}"}
    +two: {if>: "${x != 'a'}", _do: {fail>: "no ${x}"}}
    _error: {py>: job.note, key: "${x}"}
+never: {echo>: "E: never"}
_error: {echo>: "E: ${JSON.stringify(failures)} ${Object.keys(kept).sort()}"}
""",
        printed=['E: {"b":"no b","c":"no c"} ["a","b","c"]'],
        succeeds=False,
    ),
    Case(
        name="what a call stores comes back, what it exports does not, and two error tasks run",
        flow="""
+a:
  _export: {who: first}
  call>: below
  lost: key
+b: {echo>: "E: ${kept.inner} ${typeof inner_only} ${kept.outer}"}
+c: {_export: {who: bad}, call>: below.dig}
_error: {echo>: "E: outer ${error.message}"}
""",
        files={
            "below.dig": """
timezone: Asia/Tokyo
schedule: {daily>: "07:00:00"}
_export: {inner_only: 1, who: default}
+say: {echo>: "E: below ${who} ${typeof lost} ${timezone} ${task_name}"}
+keep: {py>: job.keep, key: inner, value: 2}
+keep2: {py>: job.keep, key: outer, value: 3}
+end: {echo>: "E: fine"}
_error: {echo>: "E: inner ${error.message}"}
"""
        },
        printed=[
            "E: below default undefined UTC +flow+a^sub+say",
            "E: fine",
            "E: 2 undefined 3",
            "E: below default undefined UTC +flow+c^sub+say",
            "E: fine",
        ],
    ),
    Case(
        name="a called file that fails runs its own error task and then the caller's",
        flow="""
+a: {call>: below}
_error: {echo>: "E: outer ${error.message}"}
""",
        files={"below.dig": "+x: {fail>: broken}\n_error: {echo>: 'E: inner ${error.message}'}\n"},
        printed=["E: inner broken", "E: outer broken"],
        succeeds=False,
    ),
    Case(
        name="a group that succeeds at its second try goes on, yet a local run ends with code 1",
        flow="""
+g:
  _retry: 1
  +a: {py>: job.once}
  _error: {echo>: "E: never"}
+after: {echo>: "E: after ${JSON.stringify(counted)}"}
_error: {echo>: "E: never"}
""",
        printed=['E: after {"try2":2}'],
        succeeds=False,
    ),
    Case(
        name="fail takes a number, an integer is true",
        flow="""
+b: {if>: 1, _do: {echo>: "E: yes"}, _else_do: {echo>: "E: no"}}
+c: {if>: "${''}", _do: {echo>: "E: yes"}, _else_do: {echo>: "E: no"}}
+d: {fail>: "${42}", _error: {echo>: "E: ${error.message}"}}
""",
        printed=["E: yes", "E: no", "E: 42"],
        succeeds=False,
    ),
    Case(
        name="the error of a py task has a stacktrace and ends in its kind",
        flow="""
+a: {py>: job.once, name: other}
_error:
  +one: {echo>: "E: ${error.message.split('\\n')[0]} ${error.message.slice(-10).trim()}"}
  +two: {echo>: "E: ${/OperatorManager/.test(error.stacktrace)} ${/\\n/.test(error.stacktrace)} ${task_name}"}
""".replace("\\", "\\\\"),
        printed=["E: Python command failed with code 1 (runtime)", "E: true false +flow^error+two"],
        succeeds=False,
    ),
    Case(
        name="an error that holds a template ends every error task",
        flow="""
+a: {py>: job.dollar}
_error: {echo>: "E: never shown"}
""",
        printed=[],
        succeeds=False,
    ),
    Case(
        name="an _error that fails gives its own error to the one above",
        flow="""
+loop:
  for_each>: {x: [a, b]}
  _do: {fail>: "no ${x}"}
  _error: {fail>: "both failed: ${error.message}"}
+after: {echo>: "E: never"}
_error: {echo>: "E: top ${error.message}"}
""",
        printed=["E: top both failed: no a"],
        succeeds=False,
    ),
    Case(
        name="a for_each under _error gives its tasks an error of its own making",
        flow=r"""
+a: {py>: job.dollar}
_error:
  error: {message: '', stacktrace: ''}
  for_each>:
    error:
      - message: '${error.message.split("\n")[1].split("$").join("S")}'
        stacktrace: ''
  _do:
    +x: {echo>: 'E: ${error.message} ${error.stacktrace.length}'}
""",
        printed=["E: Error messages from python: a price of S{price} (ValueError) 0"],
        succeeds=False,
    ),
    Case(
        name="an include below an export and below a key of its own line",
        flow="""
_export:
  !include : 'config/all.yml'
  more:
    !include : 'config/all.yml'
+a:
  for_each>: {one: "${audiences}"}
  _do: {echo>: "E: ${one} ${more.audiences.length}"}
""",
        files={"config/all.yml": "audiences: [x, y]\n"},
        printed=["E: x 2", "E: y 2"],
    ),
    Case(
        name="a resumed run repeats what did not succeed, and of an _error only what failed",
        flow="""
+a: {py>: job.keep, key: a}
+b: {for_each>: {x: [1, 2]}, _do: {+say: {echo>: "E: b ${x} ${kept.a}"}}}
+c: {+one: {echo>: "E: c"}, +two: {fail>: "no"}}
+never: {echo>: "E: never"}
_error:
  +said: {echo>: "E: said"}
  +failed: {fail>: "failed"}
""",
        printed=["E: b 1 1", "E: b 2 1", "E: c", "E: said"],
        succeeds=False,
        resumed=[],
    ),
    Case(
        name="a resumed run leaves out an _error that succeeded",
        flow="""
+a: {fail>: "no"}
_error: {for_each>: {session: ["${session_uuid}"]}, _do: {echo>: "E: once"}}
""",
        printed=["E: once"],
        succeeds=False,
        resumed=[],
    ),
    Case(
        name="a resumed run repeats an _error that failed, below tasks with other names all of it",
        flow="""
+a: {fail>: "no"}
_error:
  for_each>: {attempt: ["${attempt_id}"], session: ["${session_uuid}"]}
  _do: {_parallel: true, +fail: {fail>: "failed"}, +say: {echo>: "E: again"}}
""",
        printed=["E: again"],
        succeeds=False,
        resumed=["E: again"],
    ),
]
each_case = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
Lay = Callable[[Case], Path]


@pytest.fixture
def lay(tmp_path: Path) -> Lay:
    """Lays a case's project out; returns its flow.dig."""

    def lay_out(case: Case) -> Path:
        for name, text in {**case.files, "flow.dig": case.flow.lstrip(), "job.py": _MODULE}.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path / "flow.dig"

    return lay_out


def _compare(case: Case, log: str, succeeded: bool) -> None:
    printed = [line for line in log.splitlines() if line.startswith("E:")]
    expected = case.printed if case.in_order else sorted(case.printed)
    assert (printed if case.in_order else sorted(printed), succeeded) == (expected, case.succeeds), log


@each_case
def test_stand_in_behaves_as_expected(lay: Lay, case: Case) -> None:
    flow = lay(case)
    result = None
    for each in _runs(case):
        result = run(flow, session_time=SESSION, sleep=lambda _seconds: None, start=warm.start, resume=result)
        _compare(each, result.log, result.error is None)


@pytest.mark.digdag
@each_case
def test_digdag_behaves_as_expected(lay: Lay, tmp_path: Path, case: Case) -> None:
    flow = lay(case)
    for number, each in enumerate(_runs(case)):
        done = _digdag(flow, tmp_path, *([] if number else ["--rerun"]))
        _compare(each, done.stdout + done.stderr, done.returncode == 0)


def _runs(case: Case) -> list[Case]:
    """The run of a case, and the one that resumes it."""
    return [case] if case.resumed is None else [case, dataclasses.replace(case, printed=case.resumed)]


def _digdag(flow: Path, home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = ["digdag", "run", flow.name, *options, "--session", SESSION]
    return children.run(command, cwd=flow.parent, env=os.environ | {"DIGDAG_CONFIG_HOME": str(home / "home")})


BROKEN = Case(
    name="broken", flow="+a: {echo>: 'E: ran'}\n", files={"next to.dig": "+a: {echo>: a, fail>: b}\n"}, printed=[]
)


def test_broken_workflow_of_a_project_stops_every_other_one(lay: Lay) -> None:
    with pytest.raises(DigError, match="more than one operator"):
        run(lay(BROKEN))


def test_workflow_that_only_the_stand_in_does_not_know_stops_no_other(lay: Lay, tmp_path: Path) -> None:
    (tmp_path / "next to.dig").write_text("+a: {sh>: ls}\n")
    assert run(lay(Case(name="fine", flow="+a: {echo>: a}\n", printed=[]))).status == "success"


@pytest.mark.digdag
def test_digdag_is_stopped_by_a_broken_workflow_of_the_project(lay: Lay, tmp_path: Path) -> None:
    done = _digdag(lay(BROKEN), tmp_path, "--rerun")
    assert done.returncode == 1
    assert "E: ran" not in done.stdout
