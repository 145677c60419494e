"""Where bytes live: a local folder or an S3 prefix, with whole objects published atomically on either.

Nothing above this module knows which of the two it is on.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

import pyarrow as pa
import pyarrow.fs as pafs

from ais_assets.machine import own_temporary_folder
from ais_assets.settings.addresses import checked_place
from ais_assets.store.file_locks import exclusively, left_behind, sign_of_life
from ais_assets.store.names import stays_inside
from ais_assets.store.pinned import (
    Pinned,
    PinnedFiles,
    PinnedLocalFile,
    PinnedS3Object,
    ReplacedError,
    StoreError,
    local_version,
)
from ais_assets.store.ranges import TAIL_BYTES, RangedObject, Tail
from ais_assets.store.s3_access import ANSWER_SECONDS, CONNECT_SECONDS, PATIENCE_SECONDS, S3Access, S3Client, patiently
from ais_assets.store.s3_answers import s3_refusal, s3_unreachable, whole_listing

if TYPE_CHECKING:
    from botocore.credentials import Credentials

T = TypeVar("T")
STAGING = ".staging"
_LOCK = ".lock"
_PUBLISHING: Final = "publishing"
"""The file in a lake's staging folder by which whoever replaces one version alone does so alone."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FEW: Final = 2
"""Objects of a folder that are rather looked at one by one than listed."""


def checked_key(key: str) -> str:
    """Returns an object's key as it is. Raises ValueError for one that would leave the store."""
    if not stays_inside(key):
        raise ValueError(f"{key!r} is not a path inside the lake")
    return key


class OvertakenError(StoreError):
    """What was to be replaced is not there any more, but something newer, or nothing; the message says which."""


@dataclass(frozen=True)
class StoredObject:
    """An object as a listing shows it.

    Attributes:
        key: its name.
        size: bytes.
        modified: when it came there, Unix time.
        version: as `Store.version`.
    """

    key: str
    size: int
    modified: float
    version: str = ""


@dataclass(frozen=True)
class Opened:
    """One version of an object, open for reading.

    Attributes:
        source: for pyarrow.
        version: as `Store.version`.
        tail: its end, with which it can be opened once more without asking for it; None where that costs nothing.
        hold: reads these bytes, from one place up to another, at once, where a read costs a request.
    """

    source: pa.NativeFile
    version: str
    tail: Tail | None = None
    hold: Callable[[int, int], None] = lambda start, end: None


def local_objects(root: Path, folder: str = "") -> Iterator[StoredObject]:
    """Files anywhere below a folder, by their path relative to the root; a link is itself, not what it leads to."""
    for parent, _, names in os.walk(root / folder):
        for name in names:
            path = Path(parent, name)
            stat = path.lstat()
            # A file that is moved brings its time of modification along; the inode's time tells when it came.
            yield StoredObject(path.relative_to(root).as_posix(), stat.st_size, max(stat.st_mtime, stat.st_ctime))


@dataclass(frozen=True)
class UnfinishedUpload:
    """An upload in parts that was begun and not completed; no reader sees it, and its parts take room.

    Attributes:
        key: of the object that it was to be.
        name: S3's own.
        since: when it was begun, Unix time.
    """

    key: str
    name: str
    since: float


