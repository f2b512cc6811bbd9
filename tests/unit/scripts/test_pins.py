"""scripts/pins/ follows setup.cfg: run `scripts/pin` when one of these fails."""

import configparser
import re
from collections.abc import Set
from pathlib import Path

import pytest
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


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("bundle.txt", declared_requirements().keys()),
        ("release.txt", parse_requirements(SETUP["options.extras_require"]["release"]).keys()),
        ("sbom.txt", {"cyclonedx-bom"}),
    ],
)
def test_what_goes_into_a_release_or_makes_it_is_pinned_by_hash(name: str, needed: Set[str]) -> None:
    lines = (ROOT / "scripts" / "pins" / name).read_text().splitlines()
    names = [number for number, line in enumerate(lines) if not line.startswith(" ")]
    assert needed - read_pins(name).keys() == set()
    assert all(lines[number + 1].lstrip().startswith("--hash=sha256:") for number in names)


def test_actions_are_pinned_by_commit() -> None:
    workflows = (ROOT / ".github" / "workflows").glob("*.yml")
    used = [line for path in workflows for line in path.read_text().splitlines() if "uses:" in line]
    assert [line for line in used if not re.search(r"@[0-9a-f]{40}  # v[\d.]+$", line)] == []
