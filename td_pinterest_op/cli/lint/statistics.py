"""Templates that name a figure of an export's statistics, `${pinterest.…}`."""

from __future__ import annotations

import re

from td_pinterest_op.cli.lint.dig_file import DigFile
from td_pinterest_op.settings.types import closest
from td_pinterest_op.stats import Stats

_TEMPLATE = re.compile(r"\$\{(?!secret:)[^{}]*\}")
_NAME = re.compile(r"(?<![\w.\"'])pinterest((?:\.[A-Za-z_]\w*)+)")


def check(dig: DigFile) -> None:
    """Note a name that the statistics do not have: digdag would end the task, or show nothing."""
    known = Stats(action="", ad_account_id="", dry_run=False, keys=0).to_json()
    for value in dig.root.walk() if dig.root else ():
        for template in _TEMPLATE.findall(value.value) if isinstance(value.value, str) else ():
            for path in _NAME.findall(template):
                if wrong := _wrong(path, known):
                    dig.find(value, "statistic", f"pinterest{path}: the statistics of an export have no {wrong}")


def _wrong(path: str, known: object) -> str:
    """The first part of `path` that is not known, with the name that may be meant; "" if all are."""
    for name in path.strip(".").split("."):
        if not isinstance(known, dict):
            return ""  # a method of a text or of a number
        if name not in known:
            return f"{name}{closest(name, known)}"
        known = known[name]
    return ""
