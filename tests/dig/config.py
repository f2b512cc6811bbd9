"""Configuration: nested JSON values, read from YAML, merged and looked into with digdag's rules.

Only `true`/`false` (and True, False) are booleans, `010` is 8, `1_000` is 1000, a float begins with 1 to 9 or a dot,
times and dates stay text, a key stands once in a mapping, and `!include : 'path'` merges another file into the
mapping around it. Source: digdag-core, config/YamlConfigLoader.java, YamlTagResolver.java.
"""

import json
import re
from collections import Counter
from collections.abc import Hashable, Mapping
from functools import lru_cache
from os.path import normpath
from pathlib import Path
from typing import Any, ClassVar

import yaml

Params = dict[str, Any]

# Frames of Java, which a workflow can only show.
_FRAMES = "io.digdag.core.agent.OperatorManager.callExecutor(OperatorManager.java:399)"

_BOOLEANS = {"true": True, "True": True, "false": False, "False": False, "": False}
_TAG = "tag:yaml.org,2002:"
_RULES: tuple[tuple[str, str, str], ...] = (
    ("bool", r"^(?:[Tt]rue|[Ff]alse)$", "TtFf"),
    ("int", r"^(?:[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+)$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[1-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?$", "-+0123456789."),
    ("merge", r"^(?:<<)$", "<"),
    ("null", r"^(?:~|null|Null|NULL| )$", "~nN"),
    ("null", r"^$", ""),
)


class DigError(Exception):
    """A workflow is wrong, or one of its tasks failed.

    `kind` is what digdag adds to `${error.message}` in brackets: the class of the exception in its own words.
    """

    kind: ClassVar[str | None] = "config"

    def params(self) -> Params:
        """`${error}`: `message`, and `stacktrace` for what digdag did not expect."""
        if self.kind is None:
            return {"message": str(self)}
        return {"message": f"{self} ({self.kind})", "stacktrace": _FRAMES}


class TaskFailedError(DigError):
    """A task failed by itself, such as `fail>`."""

    kind = None


class JobFailedError(TaskFailedError):
    """The job of a `td>` task ended in an error. The message is what the engine said."""

    def params(self) -> Params:
        """`${error}`, whose `stacktrace` has the operator's frames."""
        frames = "io.digdag.standards.operator.td.TDJobOperator.ensureRunningOrSucceeded(TDJobOperator.java:60)"
        return super().params() | {"stacktrace": frames}


class ChildFailedError(DigError):
    """The child of a `py>` task failed."""

    kind = "runtime"


class ServiceError(DigError):
    """Treasure Data's API refused a request."""

    kind = "td client"


class RefusedError(DigError):
    """A workflow uses something that this stand-in does not know, though digdag may."""


class Whole(dict[str, Any]):
    """A mapping that replaces what it is merged over."""


def copy_value(value: Any) -> Any:
    """Return a copy of nested JSON values, in a tenth of the time that copy.deepcopy takes."""
    if isinstance(value, dict):
        return type(value)((key, copy_value(inner)) for key, inner in value.items())
    return [copy_value(entry) for entry in value] if isinstance(value, list) else value


def merge(into: Params, other: Mapping[str, Any]) -> Params:
    """Merge `other` into `into` and return it: mappings by key, other values are replaced; keys keep their place."""
    for key, value in other.items():
        current = into.get(key)
        if isinstance(current, dict) and isinstance(value, dict) and not isinstance(value, Whole):
            merge(current, value)
        else:
            into[key] = copy_value(value)
    return into


def as_text(params: Mapping[str, Any], key: str) -> str:
    """Return a required scalar as text. Raises DigError when it is absent, null, a mapping or a list."""
    value = params.get(key)
    if value is None or isinstance(value, (dict, list)):
        raise DigError(f"Parameter '{key}' is required and a text, not {json.dumps(value)}")
    return value if isinstance(value, str) else json.dumps(value)


def as_int(params: Mapping[str, Any], key: str, default: int | None = None) -> int:
    """Return an integer, also from text; `default` for an absent one. Raises DigError for anything else."""
    try:
        return default if default is not None and key not in params else int(as_text(params, key))
    except ValueError:
        raise DigError(f"Parameter '{key}' must be an integer, not {json.dumps(params[key])}") from None


def as_bool(params: Mapping[str, Any], key: str, default: bool = False) -> bool:
    """Return a boolean, also from text or an integer that is not 0; `default` for an absent one. Raises DigError."""
    if type(params.get(key)) is int:
        return int(params[key]) != 0
    text = as_text(params, key) if key in params else str(default)
    if text not in _BOOLEANS:
        raise DigError(f"Parameter '{key}' must be true or false, not {text}")
    return _BOOLEANS[text]


def mapping_at(params: Mapping[str, Any], key: str) -> Params:
    """Return the mapping at `key`, empty when absent or null. Raises DigError for anything else."""
    value = params.get(key)
    if not isinstance(value, (dict, type(None))):
        raise DigError(f"Parameter '{key}' must be an object, not {json.dumps(value)}")
    return value or {}


class _Include:
    """The key of an `!include :` line. Each is a key of its own, so that a mapping may have several."""


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's way)
    yaml_constructors: ClassVar[dict[str | None, Any]] = {
        tag: yaml.SafeLoader.yaml_constructors[tag]
        for tag in (None, *(_TAG + name for name in ("null", "bool", "int", "float", "str", "seq", "map")))
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.tag != "!include")
        twice = [key for key, count in keys.items() if count > 1]
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"duplicate keys: {twice}", node.start_mark)
        return super().construct_mapping(node, deep)


for _name, _pattern, _first in _RULES:
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(_pattern), list(_first) or [""])
_Loader.add_constructor("!include", lambda _loader, _node: _Include())


@lru_cache(maxsize=256)
def _parse(text: str) -> Any:
    """Return the parsed text, which must not be changed: each run reads all workflows of its project again."""
    return yaml.load(text, _Loader)


def load(path: Path) -> Params:
    """Read a file with its includes merged. Raises DigError, which names the file, if it is missing or wrong."""
    try:
        value = _parse(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise DigError(f"{path}: {error}") from None
    if not isinstance(value, dict):
        raise DigError(f"{path}: Expected object to load Config but got {value!r}")
    built: Params = convert_value(value, path)
    return built


def convert_value(value: Any, path: Path) -> Any:
    if isinstance(value, dict):
        built: Params = {}
        for key, inner in value.items():
            if isinstance(key, _Include):
                # An include is merged into the keys above it; a key below it replaces a whole value.
                merge(built, load(include_path(inner, path)))
            else:
                built[key if isinstance(key, str) else json.dumps(key)] = convert_value(inner, path)
        return built
    if isinstance(value, list):
        return [convert_value(entry, path) for entry in value]
    if isinstance(value, _Include) or (isinstance(value, str) and value.startswith("!include:")):
        raise DigError(f"{path}: !include is a key, as in  !include : 'config/x.yml'  with a space before the colon")
    return value


def include_path(name: object, path: Path) -> Path:
    if not isinstance(name, str):
        raise DigError(f"{path}: !include takes the path of a file, as in  !include : 'config/x.yml'")
    folder = path.parent.absolute()
    target = Path(normpath(folder / name))
    if not target.is_relative_to(folder):
        raise DigError(f"{path}: File name must not include ..: {name}")
    return target
