"""The archive that a push of a project folder sends, and the limits that it exceeds."""

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
    """The archive that `digdag push` sends: the files of a project folder, with their sizes in bytes."""

    folder: Path
    sizes: Mapping[Path, int]

    @property
    def total_bytes(self) -> int:
        """The total size of the files before compression, in bytes."""
        return sum(self.sizes.values())

    @cached_property
    def bytes_for_hosted_limit(self) -> int:
        """The archive's compressed size in bytes. If the uncompressed size is within HOSTED_BYTES, that size."""
        if self.total_bytes <= HOSTED_BYTES:
            return self.total_bytes
        with tempfile.TemporaryFile() as file:
            with tarfile.open(fileobj=file, mode="w:gz") as archive:
                for path in self.sizes:
                    archive.add(path, arcname=str(path.relative_to(self.folder)))
            return file.tell()

    @property
    def hosted_size_problem(self) -> str:
        """Why hosted Treasure Workflow would refuse the archive for its size, and what to do, or "" if it would not."""
        if self.bytes_for_hosted_limit <= HOSTED_BYTES:
            return ""
        size = f"the archive of {self.folder} has a size of {self.bytes_for_hosted_limit / 1024 / 1024:.1f} MB"
        return f"{size}, but hosted Treasure Workflow accepts at most 10 MB. {self._size_advice}"

    @property
    def server_size_problem(self) -> str:
        """Why a digdag server would refuse the archive for its size, and what to do, or "" if it would not."""
        if self.total_bytes <= SERVER_BYTES:
            return ""
        return (
            f"the files of {self.folder} have {self.total_bytes:,} bytes in total, but a digdag server accepts at "
            f"most {SERVER_BYTES:,} unless its api.max_archive_total_size_limit is greater (hosted Treasure Workflow "
            f"accepts at most 10 MB). {self._size_advice}{self._bundle_advice}"
        )

    @property
    def _size_advice(self) -> str:
        """Advice on making the archive smaller, which names the largest files and folders in it."""
        by_part: Counter[str] = Counter()
        for path, size in self.sizes.items():
            parts = path.relative_to(self.folder).parts
            by_part[parts[0] + ("/" if len(parts) > 1 else "")] += size
        largest = ", ".join(f"{part} {size:,}" for part, size in by_part.most_common(_MOST_SHOWN))
        return f"The largest: {largest}. Move data and tests out of the folder, or name them in .digdagignore"

    @property
    def _bundle_advice(self) -> str:
        """Advice to leave the operator's libraries out of the archive, or "" if the archive contains no libraries."""
        if not (self.folder / "requests").is_dir():
            return ""
        return "; or install the libraries in the server's Python, and run scripts/bundle without --with-dependencies"


def collect_archive(folder: Path) -> Archive:
    """Return the archive of a project folder. It omits hidden files and those that `.digdagignore` excludes."""
    ignored = read_digdagignore(folder)
    sizes = {
        path: path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not ignored.match_file(path.relative_to(folder))
    }
    return Archive(folder=folder, sizes=sizes)


def read_digdagignore(folder: Path) -> pathspec.GitIgnoreSpec:
    """Return the patterns in the folder's `.digdagignore`, which follow the rules of `.gitignore`."""
    file = folder / ".digdagignore"
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    return pathspec.GitIgnoreSpec.from_lines(lines)
