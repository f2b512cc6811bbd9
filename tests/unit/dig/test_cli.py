"""`python -m tests.dig`: the command line of `digdag run`, as far as our scripts use it."""

from pathlib import Path

import pytest

from tests.dig.__main__ import main

_WORKFLOW = """
+a: {echo>: "${who} at ${session_date} with ${nested.a}"}
+b: {py>: os.getenv, key: SECRET, _env: {SECRET: "${secret:a.b}"}}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "flow.dig").write_text(_WORKFLOW)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_run_prints_its_log_and_ends_with_0(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = "--rerun --no-save --session 2026-01-02 -p nested.a=1 -p who=we -X secrets.a.b=x=y"
    assert main(["run", "flow.dig", *options.split()]) == 0
    assert "[INFO] (+flow+a): echo>: we at 2026-01-02 with 1\nwe at 2026-01-02 with 1\n" in capsys.readouterr().out


def test_run_uses_the_local_secrets_of_digdag(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "home" / "secrets").mkdir(parents=True)
    (project / "home" / "secrets" / "a.b").write_text("c")
    monkeypatch.setenv("DIGDAG_CONFIG_HOME", str(project / "home"))
    assert main(["run", "flow.dig", "-p", "who=we", "-p", "nested.a=1"]) == 0


def test_run_names_a_failed_task_and_ends_with_1(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "flow", "-p", "who=we", "-p", "nested.a=2"]) == 1
    assert "  * +flow+b:\n    Secret not found for key: 'a.b'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["absent.dig", "below/flow.dig"])
def test_run_of_a_workflow_outside_the_project_ends_with_1(project: Path, name: str) -> None:
    (project / "below").mkdir()
    (project / "below" / "flow.dig").write_text(_WORKFLOW)
    assert main(["run", name]) == 1


def test_run_refuses_settings_of_digdag_other_than_secrets(project: Path) -> None:
    assert main(["run", "flow.dig", "-X", "a.b=c"]) == 1
