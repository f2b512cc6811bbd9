"""scripts/pins/ follows setup.cfg: run `scripts/pin` when one of these fails."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent.parent.parent
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
INSTALLED_BY_USERS = ["cli", "report"]


def requirements(text: str) -> dict[str, list[Requirement]]:
    pins: dict[str, list[Requirement]] = {}
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith(("#", "--hash")):
            requirement = Requirement(line.rstrip("\\ "))
            pins.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return pins


def pins(name: str) -> dict[str, list[Requirement]]:
    return requirements((ROOT / "scripts" / "pins" / name).read_text())


def declared(*extras: str) -> dict[str, list[Requirement]]:
    texts = [SETUP["options"]["install_requires"], *(SETUP["options.extras_require"][extra] for extra in extras)]
    return requirements("\n".join(texts))


def test_the_newest_pins_hold_all_that_setup_cfg_names() -> None:
    assert set() == declared(*SETUP["options.extras_require"]).keys() - pins("newest.txt").keys()


def test_the_lowest_pins_are_the_lowest_that_setup_cfg_allows() -> None:
    lowest = pins("lowest.txt")
    for name, (requirement,) in declared(*INSTALLED_BY_USERS).items():
        minimum = re.search(r">=\s*([\d.]+)", str(requirement.specifier))
        assert minimum, f"{name} has no lowest version in setup.cfg"
        pinned = {str(pin.specifier).removeprefix("==") for pin in lowest[name]}
        assert {_padded(minimum[1])} == {_padded(version) for version in pinned}, name


def _padded(version: str) -> tuple[int, ...]:
    parts = [int(part) for part in version.split(".")]
    return (*parts, 0, 0, 0)[:4]


def test_what_the_bundle_holds_is_pinned_by_hash() -> None:
    lines = (ROOT / "scripts" / "pins" / "bundle.txt").read_text().splitlines()
    names = [number for number, line in enumerate(lines) if not line.startswith(" ")]
    assert set() == declared().keys() - pins("bundle.txt").keys()
    assert all(lines[number + 1].lstrip().startswith("--hash=sha256:") for number in names)
