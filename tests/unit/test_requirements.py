"""What is missing for the operator is one sentence at import."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from td_pinterest_op import requirements
from tests import children

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("python", [(3, 10), (3, 10, 0, "final", 0), (3, 13), (4, 0)])
def test_a_python_that_is_new_enough_passes(python: tuple[int, ...]) -> None:
    requirements.check(python)


@pytest.mark.parametrize("python", [(3, 9, 22), (3, 6)])
def test_an_old_python_is_named_with_what_is_needed(python: tuple[int, ...]) -> None:
    with pytest.raises(ImportError, match=rf"needs Python 3\.10 or newer; this is Python 3\.{python[1]}$"):
        requirements.check(python)


def test_missing_packages_are_named_once_by_the_names_to_install() -> None:
    # -S: without site-packages.
    command = [sys.executable, "-S", "-c", "import td_pinterest_op.export"]
    done = children.run(command, cwd=ROOT)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: td_pinterest_op needs packages that this Python (")
    assert ": python-backoff, msgpack, requests, td-client, urllib3, PyYAML. Install them" in last


def test_of_several_packages_only_those_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = {"not_there_at_all": "not-there", "json": "json-package", "nor_this_one": "nor-this"}
    monkeypatch.setattr(requirements, "MODULES", modules)
    with pytest.raises(ImportError, match=r"does not have: not-there, nor-this\. Install them"):
        requirements.check()


def test_looking_for_the_packages_imports_none_of_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "slow_to_import.py").write_text("raise KeyboardInterrupt")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(requirements, "MODULES", {"slow_to_import": "slow"})
    requirements.check()
    assert "slow_to_import" not in sys.modules
