"""What is missing for the operator is one sentence at import."""

import sys
from pathlib import Path

import pytest

from td_pinterest_op import requirements
from tests import children

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("python", [(3, 9, 22)])
def test_old_python_is_an_error_that_names_both_versions(
    python: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    requirements.check_python_and_packages()
    monkeypatch.setattr(sys, "version_info", python)
    with pytest.raises(ImportError, match=rf"needs Python 3\.10 or newer; this is Python 3\.{python[1]}$"):
        requirements.check_python_and_packages()


def test_missing_packages_are_named_once_by_the_names_to_install() -> None:
    # -S: without site-packages.
    command = [sys.executable, "-S", "-c", "import td_pinterest_op.export"]
    done = children.run(command, cwd=ROOT)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: td_pinterest_op needs packages that this Python (")
    assert ": python-backoff, msgpack, requests, td-client, urllib3, PyYAML. Install them" in last


def test_only_packages_that_are_missing_are_named_and_looking_for_them_imports_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "slow_to_import.py").write_text("raise KeyboardInterrupt")
    monkeypatch.syspath_prepend(tmp_path)
    modules = {"not_there_at_all": "not-there", "slow_to_import": "slow", "nor_this_one": "nor-this"}
    monkeypatch.setattr(requirements, "REQUIRED_MODULES", modules)
    with pytest.raises(ImportError, match=r"does not have: not-there, nor-this\. Install them"):
        requirements.check_python_and_packages()