class Store(ABC):
    """Objects by key. A key is a relative POSIX path."""

    uri: str
    staging_is: ClassVar[str]
    """What the folder of unpublished files is, and which setting moves it, for whoever has to make room."""
    requests_cost: ClassVar[bool]
    """Whether each look at an object is a request over a network, so that many of them are made side by side."""

    @abstractmethod
    def publish(self, local: Path, key: str, over: str | None = None) -> None:
        """Makes a finished local file the object `key`: readers see the former one or this one, whole.

        Args:
            local: the file, which may be moved; it must lie in a folder from `staging`.
            key: the object's name.
            over: the only version that it is to replace, as `versions` has it; None: whatever is there.

        Raises OvertakenError, and leaves what is there, where that is neither this version nor has these very bytes:
        an answer that was lost is asked for again, and finds them.
        """

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Whether the object is there."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """The object's bytes. Raises FileNotFoundError where there is none."""

    @abstractmethod
    def size(self, key: str) -> int:
        """The object's bytes, counted. Raises FileNotFoundError where there is none."""

    @abstractmethod
    def version(self, key: str) -> str:
        """Changes whenever the object does. Raises FileNotFoundError where there is none."""

    @abstractmethod
    def listed(self, folder: str) -> Iterator[StoredObject]:
        """Objects directly inside a folder, in any order; none where the folder is absent."""

    def names(self, folder: str, suffix: str) -> list[str]:
        """Names ending in `suffix` directly inside a folder, sorted; none where the folder is absent."""
        names = (PurePosixPath(each.key).name for each in self.listed(folder))
        return sorted(name for name in names if name.endswith(suffix))

    @abstractmethod
    def open(self, key: str, tail: Tail | None = None) -> Opened:
        """One version of an object, for reading parts of it.

        Args:
            key: its name.
            tail: of the version that is wanted, where it is known.

        Raises FileNotFoundError where there is none; then or at any read ReplacedError where it is another version by
        now, StoreError where the store cannot be reached.
        """

    @abstractmethod
    def keep(self, key: str, kept: str) -> None:
        """Lets an object be read under another key, too, whatever becomes of the first; nothing passes through here.

        Raises FileNotFoundError where there is no such object.
        """

    @abstractmethod
    def objects(self, folder: str) -> Iterator[StoredObject]:
        """All objects below a folder, however deep; none where it is absent. On a disk links are not followed."""

    @abstractmethod
    def delete(self, folder: str) -> None:
        """Removes all objects below a folder. On a disk links are not followed, and a folder behind one is refused."""

    @abstractmethod
    def delete_object(self, key: str) -> None:
        """Removes one object; none where it is absent. On a disk what lies behind a link is refused."""

    @abstractmethod
    def fetch(self, key: str, into: Path) -> Path:
        """A local path with the object's bytes: the object itself where it is local, else a copy in `into`."""

    @abstractmethod
    def pinned(self, key: str) -> Pinned:
        """The object as it is now, to be read as that or not at all. Raises FileNotFoundError where there is none."""

    @abstractmethod
    def filesystem(self) -> pafs.FileSystem:
        """For pyarrow, which reads `path(key)` from it: whatever is there at each read.

        To be asked for anew before each reading: on S3 it has credentials of now, which may expire within the hour.
        """

    @abstractmethod
    def path(self, key: str) -> str:
        """The key as `filesystem` knows it."""

    def pinned_file(self, key: str) -> pafs.FileSystem:
        """The object as it is now, as a file system of its own, to be read from Python: `path(key)` of it.

        Arrow's datasets would read from threads of their own, which do not get along with Python's lock.
        Raises FileNotFoundError where there is none.
        """
        return pafs.PyFileSystem(PinnedFiles({self.path(key): self.pinned(key)}))

    def versions(self, keys: Sequence[str]) -> list[str]:
        """As `version`, of each; an empty one of an object that is not there."""

        folders = {str(PurePosixPath(key).parent) for key in keys}
        if self.requests_cost and len(keys) > _FEW * len(folders):
            listed = {each.key: each.version for folder in folders for each in self.listed(folder)}
            return [listed.get(key, "") for key in keys]
        return [self._version_or_none(key) for key in keys]

    def _version_or_none(self, key: str) -> str:
        try:
            return self.version(key)
        except FileNotFoundError:
            return ""

    @abstractmethod
    def staging_root(self) -> Path:
        """A local folder for files that will be published."""

    def publish_bytes(self, data: bytes, key: str, over: str | None = None) -> None:
        """Publishes an object from memory, as `publish` does a file."""
        with self.staging() as folder:
            local = folder / "object"
            local.write_bytes(data)
            self.publish(local, key, over)

    def _require_the_same(self, local: Path, key: str) -> None:
        """To be called where another version is there than was to be replaced: raises OvertakenError, unless it has
        the very bytes of the file."""
        try:
            if self.read(key) == local.read_bytes():
                return
        except FileNotFoundError:
            pass
        raise OvertakenError(
            f"{self.uri}/{key} was published anew, or removed, since it was looked at: nothing newer is replaced"
        )

    def try_out(self) -> None:
        """Writes, replaces, lists, reads and deletes an object of its own below this place, as a build will.

        Raises StoreError, which says what of this is refused, and why.
        """
        folder = f".trial-{uuid.uuid4().hex}"
        key = f"{folder}/object"
        steps: dict[str, Callable[[], object]] = {
            "written": lambda: self.publish_bytes(b"a trial", key, over=""),
            "replaced": lambda: self.publish_bytes(b"another", key, over=self.version(key)),
            "listed": lambda: list(self.listed(folder)),
            "read": lambda: self.read(key),
            "deleted": lambda: self.delete(folder),
        }
        for what, step in steps.items():
            try:
                step()
            except OSError as error:
                raise StoreError(f"nothing can be {what} in {self.uri}: {error}") from error

    def heeds_versions(self) -> bool:
        """Whether an object is not published over another version than is said: not every S3 server looks at that."""
        folder = f".trial-{uuid.uuid4().hex}"
        heeds = False
        try:
            for data in (b"a trial", b"another"):
                self.publish_bytes(data, f"{folder}/object", over="")
        except OvertakenError:
            heeds = True
        self.delete(folder)
        return heeds

    def clock_ahead_seconds(self) -> float | None:
        """How far this machine's clock is ahead of the store's, within a second; None where they are one."""
        return None

    def now(self) -> float:
        """Unix time by the clock that objects are dated by, within a second: this machine's may be hours off."""
        return time.time() - (self.clock_ahead_seconds() or 0.0)

    def unfinished_uploads(self) -> Iterator[UnfinishedUpload]:
        """Those below this place, of whomever: also of one that is under way."""
        return iter(())

    def abandon(self, upload: UnfinishedUpload) -> None:
        """Frees what an upload's parts take. One that is under way fails."""
        raise NotImplementedError(f"{self.uri} has no uploads in parts")

    def left_staged(self) -> list[Path]:
        """Folders of files that were to be published, whose processes are gone."""
        return [folder for folder in _folders_left(self.staging_root()) if folder.is_dir()]

    def s3_access(self) -> dict[str, str | bool]:
        """What another reader of this place needs, as far as it is not standard: endpoint_url and the like."""
        return {}

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A new local folder for files on their way into the store; gone afterwards.

        Folders that killed processes left behind are removed first: each is locked by its owner for as
        long as the owner lives.
        """
        root = self.staging_root()
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root)
        folder, owner = _owned_folder(root)
        try:
            yield folder
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise StoreError(
                f"no space is left ({os.strerror(error.errno)}) on the disk of {root}, {self.staging_is}; what was "
                "there before is as it was"
            ) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            folder.with_suffix(_LOCK).unlink(missing_ok=True)
            os.close(owner)


def _owned_folder(root: Path) -> tuple[Path, int]:
    """A new folder, and the descriptor of the lock that says that this process lives."""
    while True:
        folder = root / uuid.uuid4().hex
        owner = sign_of_life(folder.with_suffix(_LOCK), anew=True)
        # Taken for left behind between its making and its locking, there is none.
        if owner is not None:
            folder.mkdir()
            return folder, owner


def _sweep(root: Path) -> None:
    for folder in _folders_left(root):
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_suffix(_LOCK).unlink(missing_ok=True)


def _folders_left(root: Path) -> Iterator[Path]:
    """Each folder whose lock nobody holds; for as long as it is looked at, this process does."""
    for lock in root.glob(f"*{_LOCK}"):
        with left_behind(lock) as dead:
            if dead:
                yield lock.with_suffix("")


class LocalStore(Store):
    """A folder of this machine (or a network file system with atomic renames)."""

    staging_is = "which is the lake's own (AIS_LAKE)"
    requests_cost = False

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self.uri = str(self._root)

    def _file(self, key: str) -> Path:
        return self._root / checked_key(key)

    def publish(self, local: Path, key: str, over: str | None = None) -> None:
        if over is None:
            self._rename(local, key)
            return
        # Between the look and the rename nobody else is to come; the lock ends with whoever holds it.
        with exclusively(self.staging_root() / _PUBLISHING):
            if self._version_or_none(key) == over:
                self._rename(local, key)
            else:
                self._require_the_same(local, key)

    def _rename(self, local: Path, key: str) -> None:
        target = self._file(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        with local.open("rb") as written:
            os.fsync(written.fileno())
        try:
            local.replace(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            raise StoreError(
                f"{target.parent} is on another disk than {local.parent}, so nothing can appear there whole at once: "
                f"let all of {self._root} be on one disk; a link or a mount may lead to the lake, not to a part of it"
            ) from error
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def exists(self, key: str) -> bool:
        return self._file(key).is_file()

    def read(self, key: str) -> bytes:
        return self._file(key).read_bytes()

    def size(self, key: str) -> int:
        return self._file(key).stat().st_size

    def version(self, key: str) -> str:
        return local_version(self._file(key).stat())

    def listed(self, folder: str) -> Iterator[StoredObject]:
        directory = self._file(folder)
        if not directory.is_dir():
            return
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_file():
                    stat = entry.stat()
                    yield StoredObject(
                        f"{folder}/{entry.name}", stat.st_size, max(stat.st_mtime, stat.st_ctime), local_version(stat)
                    )

    def open(self, key: str, tail: Tail | None = None) -> Opened:
        del tail
        while True:
            pinned = self.pinned(key)
            with suppress(ReplacedError):
                return Opened(pinned.open(), pinned.version)

    def keep(self, key: str, kept: str) -> None:
        target = self._file(kept)
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.link(self._file(key), target)

    def objects(self, folder: str) -> Iterator[StoredObject]:
        return local_objects(self._root, checked_key(folder))

    def delete(self, folder: str) -> None:
        shutil.rmtree(self._deletable(folder))

    def delete_object(self, key: str) -> None:
        self._deletable(key).unlink(missing_ok=True)

    def _deletable(self, key: str) -> Path:
        path = self._file(key)
        if path.is_symlink() or not path.resolve().is_relative_to(self._root.resolve()):
            raise StoreError(f"{path} lies behind a link, which is not followed to delete: remove it by hand")
        return path

    def fetch(self, key: str, into: Path) -> Path:
        del into
        path = self._file(key)
        if not path.is_file():
            raise FileNotFoundError(path)
        return path

    def filesystem(self) -> pafs.FileSystem:
        return pafs.LocalFileSystem(use_mmap=True)

    def pinned(self, key: str) -> PinnedLocalFile:
        found = self._file(key).stat()
        return PinnedLocalFile(self.path(key), local_version(found), found.st_size)

    def path(self, key: str) -> str:
        return str(self._file(key))

    def staging_root(self) -> Path:
        # Inside the lake, so that publishing is a rename on one file system.
        return self._root / STAGING


class S3Store(Store):
    """A prefix of an S3 bucket.

    Args:
        uri: s3://bucket/prefix.
        client: of boto3.
        access: what the client was made with, if not the environment's.
        patience_seconds: how long an outage is waited out, in each call.
    """

    staging_is = "where all that goes to S3 is spooled first (TMPDIR)"
    requests_cost = True

    def __init__(
        self, uri: str, client: S3Client, access: S3Access | None = None, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        self._prefix = prefix.strip("/")
        self._made = client
        self._process = os.getpid()
        # Also of a client that was made otherwise, this is where it was led to.
        self._access = replace(
            access or S3Access(), endpoint_url=client.meta.endpoint_url, region=client.meta.region_name
        )
        self._patience_seconds = patience_seconds
        self._credentials: Credentials | None = None
        self._filesystem: tuple[Mapping[str, str | None], pafs.FileSystem] | None = None
        self._was_there = True
        self.uri = f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    @property
    def _client(self) -> S3Client:
        if self._process != os.getpid():
            # A forked process would otherwise talk through its parent's connections.
            self._made.close()
            self._process = os.getpid()
        return self._made

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process makes a client of its own."""
        return _reopened, (self.uri, self._access, self._patience_seconds)

    def _key(self, key: str) -> str:
        return f"{self._prefix}/{checked_key(key)}".lstrip("/")

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        from boto3.exceptions import Boto3Error  # noqa: PLC0415 - a local lake needs no boto
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - a local lake needs no boto

        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in ("404", "NoSuchKey"):
                raise FileNotFoundError(f"{self.uri}/{key}") from None
            if code in ("412", "PreconditionFailed"):
                raise ReplacedError(f"{self.uri}/{key}") from None
            refusal = s3_refusal(f"{self.uri}/{key}", code or str(error), "create the bucket or correct AIS_LAKE")
            raise StoreError(refusal) from error
        except (BotoCoreError, Boto3Error) as error:
            raise StoreError(s3_unreachable(f"{self.uri}/{key}", error)) from error

    def _ask(self, key: str, ask: Callable[[], T]) -> T:
        """What S3 answers, whose outages are waited out, in the words of `_errors` where it does not."""
        with self._errors(key):
            return patiently(ask, self._patience_seconds, f"{self.uri}/{key}", was_there=self._was_there)

    def try_out(self) -> None:
        """As of every store; nobody is waited for at an address that may be wrong."""
        tried = S3Store(self.uri, self._client, self._access, self._patience_seconds)
        tried._was_there = False
        super(S3Store, tried).try_out()

    def publish(self, local: Path, key: str, over: str | None = None) -> None:
        if over is None:
            self._upload(local, key)
        else:
            self._put_over(local, key, over)
        local.unlink()

    def _put_over(self, local: Path, key: str, over: str) -> None:
        wanted = {"Bucket": self._bucket, "Key": self._key(key), "Body": local.read_bytes()}
        try:
            for condition in self._conditions(key, over):
                with suppress(ReplacedError):
                    self._ask(key, partial(self._client.put_object, **wanted, **condition))
                    return
        except FileNotFoundError:
            pass
        self._require_the_same(local, key)

    def _conditions(self, key: str, over: str) -> list[dict[str, str]]:
        """By any of which S3 replaces this version alone; none where it is gone. Raises FileNotFoundError likewise."""
        if not over:
            return [{"IfNoneMatch": "*"}]
        there = self._head(key)
        if _object_version(there["ETag"], there["ContentLength"]) != over:
            return []
        # Ceph compares what it is given with an ETag that has no quotes.
        return [{"IfMatch": there["ETag"]}, {"IfMatch": there["ETag"].strip('"')}]

    def _upload(self, local: Path, key: str) -> None:
        from boto3.exceptions import S3UploadFailedError  # noqa: PLC0415 - a local lake needs no boto

        def upload() -> None:
            try:
                self._client.upload_file(str(local), self._bucket, self._key(key))
            except S3UploadFailedError as error:
                # boto3 wraps what S3 answered into a text.
                raise error.__context__ or error from None

        # A put or a completed multipart upload appears whole or not at all.
        self._ask(key, upload)

    def exists(self, key: str) -> bool:
        try:
            self.size(key)
        except FileNotFoundError:
            return False
        return True

    def read(self, key: str) -> bytes:
        return self._ask(key, lambda: self._get(key)[1])

    def _head(self, key: str) -> dict[str, Any]:
        try:
            return self._ask(key, lambda: self._client.head_object(Bucket=self._bucket, Key=self._key(key)))
        except FileNotFoundError:
            # The answer has no body, which would say whether it is the object that is not there, or the bucket.
            wanted = {"Bucket": self._bucket, "Prefix": self._key(key), "MaxKeys": 1}
            self._ask(key, partial(self._client.list_objects_v2, **wanted))
            raise

    def size(self, key: str) -> int:
        return self._head(key)["ContentLength"]

    def version(self, key: str) -> str:
        head = self._head(key)
        return _object_version(head["ETag"], head["ContentLength"])

    def listed(self, folder: str) -> Iterator[StoredObject]:
        for page in self._pages(folder, Delimiter="/"):
            yield from map(self._stored, page)

    def open(self, key: str, tail: Tail | None = None) -> Opened:
        known = tail or self._ask(key, partial(self._tail, key))
        file = RangedObject(known, partial(self._read_range, key, known.etag))
        return Opened(pa.PythonFile(file, mode="r"), _object_version(known.etag, known.size), known, file.hold)

    def _tail(self, key: str) -> Tail:
        from botocore.exceptions import ClientError  # noqa: PLC0415 - a local lake needs no boto

        try:
            answer, data = self._get(key, Range=f"bytes=-{TAIL_BYTES}")
        except ClientError as error:
            # An empty object has no last bytes.
            if error.response.get("Error", {}).get("Code", "") not in ("InvalidRange", "416"):
                raise
            answer, data = self._get(key)
        size = int(answer["ContentRange"].rpartition("/")[2]) if "ContentRange" in answer else len(data)
        return Tail(answer["ETag"], size, data)

    def _get(self, key: str, **wanted: str) -> tuple[dict[str, Any], bytes]:
        answer = self._client.get_object(Bucket=self._bucket, Key=self._key(key), **wanted)
        return answer, answer["Body"].read()

    def _stored(self, entry: dict[str, Any]) -> StoredObject:
        key = entry["Key"].removeprefix(f"{self._prefix}/" if self._prefix else "")
        version = _object_version(entry["ETag"], entry["Size"])
        return StoredObject(key, entry["Size"], entry["LastModified"].timestamp(), version)

    def _pages(self, folder: str, **options: str) -> Iterator[list[dict[str, Any]]]:
        """Objects below a folder as S3 lists them, at most 1,000 at a time."""
        wanted = {"Bucket": self._bucket, "Prefix": self._key(folder) + "/", **options}
        while True:
            page = self._ask(folder, partial(whole_listing, self._client.list_objects_v2, **wanted))
            yield page.get("Contents", [])
            if not page.get("IsTruncated"):
                return
            wanted["ContinuationToken"] = page["NextContinuationToken"]

    def clock_ahead_seconds(self) -> float | None:
        answer = self._ask(
            "", partial(self._client.list_objects_v2, Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)
        )
        said = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        # It has whole seconds, cut off.
        return None if said is None else time.time() - parsedate_to_datetime(said).timestamp() - 0.5

    def keep(self, key: str, kept: str) -> None:
        source = {"Bucket": self._bucket, "Key": self._key(key)}
        self._ask(key, lambda: self._client.copy(source, self._bucket, self._key(kept)))

    def objects(self, folder: str) -> Iterator[StoredObject]:
        for page in self._pages(folder):
            yield from map(self._stored, page)

    def delete(self, folder: str) -> None:
        for page in self._pages(folder):
            if not page:
                continue
            wanted = {"Objects": [{"Key": entry["Key"]} for entry in page], "Quiet": True}
            answer = self._ask(folder, partial(self._client.delete_objects, Bucket=self._bucket, Delete=wanted))
            if answer.get("Errors"):
                first = answer["Errors"][0]
                raise StoreError(
                    f"{self.uri}/{folder}: S3 kept {len(answer['Errors'])} objects, first {first['Key']}: "
                    f"{first['Code']}: check the credentials' right to delete"
                )

    def delete_object(self, key: str) -> None:
        self._ask(key, partial(self._client.delete_object, Bucket=self._bucket, Key=self._key(key)))

    def unfinished_uploads(self) -> Iterator[UnfinishedUpload]:
        within = f"{self._prefix}/" if self._prefix else ""
        wanted = {"Bucket": self._bucket, "Prefix": within}
        while True:
            page = self._ask("", partial(whole_listing, self._client.list_multipart_uploads, **wanted))
            for entry in page.get("Uploads", []):
                yield UnfinishedUpload(
                    entry["Key"].removeprefix(within), entry["UploadId"], entry["Initiated"].timestamp()
                )
            if not page.get("IsTruncated"):
                return
            wanted |= {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def abandon(self, upload: UnfinishedUpload) -> None:
        wanted = {"Bucket": self._bucket, "Key": self._key(upload.key), "UploadId": upload.name}
        self._ask(upload.key, partial(self._client.abort_multipart_upload, **wanted))

    def fetch(self, key: str, into: Path) -> Path:
        local = into / PurePosixPath(key).name
        self._ask(key, lambda: self._client.download_file(self._bucket, self._key(key), str(local)))
        return local

    def filesystem(self) -> pafs.FileSystem:
        keys = self._keys_of_profile()
        if self._filesystem is None or self._filesystem[0] != keys:
            filesystem = self._open_filesystem(keys)
            if self._access.requester_pays:
                self._require_unpaid(filesystem)
            self._filesystem = keys, filesystem
        return self._filesystem[1]

    def _require_unpaid(self, filesystem: pafs.FileSystem) -> None:
        """Arrow's client cannot say that the requester pays, which matters only where the bucket asks for it."""
        try:
            filesystem.get_file_info(self.uri.removeprefix("s3://"))
        except OSError as error:
            raise StoreError(
                f"{self.uri}: S3 does not answer Arrow's own client ({error}); if that is because the requester pays, "
                "which it cannot say, read with Lake.table or a loader, or copy the lake"
            ) from error

    def _open_filesystem(self, keys: Mapping[str, str | None]) -> pafs.FileSystem:
        return pafs.S3FileSystem(
            endpoint_override=self._access.endpoint_url,
            region=self._access.region,
            anonymous=self._access.anonymous,
            connect_timeout=CONNECT_SECONDS,
            request_timeout=ANSWER_SECONDS,
            # Its pauses are by chance, up to half a second doubled at each try and 20 s at most.
            retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=_tries(self._patience_seconds)),
            **keys,
        )

    def _keys_of_profile(self) -> Mapping[str, str | None]:
        """What Arrow's client is to sign with, as of now: boto renews what expires. None of these where no profile is
        chosen in AIS_S3_PROFILE: it knows AWS_PROFILE and AWS_* by itself."""
        if self._access.profile is None or self._access.anonymous:
            return {}
        from boto3.session import Session  # noqa: PLC0415 - a local lake needs no boto

        with self._errors(""):
            if self._credentials is None:
                self._credentials = Session(profile_name=self._access.profile).get_credentials()
            if self._credentials is None:
                raise StoreError(f"the AWS profile {self._access.profile!r} (AIS_S3_PROFILE) has no credentials")
            frozen = self._credentials.get_frozen_credentials()
        return {"access_key": frozen.access_key, "secret_key": frozen.secret_key, "session_token": frozen.token}

    def pinned(self, key: str) -> PinnedS3Object:
        tail = self._ask(key, partial(self._tail, key))
        return PinnedS3Object(tail, partial(self._read_range, key, tail.etag))

    def _read_range(self, key: str, version: str, start: int, end: int) -> bytes:
        """Bytes from `start` to before `end` of this very version. Raises ReplacedError where it is another by now."""
        wanted = {"Range": f"bytes={start}-{end - 1}", "IfMatch": version}
        try:
            return self._ask(key, lambda: self._get(key, **wanted)[1])
        except FileNotFoundError:
            raise ReplacedError(f"{self.uri}/{key}") from None

    def s3_access(self) -> dict[str, str | bool]:
        return self._access.for_loaders()

    def path(self, key: str) -> str:
        return f"{self._bucket}/{self._key(key)}"

    def staging_root(self) -> Path:
        try:
            return own_temporary_folder() / "staging"
        except PermissionError as error:
            raise StoreError(str(error)) from error


