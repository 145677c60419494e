"""Where archives are: a place that gives whole files and parts of them, and a folder of this machine as one."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from ais_assets.sources.landing.download import check_size
from ais_assets.sources.source import SourceError


class Place(ABC):
    """Where files are, each under a key: its name, or for the web its address.

    Attributes:
        uri: the place's address, without credentials.
    """

    uri: str

    @abstractmethod
    def fetch(self, key: str, target: Path, max_bytes: int) -> None:
        """Copies a file. Where a server breaks off, `target` and its note are what `Download` goes on with.

        Raises NotThereError where it is not there, SourceError where it cannot be had, OSError where it cannot be
        stored.
        """

    @abstractmethod
    def open(self, key: str, scratch: Path, max_bytes: int) -> BinaryIO:
        """A file for reading here and there, fetched to `scratch` where the place gives only whole files."""

    def shown(self, key: str) -> str:
        """A file's address without credentials."""
        return f"{self.uri}/{key}"

    def file_name(self, key: str) -> str:
        """A file's name as published, without any folder."""
        return key


class ListedPlace(Place):
    """A place that tells what it holds."""

    @cached_property
    def names(self) -> list[str]:
        """Names of the files right there, sorted; listed once. Raises SourceError where the place cannot be had."""
        return sorted(self._list())

    @abstractmethod
    def _list(self) -> list[str]: ...


class FolderPlace(ListedPlace):
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.uri = str(folder)

    def _list(self) -> list[str]:
        try:
            return [entry.name for entry in self._folder.iterdir() if entry.is_file()]
        except OSError as error:
            raise SourceError(
                f"{self.uri}: {error.strerror}; AIS_SOURCE_URI must name a folder with the source's files"
            ) from error

    def fetch(self, key: str, target: Path, max_bytes: int) -> None:
        source = self._folder / key
        check_size(source.stat().st_size, max_bytes, self.shown(key))
        shutil.copyfile(source, target)

    def open(self, key: str, scratch: Path, max_bytes: int) -> BinaryIO:
        return (self._folder / key).open("rb")
