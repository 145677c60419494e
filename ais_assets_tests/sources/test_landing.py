"""Landing a day's archive from a folder, an S3 bucket and a web server, whole or with a clear refusal."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
import zstandard
from boto3.session import Session

from ais_assets.resources.source import SourceResource
from ais_assets.settings import load_settings
from ais_assets.sources.dma import DmaSource
from ais_assets.sources.landing import FileSource, Patience
from ais_assets.sources.marinecadastre import MarineCadastreSource
from ais_assets.sources.nmea import NmeaSource
from ais_assets.sources.source import LandedArchive, SourceError
from ais_assets_tests.s3_server import S3Server
from ais_assets_tests.sources.rows import DAY, HEADER, MAX_BYTES, row
from ais_assets_tests.sources.web_server import (
    WebServer,
    broken_after,
    running_web_server,
    stalled,
    status,
    trickling,
)

HASTY = Patience(attempts=3, timeout_seconds=0.5, pause_seconds=0.01)


def csv_of(day: date) -> bytes:
    return f"{HEADER}\n{row(timestamp=f'{day:%d/%m/%Y} 00:00:00')}\n".encode()


def zip_of(*days: date, name: str = "aisdk-{}.csv") -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for day in days:
            archive.writestr(name.format(day), csv_of(day) * 50)
    return raw.getvalue()


NAME = f"aisdk-{DAY}.zip"
CONTENT = zip_of(DAY)
MONTH = zip_of(date(2024, 2, 29), DAY, date(2024, 3, 2), name="data/aisdk-{}.csv")


def source(uri: object, patience: Patience = HASTY, max_bytes: int = MAX_BYTES) -> DmaSource:
    return DmaSource(str(uri), max_bytes=max_bytes, patience=patience)


def check_member(landed: LandedArchive | None, into: Path) -> None:
    """One day taken out of MONTH, and nothing else left behind."""
    assert landed is not None
    assert landed.uri.endswith(f"#data/aisdk-{DAY}.csv")
    assert [path.name for path in into.iterdir()] == [f"dma-{DAY}.zip"]
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


class TestFolder:
    @pytest.mark.parametrize("scheme", ["", "file://"])
    def test_a_day_is_copied_as_it_is(self, place: Path, into: Path, scheme: str) -> None:
        (place / NAME).write_bytes(CONTENT)
        landed = source(f"{scheme}{place}").land(DAY, into)
        assert landed is not None
        assert landed == LandedArchive(into / NAME, str(place / NAME))
        assert landed.path.read_bytes() == CONTENT
        assert list(into.iterdir()) == [landed.path]

    def test_a_day_that_is_not_there_among_others(self, place: Path, into: Path) -> None:
        (place / NAME).write_bytes(CONTENT)
        assert source(place).published(DAY)
        assert not source(place).published(date(2024, 3, 2))
        assert source(place).land(date(2024, 3, 2), into) is None

    @pytest.mark.parametrize("name", ["aisdk-2024-03.zip", "aisdk_202403.zip"])
    def test_a_day_of_a_month(self, place: Path, into: Path, name: str) -> None:
        (place / name).write_bytes(MONTH)
        check_member(source(place).land(DAY, into), into)

    def test_a_day_that_its_month_lacks(self, place: Path, into: Path) -> None:
        (place / "aisdk-2024-03.zip").write_bytes(MONTH)
        assert source(place).land(date(2024, 3, 5), into) is None
        assert list(into.iterdir()) == []

    def test_a_day_goes_before_its_month(self, place: Path, into: Path) -> None:
        (place / "aisdk-2024-03.zip").write_bytes(MONTH)
        (place / NAME).write_bytes(CONTENT)
        landed = source(place).land(DAY, into)
        assert landed is not None
        assert landed.path.name == NAME

    def test_of_two_forms_of_one_file_the_packed_one(self, place: Path, into: Path) -> None:
        (place / NAME).write_bytes(CONTENT)
        (place / f"aisdk-{DAY}.csv").write_bytes(csv_of(DAY))
        landed = source(place).land(DAY, into)
        assert landed is not None
        assert landed.path.name == NAME

    def test_two_files_of_one_day_are_refused(self, place: Path, into: Path) -> None:
        (place / NAME).write_bytes(CONTENT)
        (place / f"copy-{DAY}.csv").write_bytes(csv_of(DAY))
        with pytest.raises(SourceError, match=rf"several files carry {DAY}.*aisdk-.*copy-.*keep one"):
            source(place).land(DAY, into)

    def test_a_folder_that_is_not_there(self, tmp_path: Path, into: Path) -> None:
        with pytest.raises(SourceError, match=r"nowhere: No such file.*AIS_SOURCE_URI"):
            source(tmp_path / "nowhere").land(DAY, into)

    @pytest.mark.parametrize("names", [[], ["readme.txt", "aisdk.zip"]])
    def test_a_folder_of_other_things(self, place: Path, into: Path, names: list[str]) -> None:
        for name in names:
            (place / name).write_bytes(b"x")
        found = "2 other files, such as 'aisdk.zip'" if names else "no files"
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

    def test_a_file_too_large_is_refused(self, place: Path, into: Path) -> None:
        (place / NAME).write_bytes(CONTENT)
        with pytest.raises(SourceError, match="larger than 100 bytes"):
            source(place, max_bytes=100).land(DAY, into)

    def test_what_lands_can_be_read(self, place: Path, into: Path) -> None:
        (place / "aisdk-2024-03.zip").write_bytes(MONTH)
        feed = source(place)
        landed = feed.land(DAY, into)
        assert landed is not None
        assert sum(table.num_rows for table in feed.read(landed.path, DAY).tables) == 50


def test_an_unknown_scheme(into: Path) -> None:
    with pytest.raises(SourceError, match="scheme 'ftp'"):
        source("ftp://host/folder").land(DAY, into)


class TestS3:
    @staticmethod
    def put(bucket: str, **files: bytes) -> None:
        client = Session().client("s3")
        for name, content in files.items():
            client.put_object(Bucket=bucket, Key=f"ais/{name}", Body=content)

    def test_a_day(self, bucket: str, into: Path) -> None:
        self.put(bucket, **{NAME: CONTENT})
        feed = source(f"s3://{bucket}/ais")
        landed = feed.land(DAY, into)
        assert landed is not None
        assert landed == LandedArchive(into / NAME, f"s3://{bucket}/ais/{NAME}")
        assert landed.path.read_bytes() == CONTENT
        assert list(into.iterdir()) == [landed.path]
        assert feed.land(date(2024, 3, 2), into) is None

    def test_a_day_of_a_month_by_ranges(self, bucket: str, into: Path) -> None:
        self.put(bucket, **{"aisdk-2024-03.zip": MONTH})
        check_member(source(f"s3://{bucket}/ais").land(DAY, into), into)

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
        landed = SourceResource.from_settings(settings).open().land(DAY, into)
        assert landed is not None
        assert landed.path.read_bytes() == CONTENT

    def test_a_server_out_of_reach(self, s3_environment: S3Server, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        with pytest.raises(SourceError, match=r"cannot be reached.*AWS_ENDPOINT_URL"):
            source("s3://bucket/ais", Patience(attempts=1, timeout_seconds=0.5)).land(DAY, into)


class TestWeb:
    def test_a_day(self, web: WebServer, into: Path) -> None:
        web.files[f"/2024/{NAME}"] = CONTENT
        landed = source(f"{web.url}/{{year}}/aisdk-{{day}}.zip").land(DAY, into)
        assert landed is not None
        assert landed == LandedArchive(into / NAME, f"{web.url}/2024/{NAME}")
        assert landed.path.read_bytes() == CONTENT

    def test_a_day_not_published(self, web: WebServer, into: Path) -> None:
        assert source(f"{web.url}/aisdk-{{day}}.zip").land(DAY, into) is None
        assert list(into.iterdir()) == []

    def test_another_form_of_the_day_and_a_name_that_says_nothing(self, web: WebServer, into: Path) -> None:
        web.files["/get"] = CONTENT
        landed = source(f"{web.url}/get?day={{day:%d.%m.%Y}}&token=secret").land(DAY, into)
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
        assert source(f"{web.url}/aisdk-{{month}}.zip").land(DAY, into) is None

    @pytest.mark.parametrize("trouble", [status(429, Retry_After="0"), status(503), status(500), broken_after(0)])
    def test_trouble_that_passes(self, web: WebServer, into: Path, trouble: object) -> None:
        web.files[f"/{NAME}"] = CONTENT
        web.next_answers[f"/{NAME}"] = [trouble, trouble]  # pyright: ignore[reportArgumentType]
        landed = source(f"{web.url}/aisdk-{{day}}.zip").land(DAY, into)
        assert landed is not None
        assert landed.path.read_bytes() == CONTENT
        assert len(web.requests) == 3

    def test_a_download_goes_on_where_it_broke_off(self, web: WebServer, into: Path) -> None:
        web.files[f"/{NAME}"] = CONTENT
        web.next_answers[f"/{NAME}"] = [broken_after(100), broken_after(50)]
        landed = source(f"{web.url}/aisdk-{{day}}.zip").land(DAY, into)
        assert landed is not None
        assert landed.path.read_bytes() == CONTENT
        assert [headers.get("Range") for _, headers in web.requests] == [None, "bytes=100-", "bytes=150-"]

    def test_a_download_begins_anew_where_the_server_gives_no_ranges(self, web: WebServer, into: Path) -> None:
        web.ranges = False
        web.files[f"/{NAME}"] = CONTENT
        web.next_answers[f"/{NAME}"] = [broken_after(100)]
        landed = source(f"{web.url}/aisdk-{{day}}.zip").land(DAY, into)
        assert landed is not None
        assert landed.path.read_bytes() == CONTENT

    def test_trouble_that_stays(self, web: WebServer, into: Path) -> None:
        web.next_answers[f"/{NAME}"] = [status(503)] * 9
        with pytest.raises(SourceError, match=r"answered 503, at the last of 3 tries"):
            source(f"{web.url}/aisdk-{{day}}.zip").land(DAY, into)
        assert len(web.requests) == 3
        assert list(into.iterdir()) == []

    def test_a_server_that_stalls(self, web: WebServer, into: Path) -> None:
        web.files[f"/{NAME}"] = CONTENT
        web.next_answers[f"/{NAME}"] = [stalled(1.0)] * 9
        with pytest.raises(SourceError, match=r"broke off \(.*timed out.*at the last of 2 tries"):
            source(f"{web.url}/aisdk-{{day}}.zip", Patience(2, 0.1, 0.01)).land(DAY, into)

    def test_a_server_that_trickles(self, web: WebServer, into: Path) -> None:
        web.next_answers[f"/{NAME}"] = [trickling(5.0)]
        with pytest.raises(SourceError, match=r"not whole after 0 s"):
            source(f"{web.url}/aisdk-{{day}}.zip", Patience(2, 5.0, 0.01, total_seconds=0.2)).land(DAY, into)

    def test_a_redirect_is_followed(self, web: WebServer, into: Path) -> None:
        web.files["/elsewhere"] = CONTENT
        web.next_answers[f"/{NAME}"] = [status(302, Location=f"{web.url}/elsewhere")]
        landed = source(f"{web.url}/aisdk-{{day}}.zip").land(DAY, into)
        assert landed is not None
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
        assert feed.land(DAY, into) is None

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
        landed = kind(web.url + path, max_bytes=MAX_BYTES, patience=HASTY).land(DAY, into)
        assert landed is not None
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
        with pytest.raises(SourceError, match="does not end as a Parquet file does"):
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
        assert source(web.url.replace("//", "//user:pass@") + "/aisdk-{day}.zip").land(DAY, into) is not None
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