def _object_version(etag: str, size: int) -> str:
    """A name for what an object holds: S3's own, which is another one for other content."""
    return hashlib.sha256(f"{etag} {size}".encode()).hexdigest()[:20]


def _tries(patience_seconds: float) -> int:
    """Tries of Arrow's S3 client that last about so long: some of them in the first half minute, then one in 15 s."""
    return 3 + int(min(patience_seconds, 24) // 8 + patience_seconds // 15)


def _reopened(uri: str, access: S3Access, patience_seconds: float) -> S3Store:
    return S3Store(uri, access.client(), access, patience_seconds)


def open_store(
    uri: str | Path,
    s3_client: S3Client | None = None,
    s3_access: S3Access | None = None,
    s3_patience_seconds: float = PATIENCE_SECONDS,
) -> Store:
    """The store at a folder, file:// or s3:// address.

    `s3_client` is a boto3 S3 client; without one it is made as `s3_access` says, or else the standard AWS settings.
    Raises ValueError for another scheme, and for an address that is not clear.
    """
    place = checked_place(str(uri))
    if place.startswith("s3://"):
        client = (s3_access or S3Access()).client() if s3_client is None else s3_client
        return S3Store(place, client, s3_access, s3_patience_seconds)
    if "://" in place:
        raise ValueError(f"{place!r} is neither a folder nor s3://bucket/prefix")
    return LocalStore(Path(place))
