"""scripts/pins/ follows setup.cfg: run `scripts/pin` when one of these fails."""

import configparser
import re
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent.parent.parent
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
INSTALLED_BY_USERS = ["cli", "report"]


def parse_requirements(text: str) -> dict[str, list[Requirement]]:
    pins: dict[str, list[Requirement]] = {}
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith(("#", "--hash")):
            requirement = Requirement(line.rstrip("\\ "))
            pins.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return pins


def read_pins(name: str) -> dict[str, list[Requirement]]:
    return parse_requirements((ROOT / "scripts" / "pins" / name).read_text())


def declared_requirements(*extras: str) -> dict[str, list[Requirement]]:
    texts = [SETUP["options"]["install_requires"], *(SETUP["options.extras_require"][extra] for extra in extras)]
    return parse_requirements("\n".join(texts))


def test_newest_pins_contain_every_requirement_of_setup_cfg() -> None:
    assert declared_requirements(*SETUP["options.extras_require"]).keys() - read_pins("newest.txt").keys() == set()


def test_lowest_pins_are_the_lowest_versions_of_setup_cfg() -> None:
    lowest = read_pins("lowest.txt")
    for name, (requirement, *_) in declared_requirements(*INSTALLED_BY_USERS).items():
        minimum = re.search(r">=\s*([\d.]+)", str(requirement.specifier))
        assert minimum, f"{name} has no lowest version in setup.cfg"
        pinned = {str(pin.specifier).removeprefix("==") for pin in lowest[name]}
        assert {pad_version(minimum[1])} == {pad_version(version) for version in pinned}, name


def pad_version(version: str) -> tuple[int, ...]:
    parts = [int(part) for part in version.split(".")]
    return (*parts, 0, 0, 0)[:4]


def test_bundled_libraries_are_pinned_by_hash() -> None:
    lines = (ROOT / "scripts" / "pins" / "bundle.txt").read_text().splitlines()
    names = [number for number, line in enumerate(lines) if not line.startswith(" ")]
    assert declared_requirements().keys() - read_pins("bundle.txt").keys() == set()
    assert all(lines[number + 1].lstrip().startswith("--hash=sha256:") for number in names)
