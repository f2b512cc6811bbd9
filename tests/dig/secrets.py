"""The secrets of `digdag run`, as they are whenever one is looked up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path


class LocalSecrets(Mapping[str, str]):
    """Those `given`, as by `-X`, over the files of `digdag secrets --local`; `config` is DIGDAG_CONFIG_HOME."""

    def __init__(self, config: Path, given: Mapping[str, str]) -> None:
        self._folder, self._given = config / "secrets", given

    def __getitem__(self, name: str) -> str:
        if name in self._given:
            return self._given[name]
        try:
            return (self._folder / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        return iter({*self._given, *(file.name for file in self._folder.glob("[!.]*"))})

    def __len__(self) -> int:
        return len(set(self))
