"""Imports: a sub-package imports from a lower layer or from itself, and few may import other libraries."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import td_pinterest_op

ROOT = Path(td_pinterest_op.__file__).parent
PACKAGE = ROOT.name

# From the entry points down, as the package's docstring lists them. Sub-packages of one row do not import each other.
_LISTED = str(td_pinterest_op.__doc__).partition("its own folder:\n\n")[2].splitlines()
_INNER = [set(re.split(" {3,}", line.strip())[0].replace("/", "").split()) for line in _LISTED]
LAYERS: list[set[str]] = [{"__main__"}, *_INNER, {"__init__"}, {"requirements"}]

# What is not of the standard library, and the only sub-packages or modules that may import it.
WORLD: dict[str, set[str]] = {
    "digdag": {"task_runtime.task", "task_runtime.process"},
    "tdclient": {"treasure_data.td_api"},
    "msgpack": {"treasure_data.result"},
    "requests": {"http", "pinterest"},
    "urllib3": {"http.transport"},
    "backoff": {"http.retry"},
    "phonenumbers": {"identifiers.phones"},
    "yaml": {"settings.structures", "cli.lint.yaml_file", "cli.project_folder"},
    "click": {"cli"},
    "rich": {"cli.screen", "cli.export_task"},
    "jinja2": {"report.page"},
    "markupsafe": {"report.charts"},
    "pygal": {"report.charts"},
}

# Of the standard library: what reaches the network or another process.
REACHING = {
    *("socket", "ssl", "http.client", "http.server", "urllib.request", "ftplib", "smtplib"),
    *("subprocess", "asyncio", "multiprocessing"),
}
MAY_REACH = {
    "cli.oauth_redirect",
    "cli.commands.push",
    "cli.secret_target",
    "http.transport",
}

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}


def imports(source: str, *, known: set[str]) -> Iterator[str]:
    """Every module that a source imports, wherever in it; `from td_pinterest_op import x` is x."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not looked through"
            module = node.module or ""
            inside = [f"{module}.{alias.name}" for alias in node.names]
            yield from [name if _inner(name) in known else module for name in inside]


def _inner(module: str) -> str:
    return module.removeprefix(f"{PACKAGE}.") if module != PACKAGE else "__init__"


def layer_of(part: str) -> int:
    return next(depth for depth, parts in enumerate(LAYERS) if part in parts)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_from_a_lower_layer_or_its_own_folder(module: str) -> None:
    part = module.split(".")[0]
    imported = set(imports(MODULES[module].read_text(), known=set(MODULES)))
    own = {_inner(name).split(".")[0] for name in imported if name.split(".")[0] == PACKAGE}
    assert {other for other in own - {part} if layer_of(other) <= layer_of(part)} == set(), "a new direction"
    others = {name.split(".")[0] for name in imported} - {PACKAGE} - set(sys.stdlib_module_names)
    parts = module.split(".")
    within = {".".join(parts[:depth]) for depth in range(1, len(parts) + 1)}
    assert {name for name in others if not within & WORLD.get(name, set())} == set(), "a new library"
    assert module in MAY_REACH or _reaching(imported) == set()


def test_allowance_to_import_is_used_by_each_module_or_folder_that_has_it() -> None:
    imported = {module: set(imports(path.read_text(), known=set(MODULES))) for module, path in MODULES.items()}

    def is_used(library: str, place: str) -> bool:
        modules = [module for module in MODULES if f"{module}.".startswith(f"{place}.")]
        return any(name.split(".")[0] == library for module in modules for name in imported[module])

    unused = [(library, place) for library, places in WORLD.items() for place in places if not is_used(library, place)]
    unused += [("network or process", module) for module in MAY_REACH if not _reaching(imported.get(module, set()))]
    assert unused == []


def _reaching(imported: set[str]) -> set[str]:
    return {name for name in imported if REACHING & {name, name.split(".")[0]}}


def test_every_part_is_in_one_layer() -> None:
    parts = [part for layer in LAYERS for part in layer]
    assert sorted({module.split(".")[0] for module in MODULES}) == sorted(parts)
