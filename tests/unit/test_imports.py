"""The map of the package: which room may import which, and which one alone speaks to the world outside."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import td_pinterest_op

ROOT = Path(td_pinterest_op.__file__).parent
PACKAGE = ROOT.name

# A room may import only what its row names, and a row only names rooms above it: imports point one way.
ROOMS: dict[str, set[str]] = {
    "__init__": set(),
    "secret": set(),
    "timing": set(),
    "progress": set(),
    "flight": set(),
    "retry": set(),
    "spool": set(),
    "placeholders": set(),
    "identifiers": {"placeholders"},
    "errors": {"secret"},
    "stats": {"errors"},
    "setting_text": {"errors"},
    "setting_types": {"setting_text", "errors"},
    "setting_keys": {"setting_types", "errors"},
    "settings": {"setting_keys", "setting_types", "setting_text", "secret", "errors"},
    "workflow": {"secret", "errors"},
    "treasure_data": {"retry", "secret", "errors"},
    "job": {"treasure_data", "identifiers", "secret", "errors"},
    "job_result": {"job", "treasure_data", "errors"},
    "plan": {"settings", "stats", "errors"},
    "prepare": {"job", "job_result", "identifiers", "spool", "plan", "stats", "treasure_data", "errors"},
    "pinterest.policy": {"errors"},
    "pinterest.pace": {"retry", "errors"},
    "pinterest.transport": {"pinterest.policy", "errors"},
    "pinterest.session": {
        "pinterest.pace",
        "pinterest.policy",
        "pinterest.transport",
        "retry",
        "secret",
        "errors",
    },
    "pinterest.oauth": {"pinterest.session", "pinterest.policy", "pinterest.transport", "secret", "errors"},
    "pinterest.api": {"pinterest.session", "pinterest.transport", "errors"},
    "pinterest": {
        "pinterest.api",
        "pinterest.oauth",
        "pinterest.pace",
        "pinterest.session",
        "pinterest.transport",
        "retry",
        "secret",
        "errors",
    },
    "token_store": {"pinterest.transport", "retry", "secret", "errors"},
    "creation": {"pinterest.session", "retry", "errors"},
    "customer_lists": {"creation", "pinterest.api", "errors"},
    "audiences": {"customer_lists", "creation", "pinterest.api", "errors"},
    "actions": {"audiences", "customer_lists", "creation", "pinterest.api", "settings", "stats", "errors"},
    "sender": {"flight", "pinterest.api", "pinterest.session", "spool", "stats", "errors"},
    "connections": {
        "workflow",
        "settings",
        "stats",
        "timing",
        "retry",
        "treasure_data",
        "token_store",
        "pinterest",
        "pinterest.api",
        "pinterest.transport",
        "secret",
        "errors",
    },
    "export": {
        "actions",
        "connections",
        "customer_lists",
        "errors",
        "job",
        "job_result",
        "pinterest.api",
        "plan",
        "prepare",
        "progress",
        "sender",
        "settings",
        "spool",
        "stats",
        "timing",
        "treasure_data",
        "workflow",
    },
}

# What is not of the standard library, and the only rooms that may import it.
WORLD: dict[str, set[str]] = {
    "digdag": {"workflow"},
    "tdclient": {"treasure_data"},
    "msgpack": {"job_result"},
    "requests": {"pinterest.session", "pinterest.oauth", "pinterest.transport", "token_store"},
    "urllib3": {"treasure_data", "job_result", "pinterest.transport"},
    "backoff": {"retry"},
    "yaml": {"setting_text"},
}

# Of the standard library: what reaches the network or another process.
REACHING = {"socket", "ssl", "http", "urllib.request", "subprocess", "asyncio", "ftplib", "smtplib", "multiprocessing"}
MAY_REACH = {"pinterest.transport"}


def rooms() -> dict[str, Path]:
    return {_room(path): path for path in sorted(ROOT.rglob("*.py"))}


def _room(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(source: str, *, known: set[str]) -> Iterator[str]:
    """Every module that a source imports, wherever in it; `from td_pinterest_op import x` is x."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert 0 == node.level, "relative imports are not looked through"
            module = node.module or ""
            inside = [f"{module}.{alias.name}" for alias in node.names]
            yield from [found if _inner(found) in known else module for found in inside]


def _inner(module: str) -> str:
    return module.removeprefix(f"{PACKAGE}.")


@pytest.mark.parametrize("room", sorted(rooms()))
def test_a_room_imports_only_what_the_map_allows(room: str) -> None:
    found = set(imports(rooms()[room].read_text(), known=set(rooms())))
    own = {_inner(module) for module in found if module.split(".")[0] == PACKAGE}
    assert room in ROOMS, f"{room} is not on the map: put it into ROOMS, below everything that it imports"
    assert set() == own - ROOMS[room], "a new direction"
    others = {module.split(".")[0] for module in found} - {PACKAGE} - set(sys.stdlib_module_names)
    assert set() == {module for module in others if room not in WORLD.get(module, set())}, "a new way out of the house"
    reaching = {module for module in found if REACHING & {module, module.split(".")[0]}}
    assert room in MAY_REACH or set() == reaching


def test_the_map_points_one_way() -> None:
    above: set[str] = set()
    for room, allowed in ROOMS.items():
        assert allowed <= above, f"{room} names a room that does not stand above it"
        above.add(room)


def test_the_map_has_no_room_that_is_gone() -> None:
    assert set(rooms()) == set(ROOMS)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import td_pinterest_op.job", {"td_pinterest_op.job"}),
        ("from td_pinterest_op import job, workflow", {"td_pinterest_op.job", "td_pinterest_op.workflow"}),
        ("from td_pinterest_op.job import Job", {"td_pinterest_op.job"}),
        ("def f():\n    import digdag", {"digdag"}),
        ("from collections import abc", {"collections"}),
    ],
)
def test_an_import_is_seen_in_every_form(source: str, found: set[str]) -> None:
    assert found == set(imports(source, known={"job", "workflow"}))
