"""What a push of a project folder sends, and which limits it exceeds."""

from __future__ import annotations

import tarfile
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pathspec

# Of hosted Treasure Workflow, for the archive as it is sent.
HOSTED_BYTES = 10 * 1024 * 1024
# Of a digdag server that sets no other api.max_archive_total_size_limit, for all files together, unpacked.
SERVER_BYTES = 2 * 1024 * 1024
_MOST_SHOWN = 4


@dataclass(frozen=True, kw_only=True)
class Archive:
    """The files of a project folder that a push sends, with their sizes in bytes."""

    folder: Path
    sizes: Mapping[Path, int]

    @property
    def total(self) -> int:
        """The size of all files together."""
        return sum(self.sizes.values())

    @cached_property
    def packed(self) -> int:
        """The size of the archive as it is sent; that of the files where they are small enough in any case."""
        if self.total <= HOSTED_BYTES:
            return self.total
        with tempfile.TemporaryFile() as file:
            with tarfile.open(fileobj=file, mode="w:gz") as archive:
                for path in self.sizes:
                    archive.add(path, arcname=str(path.relative_to(self.folder)))
            return file.tell()

    @property
    def excess_for_hosted(self) -> str:
        """Why hosted Treasure Workflow refuses it, and what to do; empty if it does not."""
        if self.packed <= HOSTED_BYTES:
            return ""
        size = f"the archive of {self.folder} has {self.packed / 1024 / 1024:.1f} MB"
        return f"{size}, and hosted Treasure Workflow takes 10 MB. {self._advice}"

    @property
    def excess_for_server(self) -> str:
        """Why a digdag server refuses it, and what to do; empty if it does not."""
        if self.total <= SERVER_BYTES:
            return ""
        return (
            f"the files of {self.folder} have {self.total:,} bytes together, and a digdag server takes "
            f"{SERVER_BYTES:,} unless its api.max_archive_total_size_limit is greater (hosted Treasure Workflow takes "
            f"10 MB). {self._advice}{self._other_way}"
        )

    @property
    def _advice(self) -> str:
        by_part: Counter[str] = Counter()
        for path, size in self.sizes.items():
            parts = path.relative_to(self.folder).parts
            by_part[parts[0] + ("/" if len(parts) > 1 else "")] += size
        largest = ", ".join(f"{part} {size:,}" for part, size in by_part.most_common(_MOST_SHOWN))
        return f"The largest: {largest}. Move data and tests out of the folder, or name them in .digdagignore"

    @property
    def _other_way(self) -> str:
        if not (self.folder / "requests").is_dir():
            return ""
        return "; or install the libraries in the server's Python, and run scripts/bundle without --with-dependencies"


def archive_of(folder: Path) -> Archive:
    """Return what a push of the folder sends: nothing that begins with a dot or that `.digdagignore` names."""
    ignored = ignored_in(folder)
    sizes = {
        path: path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not ignored.match_file(path.relative_to(folder))
    }
    return Archive(folder=folder, sizes=sizes)


def ignored_in(folder: Path) -> pathspec.GitIgnoreSpec:
    """Return what `.digdagignore` names, which digdag reads as git does its own."""
    file = folder / ".digdagignore"
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    return pathspec.GitIgnoreSpec.from_lines(lines)
