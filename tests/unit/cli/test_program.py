"""The conventions of all commands: exit codes, one paragraph for an error, nothing ugly whatever reads the output."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from rich.console import Console

from td_pinterest_op.__main__ import main
from td_pinterest_op.cli import screen
from td_pinterest_op.cli.program import program
from td_pinterest_op.errors import WorkflowError
from tests import children
from tests.campaigns import select_rows
from tests.unit.cli.running import Terminal

ROOT = Path(__file__).parent.parent.parent.parent
COMMANDS = sorted(program.commands)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_and_its_optional_arguments(terminal: Terminal, command: str) -> None:
    ran = terminal(command, "--help")
    assert ran.code == 0
    assert "Example" in ran.out
    assert f"td-pinterest {command}" in ran.out
    usage = ran.out.partition("\n\n")[0].partition("[OPTIONS]")[2].split()
    arguments = [each for each in program.commands[command].params if isinstance(each, click.Argument)]
    assert [each.required for each in arguments] == [not word.startswith("[") for word in usage[: len(arguments)]]


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["check"], ["explain", "--nonsense"], ["authorize", "--to", "local", "x"]]
)
def test_wrong_usage_is_one_paragraph_and_code_2(terminal: Terminal, arguments: list[str]) -> None:
    ran = terminal(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: ")
    assert len(ran.err.splitlines()) == 1


def test_help_ends_with_the_folder_of_the_pages(terminal: Terminal) -> None:
    pages = terminal("--help").out.splitlines()[-1].removeprefix("  Pages: ")
    assert sorted(path.name for path in Path(pages).glob("co*")) == ["command-line.md"]


VALUES = [
    (command, parameter)
    for command in COMMANDS
    for parameter in program.commands[command].params
    if not getattr(parameter, "is_flag", False)
]


@pytest.mark.parametrize(("command", "parameter"), VALUES, ids=[f"{name} {each.name}" for name, each in VALUES])
def test_a_blank_option_or_argument_is_wrong_usage_that_names_it(
    terminal: Terminal, command: str, parameter: click.Parameter
) -> None:
    if isinstance(parameter, click.Option):
        before = [parameter.opts[0]]
    else:
        arguments = [each for each in program.commands[command].params if isinstance(each, click.Argument)]
        before = ["x"] * [each.name for each in arguments].index(parameter.name)
    name = parameter.get_error_hint(click.Context(program.commands[command]))
    for blank in ("", " \t"):
        assert terminal(command, *before, blank).failed(f"Invalid value for {name}: it is blank", code=2)


def test_help_of_the_program_has_one_whole_line_for_each_command_in_a_narrow_terminal(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    commands = terminal("--help").out.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in commands if line.endswith(".") and not line.endswith("...")] == sorted(
        program.commands
    )


def test_the_program_without_a_command_prints_its_help(terminal: Terminal) -> None:
    ran = terminal()
    assert (ran.code, ran.out) == (2, "")
    assert terminal("--help").out == ran.err


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (WorkflowError("the disk is full"), 1, "error: the disk is full\n"),
        (KeyboardInterrupt(), 130, "Stopped"),
        (KeyError("jane@shop.example"), 1, "a bug in td_pinterest_op"),
    ],
)
def test_an_exception_becomes_a_message_and_a_code(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: int, said: str
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(program.commands["explain"], "callback", fails)
    ran = terminal("explain")
    assert (ran.code, ran.out) == (code, "")
    assert said in ran.err
    assert "Traceback" not in ran.err


def _process(arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = f"set -o pipefail; {sys.executable} -m td_pinterest_op {arguments}"
    return children.run(["bash", "-c", command], env=os.environ | environ, cwd=ROOT)


@pytest.mark.parametrize(("arguments", "code"), [(["nonsense"], 2), (["explain"], 141)])
def test_a_command_whose_output_nobody_reads_exits_with_141(arguments: list[str], code: int) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "td_pinterest_op", *arguments]
    ran = children.run(command, cwd=ROOT, capture_output=False, stdout=writer, stderr=writer)
    os.close(writer)
    assert code == ran.returncode


@pytest.mark.parametrize("command", ["report", "init", "bundle folder", "check"])
def test_name_that_no_file_can_have_is_named(terminal: Terminal, command: str) -> None:
    ran = terminal(*command.split(), "x" * 256)
    assert (ran.code, "File name too long" in ran.out + ran.err) == (1, True)


def test_program_imports_nothing_from_the_working_folder(tmp_path: Path) -> None:
    for name in ("click", "json", "pathlib"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('from the working folder')")
    command = [sys.executable, "-m", "td_pinterest_op", "--version"]
    ran = children.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    select_rows(
        [
            ("nonsense 2>/dev/full", 2, ""),
            ("authorize --yes --no-browser </dev/null", 1, "no terminal to ask for it"),
            ("explain >/dev/full", 1, "error: cannot write to standard output (No space left on device)"),
            ("explain --json >/dev/full", 1, "error: cannot write to standard output (No space left on device)"),
        ],
        quick=3,
    ),
)
def test_output_that_cannot_be_written_is_an_error_and_notes_are_dropped(arguments: str, code: int, said: str) -> None:
    ran = _process(arguments)
    assert code == ran.returncode, ran.stderr
    assert said in ran.stderr
    assert bool(said) == len(ran.stderr.splitlines())


def test_doctor_prints_words_in_place_of_signs_on_an_ascii_terminal() -> None:
    shown = _process("doctor", PYTHONIOENCODING="ascii").stdout
    assert {"ok proxy", "x credentials", "! token"} <= {line.split(":")[0] for line in shown.splitlines()}


def test_the_program_names_the_package_it_lacks() -> None:
    # An entry of None makes an import fail, as if click were not installed.
    program = "import runpy, sys; sys.modules['click'] = None; runpy.run_module('td_pinterest_op', run_name='__main__')"
    ran = children.run([sys.executable, "-c", program], cwd=ROOT)
    assert ran.returncode == 1
    assert "td-pinterest needs the package click" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_ctrl_c_during_imports_prints_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupts:
        def __getattr__(self, name: str) -> None:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "td_pinterest_op.cli.program", Interrupts())
    assert main() == 130
    assert capsys.readouterr() == ("", "error: Stopped before anything was done.\n")


def test_printed_text_has_control_characters_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    screen.print_line("a\x1b[2K\nb", ("\x9b", "bold"))
    screen.print_error("c\u202e\n- d\r")
    assert capsys.readouterr() == ("a\\x1b[2K\nb\\x9b\n", "error: c\\u202e\n- d\\r\n")


def test_json_is_printed_in_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    screen.print_json({"name": "\x9bü\u202e"})
    assert capsys.readouterr().out == '{\n  "name": "\\u009b\\u00fc\\u202e"\n}\n'


def test_a_long_line_is_wrapped_with_its_indentation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        screen, "build_console", lambda *, stderr=False: Console(width=20, stderr=stderr, highlight=False)
    )
    screen.print_line("- role: OWNER of the ad account", hanging_indent=2)
    screen.print_note("  rows      five read", hanging_indent=12)
    assert capsys.readouterr() == (
        "- role: OWNER of\n  the ad account\n",
        "  rows\n            five\n            read\n",
    )


@pytest.mark.parametrize(
    ("called", "command"),
    [
        ("/usr/bin/td-pinterest", "td-pinterest"),
        ("checkout/scripts/td-pinterest", "checkout/scripts/td-pinterest"),
        ("/site/td_pinterest_op/__main__.py", f"{Path(sys.executable).name} -m td_pinterest_op"),
    ],
)
def test_a_hint_names_the_command_as_it_was_called(
    called: str, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [called])
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/td-pinterest")
    screen.print_note("run `td-pinterest doctor`")
    screen.print_error("run `td-pinterest authorize --to td x`")
    assert capsys.readouterr().err == f"run `{command} doctor`\nerror: run `{command} authorize --to td x`\n"


def test_command_goes_on_if_nobody_reads_its_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")
    monkeypatch.setattr(sys, "stderr", stream)
    for _ in range(2):
        screen.print_note("a note")
    with pytest.raises(BrokenPipeError):
        stream.close()
