"""Trino's engine as a library from Maven Central, started on a free port: the version that Treasure Data runs."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests import children
from tests.emulators.server import free_port

HERE = Path(__file__).parent
# The engine is outside the working tree: its 190 archives are fetched once.
CACHE = Path.home() / ".cache" / "td_pinterest_op" / "trino-423"
_OPENED = ("java.base/java.nio=ALL-UNNAMED", "java.base/java.lang=ALL-UNNAMED")
# Seconds that the days of a mirror may take.
_LIMIT = 3600.0


def missing_requirement() -> str:
    """Return why the engine cannot run, empty if it can."""
    lacking = [command for command in ("java", "javac", "mvn") if not shutil.which(command)]
    return f"Trino needs Java 17 and Maven: there is no {' and no '.join(lacking)}" if lacking else ""


@contextlib.contextmanager
def run_engine(*, heap: int) -> Iterator[str]:
    """Run the engine; yield its address. Raises CalledProcessError when it cannot start.

    `heap`: GB of memory; a query gets four sevenths of it.
    """
    libraries = CACHE / "lib"
    classes = CACHE / "classes"
    if not libraries.is_dir():
        fetch = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies"]
        children.run([*fetch, f"-DoutputDirectory={libraries}"], limit=_LIMIT).check_returncode()
    compiler: list[str | Path] = ["javac", "-nowarn", "-d", classes, "-cp", f"{libraries}/*", HERE / "Server.java"]
    children.run(compiler).check_returncode()
    port = free_port()
    opened = [f"--add-opens={package}" for package in _OPENED]
    path = f"{classes}:{libraries}/*"
    server = ["Server", str(port), f"{heap * 4 // 7}GB"]
    java = ["java", f"-Xmx{heap}g", "-Duser.timezone=UTC", *opened, "-cp", path, *server]
    # The engine ends when its standard input does: with this program, however that ends.
    quiet = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with children.run_in_background(java, limit=_LIMIT, **quiet) as process:
        for line in process.stdout or ():
            if line.rstrip().endswith("ready"):
                break
        else:
            raise subprocess.CalledProcessError(process.wait(), java)
        yield f"http://127.0.0.1:{port}"
