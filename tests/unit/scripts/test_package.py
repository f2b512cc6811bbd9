"""`scripts/package`: the environment in which it builds a release."""

import shutil
from pathlib import Path

from tests import children

ROOT = Path(__file__).parent.parent.parent.parent
# Stands in for Python: tells how it was called, and makes an environment of itself. Its builds fail.
PYTHON = """#!/bin/sh
echo "$(basename "$(dirname "$(dirname "$0")")") $*" >> "$CALLS"
case "$*" in
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m build "*) exit 1 ;;
esac
"""


def write_program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_release_is_built_with_the_tools_that_have_hashes_alone(tmp_path: Path) -> None:
    python = write_program(tmp_path / "system" / "bin" / "python", PYTHON)
    write_program(tmp_path / ".venv" / "bin" / "python", PYTHON)
    write_program(tmp_path / "scripts" / "setup", "#!/bin/sh\n")
    shutil.copy(ROOT / "scripts" / "package", tmp_path / "scripts")
    calls = tmp_path / "calls"
    environ = {"PATH": "/usr/bin:/bin", "PYTHON": str(python), "CALLS": str(calls), "TMPDIR": str(tmp_path)}
    done = children.run([tmp_path / "scripts" / "package"], env=environ)
    assert done.returncode == 1, done.stderr
    created, installed, built = (line.split() for line in calls.read_text().splitlines())
    assert created[:3] == ["system", "-m", "venv"]
    assert installed[:4] == ["tools", "-m", "pip", "install"]
    assert installed[-3:] == ["--require-hashes", "--requirement", "scripts/pins/release.txt"]
    assert built == ["tools", "-m", "build", "--no-isolation", "--outdir", "dist", "."]
