"""A .dig or parameter file: YAML with digdag's rules, as plain JSON values.

Only `true`/`false` (and True, False) are booleans, `010` is 8, `1_000` is 1000, a float begins with 1 to 9 or a dot,
times and dates stay text, a key stands once in a mapping, and `!include : 'path'` merges another file into the
mapping around it. Source: digdag-core, config/YamlConfigLoader.java, YamlTagResolver.java,
StrictSafeConstructor.java.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Hashable
from os.path import normpath
from pathlib import Path
from typing import Any, ClassVar

import yaml

from .errors import DigError
from .params import Params, merge

_RULES: tuple[tuple[str, str, str], ...] = (
    ("bool", r"^(?:[Tt]rue|[Ff]alse)$", "TtFf"),
    ("int", r"^(?:[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+)$", "-+0123456789"),
    (
        "float",
        r"^(?:[-+]?(?:\.[0-9]+|[1-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        "-+0123456789.",
    ),
    ("merge", r"^(?:<<)$", "<"),
    ("null", r"^(?:~|null|Null|NULL| )$", "~nN\0"),
    ("null", r"^$", ""),
)
_KNOWN_TAGS = ("null", "bool", "int", "float", "str", "seq", "map")


class _Include:
    """The key of an `!include :` line. Each is a key of its own, so that a mapping may have several."""


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's way)
    yaml_constructors: ClassVar[dict[str | None, Any]] = {
        f"tag:yaml.org,2002:{tag}": yaml.SafeLoader.yaml_constructors[f"tag:yaml.org,2002:{tag}"] for tag in _KNOWN_TAGS
    } | {None: yaml.SafeLoader.yaml_constructors[None]}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.tag != "!include")
        twice = [key for key, count in keys.items() if count > 1]
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"duplicate keys: {twice}", node.start_mark)
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in _RULES:
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first.replace("\0", "")) or [""]
    )
_Loader.add_constructor("!include", lambda _loader, _node: _Include())


def load(path: Path) -> Params:
    """Read the file, its includes merged. Raises DigError, naming the file, when it is missing or wrong."""
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise DigError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DigError(f"{path}: {error}") from None
    if not isinstance(value, dict):
        raise DigError(f"{path}: Expected object to load Config but got {value!r}")
    return _mapping(value, path)


def _mapping(value: dict[Any, Any], path: Path) -> Params:
    built: Params = {}
    for key, inner in value.items():
        if isinstance(key, _Include):
            for name, included in load(_included(inner, path)).items():
                # A mapping is merged into what stands above the include; what stands below replaces as a whole.
                merge(built, {name: included})
        else:
            built[_key(key, path)] = _value(inner, path)
    return built


def _included(name: object, path: Path) -> Path:
    if isinstance(name, (dict, list, _Include)) or name is None:
        raise DigError(f"{path}: !include takes the path of a file, as in  !include : 'config/x.yml'")
    folder = normpath(path.parent.absolute())
    target = normpath(path.parent.absolute() / str(name))
    if not target.startswith(folder):
        raise DigError(f"{path}: File name must not include ..: {name}")
    return Path(target)


def _key(key: object, path: Path) -> str:
    if key is None:
        raise DigError(f"{path}: a key is null")
    return {True: "true", False: "false"}[key] if isinstance(key, bool) else str(key)


def _value(value: Any, path: Path) -> Any:
    if isinstance(value, dict):
        return _mapping(value, path)
    if isinstance(value, list):
        return [_value(entry, path) for entry in value]
    if isinstance(value, _Include) or (isinstance(value, str) and value.startswith("!include:")):
        raise DigError(f"{path}: !include is a key, as in  !include : 'config/x.yml'  with a space before the colon")
    if isinstance(value, float) and not math.isfinite(value):
        # JSON has no such numbers; digdag's JSON writer makes texts of them.
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return _joined(value) if isinstance(value, str) else value


def _joined(text: str) -> str:
    """`text` with each pair of surrogates (of `"\\ud83d\\ude00"`) as the one character that it stands for."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
