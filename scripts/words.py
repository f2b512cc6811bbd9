"""Find worn-out words: words at which a reader stops, and for which there are better ones.

`python -m scripts.words [PATH…]` prints `path:line: word: what to write`, and exits with 1 if there is any.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# What is found, and what to write in its place.
WORDS = {
    r"\b[Ss]tands? (?:on|behind|beside|for|in|at|there|alone|below|above|under)\b": "use, back, be in, mean",
    r"\bstood (?:on|behind|beside|for|in|at|there)\b": "used, backed, was in",
    r"\banew\b": "again",
    r"\b[Bb]eside\b": "next to, besides",
    r"\b(?<!there )(?:is|are|was|were) none\b": "is not",
    r"\bof ours\b": "our",
    r"\bsays? so\b": "name what is said",
    r"\btells? of\b": "report",
    r"\bfor who\b": "for whoever",
    r"\b[Ww]hat bec[ao]mes? of\b": "what happens to",
    r"\bto be had\b": "available",
    r"\bthat which\b": "what",
    r"\bso many\b": "that many",
    r"\ball the same\b": "the same",
    r"\byounger\b": "newer",
    r"\bdeeds?\b": "summary",
    r"\bprocedures?\b": "action",
}
_PATTERN = re.compile("|".join(f"(?P<w{number}>{word})" for number, word in enumerate(WORDS)))
_ADVICE = list(WORDS.values())
_SUFFIXES = (".py", ".md", ".dig", ".yml", ".sql", "")
_EXEMPT = {Path("scripts/words.py"), Path("LICENSE")}


def find_worn_words(paths: list[Path]) -> Iterator[str]:
    """Yield a line for each worn-out word in the files."""
    for path in paths:
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            for match in _PATTERN.finditer(line):
                advice = _ADVICE[int((match.lastgroup or "w0")[1:])]
                yield f'{path}:{number}: "{match[0]}": write {advice}'


def _tracked(arguments: list[str]) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "--", *arguments], check=True, capture_output=True, text=True)
    paths = map(Path, listed.stdout.splitlines())
    return [path for path in paths if path.suffix in _SUFFIXES and path not in _EXEMPT and path.is_file()]


if __name__ == "__main__":
    found = list(find_worn_words(_tracked(sys.argv[1:])))
    print("\n".join(found))
    sys.exit(1 if found else 0)
