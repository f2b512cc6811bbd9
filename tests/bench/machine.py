"""The machine that was measured on, in a line."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

_COMPARED = ("requests", "msgpack", "td-client", "pandas", "pinterestsdk")


def description() -> str:
    """Processor, cores, system, Python, and the versions of what is compared."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _COMPARED)
    return (
        f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}; {versions}"
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if platform.system() == "Darwin":
        return subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        ).stdout.strip()
    return platform.processor() or "an unnamed processor"
