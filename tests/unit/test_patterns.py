"""Every regular expression of the package takes time in proportion to the text, whatever the text is."""

import ast
import importlib
import itertools
import pkgutil
import re
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest

import td_pinterest_op
from tests.campaigns import campaign

pytestmark = campaign

_CALL = re.compile(r"\bre\.(?!escape\b)")
Pattern = re.Pattern[str] | re.Pattern[bytes]
PACKAGE = Path(td_pinterest_op.__file__).parent
# Characters of the texts, and how many of them, those that took longest, are tried in the next stage.
STAGES = ((20, None), (1_000, 12), (20_000, 4), (400_000, 0))
# CPU seconds of one look. For the longest text, linear time is a twentieth of it, quadratic time is thirty times as
# much, and exponential time has no end: the verdict is the same on a machine that is ten times faster or slower.
MOST_SECONDS = 2.0


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages([str(PACKAGE)], "td_pinterest_op."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


SOURCES = "\n".join(path.read_text() for path in sorted(PACKAGE.rglob("*.py")))


def in_values(value: object) -> Iterator[Pattern]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, (tuple, list, set, frozenset)):
        yield from itertools.chain.from_iterable(map(in_values, value))
    elif isinstance(value, Mapping):
        yield from in_values([*value.values()])


def in_calls(module: ModuleType) -> Iterator[tuple[Pattern, bool]]:
    """What functions compile or give to functions of `re`, with an x for each value; whether they look everywhere."""
    source = Path(cast(str, module.__file__)).read_text()
    for node in ast.walk(ast.parse(source)) if _CALL.search(source) else ():
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=function), args=[first, *_]):
                text = text_of(first, module) if function != "escape" else None
                if text is not None:
                    yield re.compile(text), function not in ("match", "fullmatch")


def text_of(node: ast.expr, module: ModuleType) -> str | bytes | None:
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else str(text_of(part, module) or "x")
            for part in node.values
        )
    if isinstance(node, ast.FormattedValue):
        node = node.value
    value = getattr(module, node.id, None) if isinstance(node, ast.Name) else getattr(node, "value", None)
    return value if isinstance(value, (str, bytes)) else None


def used_by(name: str, module: ModuleType) -> set[str]:
    """How a pattern of this name is used: `match` and `fullmatch` look at one place only."""
    source = Path(cast(str, module.__file__)).read_text() if name.startswith("_") else SOURCES
    return set(re.findall(rf"\b{re.escape(name)}\.(\w+)", source))


def patterns() -> dict[str, tuple[Pattern, bool]]:
    """All of them, by where they are, and whether they look everywhere in a text."""
    found: dict[str, tuple[Pattern, bool]] = {}
    for module in modules():
        for name, value in vars(module).items():
            for pattern in in_values(value):
                everywhere = not used_by(name, module) <= {"match", "fullmatch"}
                found.setdefault(f"{pattern.pattern!r}", (pattern, everywhere))
        for pattern, everywhere in in_calls(module):
            found.setdefault(f"{pattern.pattern!r}", (pattern, everywhere))
    return found


# -- the worst text


def worst_texts(pattern: Pattern) -> list[tuple[str, str, str]]:
    """Texts that nearly match: a beginning, what is repeated after it, and an end."""
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin1")
    words = re.findall(r"[^\\()\[\]{}|?*+^$.]+", source)
    characters = sorted({*source, *" x1\n"})
    units = sorted({*words, *characters, *(word + character for word in words for character in " x1\n")})
    texts = [("", unit) for unit in units] + list(itertools.product(words[-8:], characters))
    return [(begin, unit, end) for begin, unit in texts for end in ("", "\0")]


def seconds(pattern: Pattern, everywhere: bool, text: str) -> float:
    """How long a look at the text takes; raises TimeoutError when the timer below ends it."""
    subject: Any = text if isinstance(pattern.pattern, str) else text.encode("latin1", "replace")
    before = time.process_time()
    if everywhere:
        sum(1 for _ in pattern.finditer(subject))
    else:
        pattern.match(subject)
        pattern.fullmatch(subject)
    return time.process_time() - before


def slow_text(pattern: Pattern, *, everywhere: bool = True) -> str | None:
    """The beginning of a text that takes the pattern more than linear time; None if there is none.

    The times of short texts only choose the long ones.
    """

    def stop(*_: object) -> None:
        raise TimeoutError

    tried = worst_texts(pattern)
    previous = signal.signal(signal.SIGPROF, stop)
    try:
        for length, kept in STAGES:
            took: dict[tuple[str, str, str], float] = {}
            for begin, unit, end in tried:
                text = begin + unit * (length // len(unit)) + end
                signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
                try:
                    took[begin, unit, end] = seconds(pattern, everywhere, text)
                except TimeoutError:
                    return text[:100]
                finally:
                    signal.setitimer(signal.ITIMER_PROF, 0)
            tried = sorted(took, key=lambda text: -took[text])[:kept]
    finally:
        signal.signal(signal.SIGPROF, previous)
    return None


ALL = patterns()


def test_the_patterns_of_the_package_are_found() -> None:
    assert len(ALL) > 50
    assert "b'[0-9A-Fa-f]{64}'" in ALL


@pytest.mark.parametrize("name", ALL)
def test_no_text_of_a_megabyte_takes_a_pattern_long(name: str) -> None:
    pattern, everywhere = ALL[name]
    assert slow_text(pattern, everywhere=everywhere) is None
