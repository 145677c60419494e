"""Landing a day's archive from a folder, an S3 bucket and a web server, whole or with a clear refusal."""

from __future__ import annotations

import gzip
import io
import ipaddress
import multiprocessing
import os
import resource
import signal
import ssl
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard
from boto3.session import Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ais_assets.resources.source import SourceResource
from ais_assets.settings import load_settings
from ais_assets.sources.dma import DmaSource
from ais_assets.sources.landing.landing import FileSource
from ais_assets.sources.landing.patience import NotThereError
from ais_assets.sources.landing.s3 import S3Place
from ais_assets.sources.marinecadastre import MarineCadastreSource
from ais_assets.sources.nmea import NmeaSource
from ais_assets.sources.source import LandedArchive, SourceError
from ais_assets.store.patience import Patience
from ais_assets.store.s3_access import S3Access
from ais_assets_tests.patience import PATIENCE_SECONDS
from ais_assets_tests.s3_server import S3Server
from ais_assets_tests.sources.csv_rows import DAY, HEADER, MAX_BYTES, row
from ais_assets_tests.sources.landing.web_server import (
    Answer,
    WebServer,
    broken_after,
    header_without_end,
    never_more_than_continue,
    redirect_with_endless_body,
    running_web_server,
    sent,
    stalled,
    status,
    trickling,
)

HASTY = Patience(attempts=3, timeout_seconds=0.5, pause_seconds=0.01)
IMPATIENT = Patience(attempts=3, timeout_seconds=5.0, pause_seconds=0.01, total_seconds=1.0)


def csv_of(day: date) -> bytes:
    return f"{HEADER}\n{row(timestamp=f'{day:%d/%m/%Y} 00:00:00')}\n".encode()


