"""What fails a test whatever it looks for itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests import children, guard

ROOT = Path(__file__).parent.parent.parent
PROBE = """
import logging, pytest
@pytest.mark.parametrize("said", ["audience ${x}", "jane@shop.example", "audience $ {x}"])
def test_probe(said):
    logging.getLogger("td_pinterest_op.probe").warning("%s", said)
"""


def test_a_log_record_that_must_not_be_fails_its_test(tmp_path: Path) -> None:
    probe = tmp_path / "test_probe.py"
    probe.write_text(PROBE)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "tests.conftest", str(probe)]
    done = children.run([*command, f"--rootdir={tmp_path}"], cwd=ROOT)
    for shown in ("a log record holds a template: audience ${x}", "a log record shows an e-mail address", "2 errors"):
        assert shown in done.stdout, done.stdout


def test_a_stored_template_is_named_with_its_place() -> None:
    with pytest.raises(AssertionError, match=r'the store holds a template: \{"name": "\$\{land\}"'):
        guard.check_inert('{"name": "${land}"}', "the store")
