"""Partitions as one lazy Arrow dataset: of one version each, with errors that say which file, and what to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pafs

_LOOK_AGAIN_SECONDS: Final = 1.0
"""While rows are read, whether they still are of the files that the dataset was made of."""


@dataclass(frozen=True)
class Watch:
    """What is looked after while a dataset is read.

    Attributes:
        explain: raises what is to be said of an error while reading; where it returns, the error is raised as it is.
        require_unchanged: raises ReplacedError where a file is another one than when the dataset was made.
    """

    explain: Callable[[Exception], None]
    require_unchanged: Callable[[], None]

    def over(self, read: Callable[[], Any]) -> Any:
        """What `read` returns, of unchanged files, or the error in our words."""
        try:
            found = read()
        except (OSError, pa.ArrowException) as error:
            self.explain(error)
            raise
        self.require_unchanged()
        return found

    def over_each(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The batches, looked after as they come: whoever reads them to their end knows they are of one version."""
        looked = time.monotonic()
        try:
            for batch in batches:
                if time.monotonic() > looked + _LOOK_AGAIN_SECONDS:
                    self.require_unchanged()
                    looked = time.monotonic()
                yield batch
        except (OSError, pa.ArrowException) as error:
            self.explain(error)
            raise
        self.require_unchanged()


class PartitionDataset(ds.FileSystemDataset):
    """As pyarrow's, which says of a damaged page neither whose it is nor what mends it, and reads on in any new file.

    Args:
        files: what is read.
        watch: over it.
        filesystem: from which, as of now; it is asked for before each reading, since one of S3 has credentials that
            expire.
    """

    def __init__(self, files: ds.FileSystemDataset, watch: Watch, filesystem: Callable[[], pafs.FileSystem]) -> None:
        super().__init__(list(files.get_fragments()), files.schema, files.format, files.filesystem)
        self._watch = watch
        self._filesystem_of_now = filesystem

    def scanner(self, **options: Any) -> Any:
        """As pyarrow's; all that is read of a dataset is read by one."""
        return _WatchedScanner(self._of_now().scanner(**self._scanner_options(options)), self._watch)

    def filter(self, expression: Any) -> Self:
        """As pyarrow's."""
        filtered = super().filter(expression)
        filtered._watch, filtered._filesystem_of_now = self._watch, self._filesystem_of_now
        return filtered

    def _of_now(self) -> ds.FileSystemDataset:
        """The same files, from where they are read now, and without a filter."""
        now = self._filesystem_of_now()
        fragments = [self.format.make_fragment(path, now) for path in self.files]
        return ds.FileSystemDataset(fragments, self.schema, self.format, now)


class _WatchedScanner:
    """A scanner of which whatever is called is watched."""

    def __init__(self, scanner: ds.Scanner, watch: Watch) -> None:
        self._scanner = scanner
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._scanner, name)
        if not callable(found):
            return found
        return lambda *arguments, **options: self._watch.over(lambda: found(*arguments, **options))

    def to_batches(self) -> Iterator[pa.RecordBatch]:
        """As pyarrow's."""
        return self._watch.over_each(self._scanner.to_batches())

    def to_reader(self) -> pa.RecordBatchReader:
        """As pyarrow's; DuckDB reads by this."""
        batches = self._watch.over_each(self._scanner.to_reader())
        return pa.RecordBatchReader.from_batches(self._scanner.projected_schema, batches)