def zip_of(*days: date, name: str = "aisdk-{}.csv", packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", packing) as archive:
        for day in days:
            archive.writestr(name.format(day), csv_of(day) * (50 if packing == zipfile.ZIP_DEFLATED else 2000))
    return raw.getvalue()


NAME = f"aisdk-{DAY}.zip"
CONTENT = zip_of(DAY)
MONTH = zip_of(date(2024, 2, 29), DAY, date(2024, 3, 2), name="data/aisdk-{}.csv")


def source(uri: object, patience: Patience = HASTY, max_bytes: int = MAX_BYTES) -> DmaSource:
    return DmaSource(str(uri), max_bytes=max_bytes, patience=patience)


def check_member(archives: list[LandedArchive], into: Path) -> None:
    """One day taken out of MONTH, and nothing else left behind."""
    (landed,) = archives
    assert landed.of_day
    assert landed.uri.endswith(f"#data/aisdk-{DAY}.csv")
    assert [path.name for path in into.iterdir()] == [f"dma-001_aisdk-{DAY}.zip"]
    with zipfile.ZipFile(landed.path) as archive:
        assert archive.testzip() is None
        assert archive.read(f"aisdk-{DAY}.csv") == csv_of(DAY) * 50


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


@pytest.fixture
def web() -> Iterator[WebServer]:
    with running_web_server() as server:
        yield server


def _land_with_little_room(uri: str, into: Path) -> str:
    """What is said where no file may become longer than 100 kB, which the system refuses as it does on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        source(uri).land(DAY, into)
    except SourceError as error:
        return str(error)
    return "nothing"


def _self_signed(certificate: Path) -> ssl.SSLContext:
    """For a server on loopback; its certificate is written, which a client has to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
    builder = builder.add_extension(alternative, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    private = certificate.with_suffix(".key")
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    private.write_bytes(key.private_bytes(*plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    return context


def _land(uri: str, folder: Path, into: Path, patience: Patience) -> None:
    DmaSource(uri, max_bytes=MAX_BYTES, patience=patience, unfinished=folder).land(DAY, into)


def _when(found: Callable[[], list[Path]]) -> list[Path]:
    """What is found, once it is."""
    end = time.monotonic() + 60
    while not (paths := found()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return paths


def flipped(content: bytes) -> bytes:
    """One bit of a compressed byte differs."""
    middle = 70
    return content[:middle] + bytes([content[middle] ^ 16]) + content[middle + 1 :]


class TestFolder:
    @pytest.mark.parametrize("scheme", ["", "file://"])
    def test_a_day_is_copied_as_it_is(self, place: Path, into: Path, scheme: str) -> None:
        (place / NAME).write_bytes(CONTENT)
        (landed,) = source(f"{scheme}{place}").land(DAY, into)
        assert landed == LandedArchive(into / NAME, str(place / NAME))
        assert landed.path.read_bytes() == CONTENT
        assert list(into.iterdir()) == [landed.path]

    def test_a_day_that_is_not_there_among_others(self, place: Path, into: Path) -> None:
        (place / NAME).write_bytes(CONTENT)
        assert source(place).published(DAY)
        assert not source(place).published(date(2024, 3, 2))
        assert source(place).land(date(2024, 3, 2), into) == []

    @pytest.mark.parametrize("name", ["aisdk-2024-03.zip", "aisdk_202403.zip"])
    def test_a_day_of_a_month(self, place: Path, into: Path, name: str) -> None:
        (place / name).write_bytes(MONTH)
        check_member(source(place).land(DAY, into), into)

    def test_a_day_that_its_month_lacks(self, place: Path, into: Path) -> None:
        (place / "aisdk-2024-03.zip").write_bytes(MONTH)
        assert source(place).land(date(2024, 3, 5), into) == []
        assert list(into.iterdir()) == []

    def test_a_day_goes_before_its_month(self, place: Path, into: Path) -> None:
        (place / "aisdk-2024-03.zip").write_bytes(MONTH)
        (place / NAME).write_bytes(CONTENT)
        (landed,) = source(place).land(DAY, into)
        assert landed.path.name == NAME

    def test_of_two_forms_of_one_file_the_packed_one(self, place: Path, into: Path) -> None:
        (place / NAME).write_bytes(CONTENT)
        (place / f"aisdk-{DAY}.csv").write_bytes(csv_of(DAY))
        (landed,) = source(place).land(DAY, into)
        assert landed.path.name == NAME

    def test_every_file_of_a_day_is_read(self, place: Path, into: Path) -> None:
        (place / NAME).write_bytes(CONTENT)
        (place / f"copy-{DAY}.csv").write_bytes(csv_of(DAY))
        assert [archive.path.name for archive in source(place).land(DAY, into)] == [NAME, f"copy-{DAY}.csv"]

    def test_a_folder_that_is_not_there(self, tmp_path: Path, into: Path) -> None:
        with pytest.raises(SourceError, match=r"nowhere: No such file.*AIS_SOURCE_URI"):
            source(tmp_path / "nowhere").land(DAY, into)

    @pytest.mark.parametrize("names", [[], ["readme.txt", "aisdk.rar"]])
    def test_a_folder_of_other_things(self, place: Path, into: Path, names: list[str]) -> None:
        for name in names:
            (place / name).write_bytes(b"x")
        found = "2 other files, such as 'aisdk.rar'" if names else "no files"
        with pytest.raises(SourceError, match=rf"holds {found}.*expected names such as aisdk-2024-03-01\.zip"):
            source(place).land(DAY, into)

    @pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
    def test_a_file_cut_off_is_refused_and_not_left_behind(self, place: Path, into: Path, share: float) -> None:
        (place / NAME).write_bytes(CONTENT[: int(len(CONTENT) * share)])
        with pytest.raises(SourceError, match=NAME):
            source(place).land(DAY, into)
        assert list(into.iterdir()) == []

    def test_a_month_cut_off_is_refused(self, place: Path, into: Path) -> None:
        (place / "aisdk-2024-03.zip").write_bytes(MONTH[:-30])
        with pytest.raises(SourceError, match=r"aisdk-2024-03\.zip: not a whole zip"):
            source(place).land(DAY, into)
        assert list(into.iterdir()) == []

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            (NAME, flipped(CONTENT)),
            ("aisdk-2024-03.zip", flipped(zip_of(DAY))),
            (f"aisdk-{DAY}.csv.gz", gzip.compress(csv_of(DAY) * 50)[:100]),
            (f"aisdk-{DAY}.csv.gz", flipped(gzip.compress(csv_of(DAY) * 50))),
        ],
        ids=["zip", "month", "gz cut off", "gz"],
    )
    def test_a_damaged_file_is_refused_before_it_is_stored(
        self, place: Path, into: Path, name: str, content: bytes
    ) -> None:
        (place / name).write_bytes(content)
        with pytest.raises(SourceError, match=rf"{name}.*is damaged near byte.*fetch it again"):
            source(place).land(DAY, into)
        assert list(into.iterdir()) == []

    @pytest.mark.parametrize("damage", [lambda packed: packed[: len(packed) // 2], flipped])
    def test_a_damaged_zstd_file_is_refused_before_it_is_stored(
        self, place: Path, into: Path, damage: Callable[[bytes], bytes]
    ) -> None:
        packed = zstandard.ZstdCompressor(write_checksum=True).compress(csv_of(DAY) * 50)
        (place / f"ais-{DAY}.csv.zst").write_bytes(damage(packed))
        with pytest.raises(SourceError, match=r"\.csv\.zst.*is damaged near byte.*fetch it again"):
            MarineCadastreSource(str(place), max_bytes=MAX_BYTES).land(DAY, into)
        assert list(into.iterdir()) == []

    def test_a_bomb_is_refused_before_it_is_stored(self, place: Path, into: Path) -> None:
        for name in (NAME, "aisdk-2024-03.zip"):
            (place / name).write_bytes(zip_of(DAY))
            with pytest.raises(SourceError, match=r"(larger|more) than 2,000 bytes.*AIS_MAX_ARCHIVE_GIGABYTES"):
                source(place, max_bytes=2000).land(DAY, into)
            (place / name).unlink()
        assert list(into.iterdir()) == []

    def test_the_place_is_listed_once(self, place: Path, into: Path) -> None:
        (place / NAME).write_bytes(CONTENT)
        feed = source(place)
        assert feed.published(DAY)
        (place / "aisdk-2024-03-02.zip").write_bytes(CONTENT)
        assert not feed.published(date(2024, 3, 2))
        assert source(place).published(date(2024, 3, 2))

    def test_a_file_too_large_is_refused(self, place: Path, into: Path) -> None:
        (place / NAME).write_bytes(CONTENT)
        with pytest.raises(SourceError, match="larger than 100 bytes"):
            source(place, max_bytes=100).land(DAY, into)

    def test_what_lands_can_be_read(self, place: Path, into: Path) -> None:
        (place / "aisdk-2024-03.zip").write_bytes(MONTH)
        feed = source(place)
        (landed,) = feed.land(DAY, into)
        assert sum(table.num_rows for table in feed.read(landed.path, DAY).tables) == 50


def test_an_unknown_scheme(into: Path) -> None:
    with pytest.raises(SourceError, match="scheme 'ftp'"):
        source("ftp://host/folder").land(DAY, into)


class TestUnfinished:
    """Downloads that a run which ended left behind."""

    @staticmethod
    def feed(uri: str, folder: Path, patience: Patience = HASTY) -> DmaSource:
        return DmaSource(uri, max_bytes=MAX_BYTES, patience=patience, unfinished=folder)

    @staticmethod
    def asked(web: WebServer) -> list[str | None]:
        return [headers.get("Range") for path, headers in web.requests if NAME in path]

    def given_up(self, web: WebServer, into: Path, uri: str) -> Path:
        """A folder with the first 150 bytes of NAME, by a source that stopped trying."""
        folder = into.parent / "unfinished"
        web.next_answers[f"/{NAME}"] = [broken_after(100), broken_after(50), status(503), status(503)]
        with pytest.raises(SourceError, match="answered 503, at the last of 3 tries"):
            self.feed(uri, folder).land(DAY, into)
        assert list(into.iterdir()) == []
        web.requests.clear()
        return folder

    def test_are_gone_on_with(self, web: WebServer, into: Path) -> None:
        web.files[f"/{NAME}"] = CONTENT
        uri = f"{web.url}/aisdk-{{day}}.zip"
        folder = self.given_up(web, into, uri)
        (landed,) = self.feed(uri, folder).land(DAY, into)
        assert landed == LandedArchive(into / NAME, f"{web.url}/{NAME}")
        assert landed.path.read_bytes() == CONTENT
        assert self.asked(web) == ["bytes=150-"]
        assert {path.suffix for path in folder.iterdir()} == {".lock"}

    def test_of_another_file_are_begun_anew(self, web: WebServer, into: Path) -> None:
        """The server answers with the whole file where its entity tag is not the one that was begun."""
        web.files[f"/{NAME}"] = CONTENT
        uri = f"{web.url}/aisdk-{{day}}.zip"
        folder = self.given_up(web, into, uri)
        web.etag = '"2"'
        web.files[f"/{NAME}"] = other = zip_of(DAY, name="aisdk-{}-corrected.csv")
        (landed,) = self.feed(uri, folder).land(DAY, into)
        assert landed.path.read_bytes() == other
        assert self.asked(web) == ["bytes=150-"]

    @pytest.mark.parametrize("damage", ["no note", "half a note", "longer than the file", "of other bytes"])
    def test_that_are_damaged_are_never_taken_for_the_file(self, web: WebServer, into: Path, damage: str) -> None:
        web.files[f"/{NAME}"] = CONTENT
        uri = f"{web.url}/aisdk-{{day}}.zip"
        folder = self.given_up(web, into, uri)
        (begun,) = (path for path in folder.iterdir() if not path.suffix)
        note = begun.with_name(f"{begun.name}.json")
        if damage == "no note":
            note.unlink()
        elif damage == "half a note":
            note.write_text(note.read_text()[:10])
        elif damage == "longer than the file":
            begun.write_bytes(bytes(len(CONTENT) + 1))
        else:
            begun.write_bytes(bytes(150))
            with pytest.raises(SourceError, match="is refused"):
                self.feed(uri, folder).land(DAY, into)
        (landed,) = self.feed(uri, folder).land(DAY, into)
        assert landed.path.read_bytes() == CONTENT

    def test_of_a_killed_run_are_gone_on_with(self, web: WebServer, into: Path) -> None:
        web.files[f"/{NAME}"] = content = zip_of(DAY, packing=zipfile.ZIP_STORED)
        web.next_answers[f"/{NAME}"] = [stalled(30.0, after=10_000)]
        folder = into.parent / "unfinished"
        uri = f"{web.url}/aisdk-{{day}}.zip"
        patient = Patience(timeout_seconds=60.0)
        run = multiprocessing.get_context("spawn").Process(target=_land, args=(uri, folder, into, patient))
        run.start()
        (begun,) = _when(lambda: [path for path in folder.glob("*") if not path.suffix and path.stat().st_size])
        # While that run is at it, another gets the file for itself.
        alone = into.parent / "alone"
        alone.mkdir()
        (landed,) = self.feed(uri, folder).land(DAY, alone)
        assert landed.path.read_bytes() == content
        run.kill()
        run.join(timeout=PATIENCE_SECONDS)
        assert run.exitcode == -signal.SIGKILL
        size = begun.stat().st_size
        assert 0 < size < len(content)
        (landed,) = self.feed(uri, folder).land(DAY, into)
        assert landed.path.read_bytes() == content
        assert self.asked(web) == [None, None, f"bytes={size}-"]

    @pytest.mark.parametrize(
        ("now", "asked"),
        [(CONTENT, ["bytes=150-"]), (zip_of(DAY, name="aisdk-{}-corrected.csv"), ["bytes=150-", None])],
        ids=["the same", "another"],
    )
    def test_of_an_object_of_s3(
        self,
        bucket: str,
        s3_server: S3Server,
        web: WebServer,
        into: Path,
        monkeypatch: pytest.MonkeyPatch,
        now: bytes,
        asked: list[str | None],
    ) -> None:
        client = Session().client("s3")
        client.put_object(Bucket=bucket, Key=f"ais/{NAME}", Body=CONTENT)
        web.behind = s3_server.endpoint.removeprefix("http://")
        monkeypatch.setenv("AWS_ENDPOINT_URL", web.url)
        web.next_answers[f"/{bucket}/ais/{NAME}"] = [broken_after(150), status(503), status(503)]
        folder = into.parent / "unfinished"
        with pytest.raises(SourceError, match="S3 answered 503"):
            self.feed(f"s3://{bucket}/ais", folder).land(DAY, into)
        client.put_object(Bucket=bucket, Key=f"ais/{NAME}", Body=now)
        web.requests.clear()
        (landed,) = self.feed(f"s3://{bucket}/ais", folder).land(DAY, into)
        assert landed.path.read_bytes() == now
        assert self.asked(web) == asked

    def test_of_the_settings_are_in_the_cache(self, web: WebServer, into: Path) -> None:
        web.files[f"/{NAME}"] = CONTENT
        settings = load_settings(source="dma", source_uri=f"{web.url}/aisdk-{{day}}.zip", cache=into.parent / "cache")
        assert SourceResource.from_settings(settings).open().land(DAY, into)
        assert len(list((into.parent / "cache" / "landing").glob(f"{DAY}-*"))) == 1


class TestS3:
    @staticmethod
    def put(bucket: str, **files: bytes) -> None:
        client = Session().client("s3")
        for name, content in files.items():
            client.put_object(Bucket=bucket, Key=f"ais/{name}", Body=content)

    def test_a_day(self, bucket: str, into: Path) -> None:
        self.put(bucket, **{NAME: CONTENT})
        feed = source(f"s3://{bucket}/ais")
        (landed,) = feed.land(DAY, into)
        assert landed == LandedArchive(into / NAME, f"s3://{bucket}/ais/{NAME}")
        assert landed.path.read_bytes() == CONTENT
        assert list(into.iterdir()) == [landed.path]
        assert feed.land(date(2024, 3, 2), into) == []

    def test_a_day_of_a_month_by_ranges(self, bucket: str, into: Path) -> None:
        self.put(bucket, **{"aisdk-2024-03.zip": MONTH})
        check_member(source(f"s3://{bucket}/ais").land(DAY, into), into)

    def test_a_place_that_is_listed_in_many_pages(
        self, bucket: str, into: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As S3 lists a thousand at a time, here two."""
        days = [DAY + timedelta(days=number) for number in range(5)]
        self.put(bucket, **{f"aisdk-{day}.zip": zip_of(day) for day in days})
        call = S3Place._call

        def few(self: S3Place, operation: str, where: str, **wanted: Any) -> dict[str, Any]:
            return call(self, operation, where, **wanted, **({"MaxKeys": 2} if "list" in operation else {}))

        monkeypatch.setattr(S3Place, "_call", few)
        feed = source(f"s3://{bucket}/ais")
        assert [feed.land(day, into)[0].path.name for day in days] == [f"aisdk-{day}.zip" for day in days]

    @pytest.mark.parametrize("other", [MONTH[:-30], b"x" * len(MONTH), b""])
    def test_an_object_that_is_replaced_while_it_is_read_here_and_there(
        self, bucket: str, into: Path, other: bytes
    ) -> None:
        self.put(bucket, **{"aisdk-2024-03.zip": MONTH})
        with S3Place(f"s3://{bucket}/ais", S3Access(), HASTY).open("aisdk-2024-03.zip", into, MAX_BYTES) as file:
            assert file.read(30) == MONTH[:30]
            self.put(bucket, **{"aisdk-2024-03.zip": other})
            file.seek(-30, os.SEEK_END)
            with pytest.raises(SourceError, match=r"aisdk-2024-03\.zip: was replaced while it was being read"):
                file.read(2)
            Session().client("s3").delete_object(Bucket=bucket, Key="ais/aisdk-2024-03.zip")
            with pytest.raises(NotThereError):
                file.read(2)

    def test_an_empty_prefix(self, bucket: str, into: Path) -> None:
        with pytest.raises(SourceError, match=r"holds no files.*expected names"):
            source(f"s3://{bucket}/ais").land(DAY, into)

    def test_no_such_bucket(self, s3_environment: S3Server, into: Path) -> None:
        with pytest.raises(SourceError, match=r"s3://no-such-bucket-here/ais: S3 answered NoSuchBucket"):
            source("s3://no-such-bucket-here/ais").land(DAY, into)

    def test_a_wrong_key_is_refused_and_not_shown(
        self, bucket: str, into: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
        with pytest.raises(SourceError, match="SignatureDoesNotMatch") as caught:
            source(f"s3://{bucket}/ais").land(DAY, into)
        assert "not-the-secret" not in str(caught.value)

    def test_the_settings_of_s3_reach_the_source(
        self, bucket: str, s3_server: S3Server, into: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """AIS_S3_ENDPOINT_URL, AIS_S3_REGION and AIS_S3_PROFILE, without any AWS_* address or key."""
        self.put(bucket, **{NAME: CONTENT})
        for name in s3_server.environment():
            monkeypatch.delenv(name)
        credentials = into.parent / "credentials"
        credentials.write_text(
            f"[feed]\naws_access_key_id = {s3_server.access_key}\naws_secret_access_key = {s3_server.secret_key}\n"
        )
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
        monkeypatch.setenv("AIS_S3_ENDPOINT_URL", s3_server.endpoint)
        monkeypatch.setenv("AIS_S3_REGION", "us-east-1")
        monkeypatch.setenv("AIS_S3_PROFILE", "feed")
        settings = load_settings(source="dma", source_uri=f"s3://{bucket}/ais")
        (landed,) = SourceResource.from_settings(settings).open().land(DAY, into)
        assert landed.path.read_bytes() == CONTENT

    def test_the_certificates_that_aws_names_are_trusted(
        self, bucket: str, s3_server: S3Server, into: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """AWS_CA_BUNDLE, as a company's own S3 needs it."""
        self.put(bucket, **{NAME: CONTENT})
        certificate = into.parent / "certificate.pem"
        with running_web_server(_self_signed(certificate)) as web:
            web.behind = s3_server.endpoint.removeprefix("http://")
            monkeypatch.setenv("AWS_ENDPOINT_URL", web.url)
            with pytest.raises(SourceError, match="certificate verify failed"):
                source(f"s3://{bucket}/ais").land(DAY, into)
            monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
            (landed,) = source(f"s3://{bucket}/ais").land(DAY, into)
        assert landed.path.read_bytes() == CONTENT

    @pytest.fixture
    def relay(self, bucket: str, s3_server: S3Server, web: WebServer, monkeypatch: pytest.MonkeyPatch) -> WebServer:
        """A server that can misbehave before the real one, where NAME is."""
        self.put(bucket, **{NAME: CONTENT})
        web.behind = s3_server.endpoint.removeprefix("http://")
        monkeypatch.setenv("AWS_ENDPOINT_URL", web.url)
        return web

    def test_an_object_that_breaks_off_goes_on(self, relay: WebServer, bucket: str, into: Path) -> None:
        relay.next_answers[f"/{bucket}/ais/{NAME}"] = [broken_after(100), status(503), broken_after(50)]
        (landed,) = source(f"s3://{bucket}/ais").land(DAY, into)
        assert landed.path.read_bytes() == CONTENT
        asked = [headers.get("Range") for path, headers in relay.requests if NAME in path]
        assert asked == [None, "bytes=100-", "bytes=100-", "bytes=150-"]

    def test_an_object_that_stays_cut_off(self, relay: WebServer, bucket: str, into: Path) -> None:
        relay.next_answers[f"/{bucket}/ais/{NAME}"] = [broken_after(0)] * 9
        with pytest.raises(SourceError, match=rf"s3://.*{NAME}: broke off after 0 of .* bytes, at the last of 3 tries"):
            source(f"s3://{bucket}/ais").land(DAY, into)
        assert list(into.iterdir()) == []

    @pytest.mark.parametrize("endless", [trickling, header_without_end, never_more_than_continue])
    @pytest.mark.parametrize("what", ["object", "listing"])
    def test_a_server_that_does_not_come_to_an_end(
        self, relay: WebServer, bucket: str, into: Path, endless: Callable[[float], Answer], what: str
    ) -> None:
        relay.next_answers[f"/{bucket}/ais/{NAME}" if what == "object" else f"/{bucket}"] = [endless(5.0)] * 2
        with pytest.raises(SourceError, match=r"s3://.*: not whole after 1 s"):
            source(f"s3://{bucket}/ais", IMPATIENT).land(DAY, into)
        assert list(into.iterdir()) == []

    def test_an_object_too_large_is_refused(self, bucket: str, into: Path) -> None:
        self.put(bucket, **{NAME: CONTENT})
        with pytest.raises(SourceError, match="larger than 100 bytes"):
            source(f"s3://{bucket}/ais", max_bytes=100).land(DAY, into)

    def test_a_server_out_of_reach(self, s3_environment: S3Server, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        with pytest.raises(SourceError, match=r"cannot be reached.*AWS_ENDPOINT_URL"):
            source("s3://bucket/ais", Patience(attempts=1, timeout_seconds=0.5)).land(DAY, into)


class TestWeb:
    def test_a_day(self, web: WebServer, into: Path) -> None:
        web.files[f"/2024/{NAME}"] = CONTENT
        (landed,) = source(f"{web.url}/{{year}}/aisdk-{{day}}.zip").land(DAY, into)
        assert landed == LandedArchive(into / NAME, f"{web.url}/2024/{NAME}")
        assert landed.path.read_bytes() == CONTENT

    def test_a_day_not_published(self, web: WebServer, into: Path) -> None:
        assert source(f"{web.url}/aisdk-{{day}}.zip").land(DAY, into) == []
        assert list(into.iterdir()) == []

    def test_another_form_of_the_day_and_a_name_that_says_nothing(self, web: WebServer, into: Path) -> None:
        web.files["/get"] = CONTENT
        (landed,) = source(f"{web.url}/get?day={{day:%d.%m.%Y}}&token=secret").land(DAY, into)
        assert landed == LandedArchive(into / f"dma-{DAY}.zip", f"{web.url}/get")
        assert web.requests[0][0] == "/get?day=01.03.2024&token=secret"

    @pytest.mark.parametrize("ranges", [True, False])
    def test_a_day_of_a_month(self, web: WebServer, into: Path, ranges: bool) -> None:
        web.ranges = ranges
        web.files["/aisdk-2024-03.zip"] = MONTH
        check_member(source(f"{web.url}/aisdk-{{month}}.zip").land(DAY, into), into)
        whole = [path for path, headers in web.requests if "Range" not in headers]
        assert len(whole) == (0 if ranges else 1)

    def test_a_month_not_published(self, web: WebServer, into: Path) -> None:
        assert source(f"{web.url}/aisdk-{{month}}.zip").land(DAY, into) == []

    @pytest.mark.parametrize("trouble", [status(429, Retry_After="0"), status(503), status(500), broken_after(0)])
    def test_trouble_that_passes(self, web: WebServer, into: Path, trouble: object) -> None:
        web.files[f"/{NAME}"] = CONTENT
        web.next_answers[f"/{NAME}"] = [trouble, trouble]  # pyright: ignore[reportArgumentType]
        (landed,) = source(f"{web.url}/aisdk-{{day}}.zip").land(DAY, into)
        assert landed.path.read_bytes() == CONTENT
        assert len(web.requests) == 3

    def test_a_download_goes_on_where_it_broke_off(self, web: WebServer, into: Path) -> None:
        web.files[f"/{NAME}"] = CONTENT
        web.next_answers[f"/{NAME}"] = [broken_after(100), broken_after(50)]
        (landed,) = source(f"{web.url}/aisdk-{{day}}.zip").land(DAY, into)
        assert landed.path.read_bytes() == CONTENT
        assert [headers.get("Range") for _, headers in web.requests] == [None, "bytes=100-", "bytes=150-"]

    def test_a_download_begins_anew_where_the_server_gives_no_ranges(self, web: WebServer, into: Path) -> None:
        web.ranges = False
        web.files[f"/{NAME}"] = CONTENT
        web.next_answers[f"/{NAME}"] = [broken_after(100)]
        (landed,) = source(f"{web.url}/aisdk-{{day}}.zip").land(DAY, into)
        assert landed.path.read_bytes() == CONTENT

    def test_trouble_that_stays(self, web: WebServer, into: Path) -> None:
        web.next_answers[f"/{NAME}"] = [status(503)] * 9
        with pytest.raises(SourceError, match=r"answered 503, at the last of 3 tries"):
            source(f"{web.url}/aisdk-{{day}}.zip").land(DAY, into)
        assert len(web.requests) == 3
        assert list(into.iterdir()) == []

    def test_a_server_that_stalls(self, web: WebServer, into: Path) -> None:
        web.ranges = False
        web.files[f"/{NAME}"] = CONTENT
        web.next_answers[f"/{NAME}"] = [stalled(1.0)] * 9
        with pytest.raises(SourceError, match=r"broke off \(.*timed out.*at the last of 2 tries"):
            source(f"{web.url}/aisdk-{{day}}.zip", Patience(2, 0.1, 0.01)).land(DAY, into)

    @pytest.mark.parametrize("endless", [trickling, header_without_end, never_more_than_continue])
    def test_a_server_that_does_not_come_to_an_end(
        self, web: WebServer, into: Path, endless: Callable[[float], Answer]
    ) -> None:
        web.files[f"/{NAME}"] = CONTENT
        web.next_answers[f"/{NAME}"] = [endless(5.0)]
        with pytest.raises(SourceError, match=r"not whole after 1 s"):
            source(f"{web.url}/aisdk-{{day}}.zip", IMPATIENT).land(DAY, into)
        assert list(into.iterdir()) == []

    def test_what_comes_with_a_redirect_is_not_read(self, web: WebServer, into: Path) -> None:
        web.files["/elsewhere"] = CONTENT
        web.next_answers[f"/{NAME}"] = [redirect_with_endless_body(5.0, "/elsewhere")]
        (landed,) = source(f"{web.url}/aisdk-{{day}}.zip", IMPATIENT).land(DAY, into)
        assert landed.path.read_bytes() == CONTENT

    def test_a_server_that_asks_to_wait_longer_than_there_is_time(self, web: WebServer, into: Path) -> None:
        later = format_datetime(datetime.now(UTC) + timedelta(minutes=1), usegmt=True)
        web.files[f"/{NAME}"] = CONTENT
        web.next_answers[f"/{NAME}"] = [status(503, Retry_After=later)]
        with pytest.raises(SourceError, match=r"not whole after 1 s"):
            source(f"{web.url}/aisdk-{{day}}.zip", IMPATIENT).land(DAY, into)
        assert len(web.requests) == 1

    @pytest.mark.parametrize("name", [NAME, f"aisdk-{DAY}.csv"])
    @pytest.mark.parametrize("start", [0, 50, 120])
    def test_a_part_that_was_not_asked_for_is_not_appended(
        self, web: WebServer, into: Path, name: str, start: int
    ) -> None:
        content = CONTENT if name == NAME else csv_of(DAY) * 9
        part = content[start:]
        head = f"Content-Range: bytes {start}-{len(content) - 1}/{len(content)}\nContent-Length: {len(part)}"
        web.files[f"/{name}"] = content
        web.next_answers[f"/{name}"] = [broken_after(100), sent(f'HTTP/1.1 206 Partial\nETag: "1"\n{head}', part)]
        (landed,) = source(f"{web.url}/{name.replace(str(DAY), '{day}')}").land(DAY, into)
        assert landed.path.read_bytes() == content
        assert web.requests[-1][1].get("Range") is None

    @pytest.mark.parametrize(
        "said", ["bytes 100-199/200", "bytes 100-199", "bytes */200", "", "bytes 100-199/1000", "items 100-199/200"]
    )
    def test_a_part_of_another_file_or_of_nothing_known_is_not_appended(
        self, web: WebServer, into: Path, said: str
    ) -> None:
        name, content = f"aisdk-{DAY}.csv", csv_of(DAY) * 9
        head = f"HTTP/1.1 206 Partial\nContent-Range: {said}\nContent-Length: 100"
        web.files[f"/{name}"] = content
        web.next_answers[f"/{name}"] = [broken_after(100), sent(head, b"x" * 100)]
        (landed,) = source(f"{web.url}/aisdk-{{day}}.csv").land(DAY, into)
        assert landed.path.read_bytes() == content

    @pytest.mark.parametrize("extra", [0, 1])
    def test_nothing_is_left_to_send(self, web: WebServer, into: Path, extra: int) -> None:
        """The last chunk is lost: the server has no more bytes, or another file of one byte more by now."""
        chunk = f"{len(CONTENT):x}\r\n".encode() + CONTENT + b"\r\n"
        web.files[f"/{NAME}"] = CONTENT
        web.next_answers[f"/{NAME}"] = [
            sent('HTTP/1.1 200 OK\nETag: "1"\nTransfer-Encoding: chunked', chunk),
            status(416, Content_Range=f"bytes */{len(CONTENT) + extra}"),
        ]
        (landed,) = source(f"{web.url}/aisdk-{{day}}.zip").land(DAY, into)
        assert landed.path.read_bytes() == CONTENT
        assert len(web.requests) == 2 + extra

    def test_a_download_that_gets_further_every_time_may_break_off_often(self, web: WebServer, into: Path) -> None:
        web.files[f"/{NAME}"] = CONTENT
        web.next_answers[f"/{NAME}"] = [broken_after(20)] * 12
        (landed,) = source(f"{web.url}/aisdk-{{day}}.zip").land(DAY, into)
        assert landed.path.read_bytes() == CONTENT

    def test_a_download_that_begins_anew_every_time_may_not(self, web: WebServer, into: Path) -> None:
        web.files[f"/{NAME}"] = CONTENT
        head = f'HTTP/1.1 200 OK\nETag: "1"\nContent-Length: {len(CONTENT)}'
        web.next_answers[f"/{NAME}"] = [sent(head, CONTENT[:100])] * 12
        with pytest.raises(SourceError, match=rf"broke off after 100 of {len(CONTENT)} bytes, at the last of 3 tries"):
            source(f"{web.url}/aisdk-{{day}}.zip").land(DAY, into)

    @pytest.mark.parametrize(("age", "resumed"), [(60, True), (0, False)])
    def test_a_date_of_change_will_do_to_go_on(self, web: WebServer, into: Path, age: int, resumed: bool) -> None:
        now = datetime.now(UTC)
        dates = [format_datetime(now - timedelta(seconds=seconds), usegmt=True) for seconds in (age, 0)]
        head = f"HTTP/1.1 200 OK\nLast-Modified: {dates[0]}\nDate: {dates[1]}\nContent-Length: {len(CONTENT)}"
        web.files[f"/{NAME}"] = CONTENT
        web.next_answers[f"/{NAME}"] = [sent(head, CONTENT[:100])]
        (landed,) = source(f"{web.url}/aisdk-{{day}}.zip").land(DAY, into)
        assert landed.path.read_bytes() == CONTENT
        assert web.requests[1][1].get("If-Range") == (dates[0] if resumed else None)

    def test_a_body_packed_for_the_way_is_refused(self, web: WebServer, into: Path) -> None:
        packed = gzip.compress(csv_of(DAY))
        head = f"HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: {len(packed)}"
        for suffix in ("csv", "csv.gz"):
            web.next_answers[f"/aisdk-{DAY}.{suffix}"] = [sent(head, packed)]
        with pytest.raises(SourceError, match=r"\.csv: the server packs what it sends \(Content-Encoding: gzip\)"):
            source(f"{web.url}/aisdk-{{day}}.csv").land(DAY, into)
        assert web.requests[0][1]["Accept-Encoding"] == "identity"
        # Some servers say so of a file that is packed anyway.
        (landed,) = source(f"{web.url}/aisdk-{{day}}.csv.gz").land(DAY, into)
        assert landed.path.read_bytes() == packed

    def test_a_folder_to_land_in_that_is_not_there_is_no_unpublished_day(self, web: WebServer, into: Path) -> None:
        web.files[f"/{NAME}"] = CONTENT
        with pytest.raises(SourceError, match=rf"{NAME}: cannot be brought to .*nowhere .*No such file"):
            source(f"{web.url}/aisdk-{{day}}.zip").land(DAY, into / "nowhere")

    def test_a_disk_that_is_full(self, web: WebServer, into: Path) -> None:
        web.files[f"/aisdk-{DAY}.csv"] = csv_of(DAY) * 20_000
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            said = pool.apply(_land_with_little_room, (f"{web.url}/aisdk-{{day}}.csv", into))
        assert f"/aisdk-{DAY}.csv: cannot be brought to {into} (" in said
        assert "File too large" in said
        assert "see that the disk has room" in said
        assert list(into.iterdir()) == []

    def test_a_redirect_is_followed(self, web: WebServer, into: Path) -> None:
        web.files["/elsewhere"] = CONTENT
        web.next_answers[f"/{NAME}"] = [status(302, Location=f"{web.url}/elsewhere")]
        (landed,) = source(f"{web.url}/aisdk-{{day}}.zip").land(DAY, into)
        assert landed.path.name == NAME

    @pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
    def test_a_redirect_elsewhere_than_the_web_is_not(self, web: WebServer, into: Path, target: str) -> None:
        web.next_answers[f"/{NAME}"] = [status(302, Location=target)]
        with pytest.raises(SourceError, match=NAME):
            source(f"{web.url}/aisdk-{{day}}.zip").land(DAY, into)

    def test_a_day_withdrawn_is_told_apart_from_one_not_published(self, web: WebServer, into: Path) -> None:
        web.next_answers[f"/{NAME}"] = [status(410)]
        feed = source(f"{web.url}/aisdk-{{day}}.zip")
        with pytest.raises(SourceError, match=r"aisdk-2024-03-01\.zip: was withdrawn for good \(410"):
            feed.land(DAY, into)
        assert feed.land(DAY, into) == []

    def test_whether_a_day_is_published_is_asked_with_one_byte(self, web: WebServer) -> None:
        feed = source(f"{web.url}/aisdk-{{day}}.zip")
        assert not feed.published(DAY)
        web.files[f"/{NAME}"] = CONTENT
        web.next_answers[f"/{NAME}"] = [status(503)]
        assert feed.published(DAY)
        assert [headers["Range"] for _, headers in web.requests] == ["bytes=0-0"] * 3

    @pytest.mark.parametrize(
        ("kind", "path", "name"),
        [
            (MarineCadastreSource, "/ais-{day}.csv.zst", "ais-2024-03-01.csv.zst"),
            (MarineCadastreSource, "/get?day={day}", "marinecadastre-2024-03-01.csv.zst"),
            (NmeaSource, "/{day}.log.zst", "2024-03-01.log.zst"),
            (NmeaSource, "/get?day={day}", "nmea-2024-03-01.nmea.zst"),
        ],
    )
    def test_every_source_lands_in_the_same_way(
        self, web: WebServer, into: Path, kind: type[FileSource], path: str, name: str
    ) -> None:
        """A download that breaks off goes on; a name that says nothing is made from what came."""
        address = path.format(day=DAY).partition("?")[0]
        web.files[address] = zstandard.compress(CONTENT)
        web.next_answers[address] = [status(503), status(429)]
        (landed,) = kind(web.url + path, max_bytes=MAX_BYTES, patience=HASTY).land(DAY, into)
        assert landed.path.name == name
        assert zstandard.decompress(landed.path.read_bytes()) == CONTENT

    def test_a_packing_that_the_source_does_not_have(self, web: WebServer, into: Path) -> None:
        web.files["/get"] = zstandard.compress(CONTENT)
        with pytest.raises(SourceError, match=r"is a \.zst file, which source 'dma' does not have; it has \.zip"):
            source(f"{web.url}/get?day={{day}}").land(DAY, into)
        assert list(into.iterdir()) == []

    def test_a_parquet_file_cut_off_is_refused(self, web: WebServer, into: Path) -> None:
        web.files[f"/{DAY}.parquet"] = b"PAR1 and then nothing"
        feed = MarineCadastreSource(f"{web.url}/{{day}}.parquet", max_bytes=MAX_BYTES, patience=HASTY)
        with pytest.raises(SourceError, match="is not a whole Parquet file"):
            feed.land(DAY, into)
        assert list(into.iterdir()) == []

    def test_a_page_instead_of_a_zip(self, web: WebServer, into: Path) -> None:
        web.files[f"/{NAME}"] = b"<html>come back later</html>"
        with pytest.raises(SourceError, match="not a whole zip archive"):
            source(f"{web.url}/aisdk-{{day}}.zip").land(DAY, into)
        assert list(into.iterdir()) == []

    def test_more_than_allowed(self, web: WebServer, into: Path) -> None:
        web.files[f"/{NAME}"] = CONTENT
        with pytest.raises(SourceError, match="larger than 100 bytes"):
            source(f"{web.url}/aisdk-{{day}}.zip", max_bytes=100).land(DAY, into)

    def test_credentials_are_sent_and_never_shown(self, web: WebServer, into: Path) -> None:
        address = web.url.replace("http://", "http://user:p%40ss@")
        web.next_answers[f"/{NAME}"] = [status(401)]
        with pytest.raises(SourceError, match=r"answered 401.*check the credentials") as caught:
            source(f"{address}/aisdk-{{day}}.zip?token=secret").land(DAY, into)
        assert web.requests[0][1]["Authorization"] == "Basic dXNlcjpwQHNz"
        assert not [word for word in ("user", "p%40ss", "p@ss", "secret") if word in str(caught.value)]

    def test_credentials_do_not_follow_a_redirect(self, web: WebServer, into: Path) -> None:
        web.files["/elsewhere"] = CONTENT
        web.next_answers[f"/{NAME}"] = [status(302, Location=f"http://localhost:{web.port}/elsewhere")]
        assert source(web.url.replace("//", "//user:pass@") + "/aisdk-{day}.zip").land(DAY, into)
        assert "Authorization" not in web.requests[1][1]

    def test_nobody_there(self, into: Path) -> None:
        with pytest.raises(SourceError, match=r"127\.0\.0\.1:1/.*cannot be reached.*at the last of 3 tries"):
            source("http://127.0.0.1:1/aisdk-{day}.zip").land(DAY, into)

    @pytest.mark.parametrize(
        "path",
        ["/aisdk.zip", "/{date}.zip", "/{year}/{day}-{x}.zip", "/{day.__class__}", "/{}", "/{day", "/{day:{year}}"],
    )
    def test_a_template_that_names_no_date(self, into: Path, path: str) -> None:
        with pytest.raises(SourceError, match=r"needs \{day\} or \{month\}"):
            source(f"http://127.0.0.1:1{path}").land(DAY, into)
