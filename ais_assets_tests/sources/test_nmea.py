"""Logs of AIVDM and AIVDO sentences, beside pyais' own reading of them."""

from __future__ import annotations

import gzip
import itertools
import random
import statistics
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, ClassVar

import pyais
import pyarrow as pa
import pytest
import zstandard
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pyais.messages import AISSentence
from pyais.util import checksum

from ais_assets import schema
from ais_assets.io.views import in_degrees_and_knots
from ais_assets.sources import nmea
from ais_assets.sources.nmea import RECEPTION_SECONDS, REJECTS, NmeaSource, UnusableMessageError, report
from ais_assets.sources.rows import day_log
from ais_assets.sources.rows.archive import packing_of
from ais_assets.sources.rows.sentences import MOST_LINES_APART, Message, MessageReader
from ais_assets.sources.source import SourceError
from ais_assets_tests.sources.csv_rows import MAX_BYTES

DAY = date(2024, 3, 1)
NOON = datetime(2024, 3, 1, 12, 0, 1, tzinfo=UTC)
SECONDS = int(NOON.timestamp())
LOGS = (
    "AisLib__stream_example.txt",
    "SignalK__nais400-merrimac.log",
    "aduvenhage__test_ais_data.log",
    "cvagner__norwegian.raw",
    "pyais__nmea_data_sample.txt",
)
POSITION = "!AIVDM,1,1,,B,13aGua?P00PHfERNFruh0?vN289E,0*35"
PART_1 = "!AIVDM,2,1,2,A,53aGE04000010C;7CV0dtDLDiLTD<f222222220`0hN4540Ht3U1DThj1C2C,0*17"
PART_2 = "!AIVDM,2,2,2,A,Qp888888880,2*07"


def tagged(sentence: str, tags: str = f"c:{SECONDS}") -> str:
    return f"\\{tags}*{checksum(tags.encode()):02X}\\{sentence}"


def encoded(**fields: Any) -> str:
    """One message as pyais writes it, in a line with a time."""
    return "\n".join(tagged(sentence) for sentence in pyais.encode_dict(fields, talker_id="AI", sentence_type="VDM"))


def write(folder: Path, lines: Iterable[str | bytes], newline: bytes = b"\n") -> Path:
    path = folder / f"station-{DAY}.log"
    raw = (line.encode() if isinstance(line, str) else line for line in lines)
    path.write_bytes(b"".join(line + newline for line in raw))
    return path


def read(path: Path, day: date = DAY) -> tuple[pa.Table, dict[str, int], list[dict[str, Any]]]:
    """All records, what is counted beside them, and the rejects."""
    stream = NmeaSource(str(path.parent), max_bytes=MAX_BYTES).read(path, day)
    stored = pa.Table.from_batches([b for t in stream.tables for b in t.to_batches()], stream.schema)
    table = in_degrees_and_knots(stored)
    table.validate(full=True)
    stream.ledger.balance(path.name)
    assert stream.ledger.rows_out == table.num_rows
    counts = {name: count for name, count in {**stream.ledger.dropped, **stream.ledger.notes}.items() if count}
    return table, counts, stream.facts["rejects"]


def one(folder: Path, *lines: str | bytes) -> tuple[dict[str, Any], dict[str, int]]:
    table, counts, _ = read(write(folder, lines))
    assert table.num_rows == 1
    return {name: value for name, value in table.to_pylist()[0].items() if value is not None}, counts


class TestAgreementWithPyais:
    @pytest.mark.parametrize("name", LOGS)
    def test_the_same_messages_are_put_together(self, real_data: Path, name: str) -> None:
        """Every whole message that pyais' own reader finds, in its order, with the same bits."""
        path = real_data / "nmea" / name
        lines = [(k, line) for k, line in enumerate(path.read_bytes().splitlines(), 1) if line.strip()]
        ours = [found.ais.payload for found in MessageReader().read(lines) if isinstance(found, Message)]
        sentences = [line[line.index(b"!") :] for _, line in lines if b"!" in line]
        theirs = [message.payload for message in pyais.IterMessages(sentences) if message.payload]
        assert len(ours) > 100
        assert ours == theirs

    @pytest.mark.parametrize("name", LOGS)
    def test_every_message_says_the_same(self, real_data: Path, name: str) -> None:
        """Field by field, from the messages' own integers rather than from the floats that we round."""
        path = real_data / "nmea" / name
        lines = [(k, line) for k, line in enumerate(path.read_bytes().splitlines(), 1) if line.strip()]
        compared, refused = 0, []
        for found in MessageReader().read(lines):
            if not isinstance(found, Message):
                continue
            try:
                said = report(found.ais)
            except UnusableMessageError as error:
                refused.append((str(error), found.ais.ais_id))
                continue
            message: dict[str, Any] = found.ais.decode().asdict(enum_as_int=True)
            compared += 1
            assert said.mmsi == message["mmsi"]
            lat, lon = message.get("lat", 91.0), message.get("lon", 181.0)
            available = (lat, lon) != (91.0, 181.0)
            assert (said.lat, said.lon) == ((round(lat * 1e6), round(lon * 1e6)) if available else (None, None))
            speed, course, heading = (message.get(field) for field in ("speed", "course", "heading"))
            assert said.sog == (None if speed is None or speed > 102.2 else round(speed * 10))
            assert said.cog == (None if course is None or course >= 360 else round(course * 10))
            assert said.heading == (None if heading in (None, 511) else heading)
            status = message.get("status")
            assert said.nav_status == (None if status in (None, 15) else status)
            static = dict(zip(schema.STATIC_COLUMNS, said.static, strict=True))
            assert static["callsign"] == (message.get("callsign") or None)
            assert static["length"] == (message.get("to_bow", 0) + message.get("to_stern", 0) or None)
            imo = message.get("imo") or 0
            assert static["imo"] == (imo if 0 < imo <= 9_999_999 else None)
        assert compared > 100
        assert {reason for reason, _ in refused} <= {"other_message"}
        assert {number for _, number in refused} & {1, 2, 3, 4, 5, 9, 18, 19, 21, 24, 27} == set()

    def test_the_records_of_a_log_are_its_messages(self, real_data: Path) -> None:
        path = real_data / "nmea" / "AisLib__stream_example.txt"
        table, _, _ = read(path, date(2010, 6, 11))
        # Its stations' receptions of one transmission have the same payload; the log is shorter than RECEPTION_SECONDS.
        messages = {message.payload: message for message in pyais.IterMessages(path.read_bytes().splitlines())}
        positions: list[dict[str, Any]] = [
            message.decode().asdict(enum_as_int=True)
            for message in messages.values()
            if message.ais_id in (1, 2, 3, 4, 18, 19, 21, 27)
        ]
        expected = [
            (message["mmsi"], round(message["lat"] * 1e6), round(message["lon"] * 1e6))
            for message in positions
            if message["lat"] != 91
        ]
        there = table.filter(table["lat"].is_valid())
        lat, lon = ([round(value * 1e6) for value in there[name].to_pylist()] for name in ("lat", "lon"))
        assert list(zip(there["mmsi"].to_pylist(), lat, lon, strict=True)) == expected

    def test_the_times_of_a_log_are_those_announced(self, real_data: Path) -> None:
        """Each message's first sentence in this log has a `$PGHP` line right before it."""
        lines = (real_data / "nmea" / "AisLib__stream_example.txt").read_text().splitlines()
        expected = []
        for before, line in itertools.pairwise(lines):
            if before.startswith("$PGHP"):
                assert line.split(",")[2] == "1"
                expected.append(int(datetime(*map(int, before.split(",")[2:8]), tzinfo=UTC).timestamp()))
        messages = MessageReader().read((k, line.encode()) for k, line in enumerate(lines, 1))
        assert [found.t for found in messages if isinstance(found, Message)] == expected

    @pytest.mark.parametrize(
        "name", ["AisLib__stream_example.txt", "aduvenhage__test_ais_data.log", "cvagner__norwegian.raw"]
    )
    def test_times_agree_with_the_second_that_ships_report(self, real_data: Path, name: str) -> None:
        """A position report says the second of the minute at which it was made: no time that is another message's, or a
        logger's that lags, would agree. Ships' own clocks are off in one report of ten."""
        lines = (real_data / "nmea" / name).read_bytes().splitlines()
        late = []
        for found in MessageReader().read((k, line) for k, line in enumerate(lines, 1) if line.strip()):
            if isinstance(found, Message) and found.t is not None and found.ais.ais_id in (1, 2, 3, 18):
                second = int(found.ais.decode().asdict()["second"])  # pyright: ignore[reportArgumentType] - an int there
                if second < 60:
                    late.append((found.t - second + 30) % 60 - 30)
        assert len(late) > 100
        assert statistics.median(late) in (-1, 0, 1)
        assert sum(-2 <= seconds <= 5 for seconds in late) >= 0.88 * len(late)

    def test_times_lag_as_the_logs_other_clock_says(self, real_data: Path) -> None:
        """This log's lines have the station's time in a tag block and the logger's, two hours ahead, before it."""
        lines = (real_data / "nmea" / "aduvenhage__test_ais_data.log").read_bytes().splitlines()
        lags = set()
        for found in MessageReader().read((k, line) for k, line in enumerate(lines, 1) if line.strip()):
            if isinstance(found, Message) and found.t is not None:
                logged = datetime.strptime(found.text[:19].decode(), "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
                lags.add(int(logged.timestamp()) - 7200 - found.t)
        assert 0 <= min(lags) <= max(lags) <= 65


class TestMessages:
    MOTION: ClassVar[dict[str, Any]] = {"lat": 55.5, "lon": -10.25, "speed": 12.3, "course": 359.9, "heading": 44}

    @pytest.mark.parametrize(
        ("fields", "mobile_type"),
        [
            ({"type": 1, "mmsi": 219000873}, "class A"),
            ({"type": 2, "mmsi": 219000873}, "class A"),
            ({"type": 3, "mmsi": 219000873}, "class A"),
            ({"type": 18, "mmsi": 219000873}, "class B"),
            ({"type": 19, "mmsi": 219000873}, "class B"),
            ({"type": 1, "mmsi": 970123456}, "search and rescue transponder"),
            ({"type": 1, "mmsi": 972123456}, "man overboard device"),
            ({"type": 1, "mmsi": 974123456}, "EPIRB"),
        ],
    )
    def test_position_reports(self, tmp_path: Path, fields: dict[str, Any], mobile_type: str) -> None:
        found, counts = one(tmp_path, encoded(**fields, **self.MOTION))
        assert found["mobile_type"] == mobile_type
        assert found["mmsi"] == fields["mmsi"]
        assert found["t"] == NOON
        assert (found["lat"], found["lon"]) == (55.5, -10.25)
        assert (found["sog"], found["cog"], found["heading"]) == (12.3, 359.9, 44)
        assert counts.get("no_position") is None

    def test_a_long_range_report_has_whole_knots_and_degrees(self, tmp_path: Path) -> None:
        fields = {"type": 27, "mmsi": 219000873, "lat": 55.5, "lon": -10.25, "status": 5}
        found, _ = one(tmp_path, encoded(**fields, speed=12, course=359))
        assert (found["sog"], found["cog"], found["nav_status"]) == (12, 359, "moored")
        assert found["coarse"]
        found, counts = one(tmp_path, encoded(**fields, speed=63, course=511))
        assert {"sog", "cog"} & set(found) == set()
        assert counts == {}

    def test_others_than_ships(self, tmp_path: Path) -> None:
        place = {"lat": 55.5, "lon": -10.25}
        found, _ = one(tmp_path, encoded(type=4, mmsi=2190068, year=2024, month=3, day=1, **place))
        assert (found["mobile_type"], found["mmsi"]) == ("base station", 2190068)
        found, _ = one(tmp_path, encoded(type=9, mmsi=111219501, speed=150, course=90, alt=300, **place))
        assert (found["mobile_type"], found["cog"], found.get("sog")) == (
            "search and rescue aircraft",
            90,
            None,
        )
        found, _ = one(tmp_path, encoded(type=21, mmsi=992191234, name="DROGDEN", to_bow=3, to_stern=4, **place))
        assert (found["mobile_type"], found["name"], found["length"]) == ("aid to navigation", "DROGDEN", 7.0)

    def test_static_data(self, tmp_path: Path) -> None:
        voyage = {
            "type": 5,
            "mmsi": 219000873,
            "imo": 9107370,
            "callsign": "OXXL",
            "shipname": "ANE LAESOE",
            "ship_type": 60,
            "to_bow": 20,
            "to_stern": 34,
            "to_port": 7,
            "to_starboard": 8,
            "draught": 2.9,
            "destination": "LAESOE",
        }
        found, counts = one(tmp_path, encoded(**voyage))
        assert found == {
            "t": NOON,
            "mmsi": 219000873,
            "mobile_type": "class A",
            "coarse": False,
            "imo": 9107370,
            "callsign": "OXXL",
            "name": "ANE LAESOE",
            "ship_type": "60",
            "length": 54.0,
            "width": 15.0,
            "draught": pytest.approx(2.9),
            "destination": "LAESOE",
        }
        assert counts == {"no_position": 1, "joined_parts": 1}

    def test_the_parts_of_class_b_static_data(self, tmp_path: Path) -> None:
        part_a = encoded(type=24, mmsi=219000873, partno=0, shipname="FENJA")
        part_b = encoded(type=24, mmsi=219000873, partno=1, ship_type=36, callsign="OX1", to_bow=5, to_stern=4)
        later = tagged(part_a.rpartition("\\")[2], f"c:{SECONDS + 360}")
        table, _, _ = read(write(tmp_path, [part_a, part_b, later]))
        assert table["name"].to_pylist() == ["FENJA", None, None]
        assert table["callsign"].to_pylist() == [None, "OX1", None]
        assert table["length"].to_pylist() == [None, 9.0, None]
        assert set(table["mobile_type"].to_pylist()) == {"class B"}

    @pytest.mark.parametrize(
        ("fields", "note"),
        [
            ({"speed": 102.3}, None),
            ({"course": 360}, None),
            ({"heading": 511}, None),
            ({"course": 409.5}, "implausible_cog"),
            ({"heading": 360}, "implausible_heading"),
            ({"lat": 91, "lon": 181}, "no_position"),
        ],
    )
    def test_not_available(self, tmp_path: Path, fields: dict[str, Any], note: str | None) -> None:
        found, counts = one(tmp_path, encoded(type=1, mmsi=219000873, **{**self.MOTION, **fields}))
        names = {"speed": "sog", "course": "cog", "heading": "heading", "lat": "lat", "lon": "lon"}
        assert not {names[name] for name in fields} & set(found)
        assert counts == ({note: 1} if note else {})

    @pytest.mark.parametrize(
        ("fields", "reason"),
        [
            ({"type": 1, "mmsi": 219000873, "lat": 92.0, "lon": 0.0}, "bad_latitude"),
            ({"type": 1, "mmsi": 219000873, "lat": 0.0, "lon": 190.0}, "bad_longitude"),
            ({"type": 8, "mmsi": 219000873, "dac": 1, "fid": 1, "data": b"x"}, "other_message"),
            ({"type": 14, "mmsi": 219000873, "text": "HELP"}, "other_message"),
        ],
    )
    def test_what_is_no_record(self, tmp_path: Path, fields: dict[str, Any], reason: str) -> None:
        table, counts, rejects = read(write(tmp_path, [encoded(**fields)]))
        assert table.num_rows == 0
        assert counts == {reason: 1}
        assert [(reject["line"], reject["reason"]) for reject in rejects] == [(1, reason)]

    def test_a_message_cut_off_is_never_a_smaller_number(self) -> None:
        body = POSITION[1:].split(",")
        for length in range(1, 28):
            cut = ",".join([*body[:5], body[5][:length], "0"])
            ais = AISSentence(f"!{cut}*{checksum(cut.encode()):02X}".encode())
            if 6 * length < 137:
                with pytest.raises(UnusableMessageError, match="too_short"):
                    report(ais)
            else:
                assert report(ais).lat == report(AISSentence(POSITION.encode())).lat


class TestTimes:
    @pytest.mark.parametrize(
        "line",
        [
            tagged(POSITION),
            tagged(POSITION, f"s:2573238,c:{SECONDS}"),
            tagged(POSITION, f"g:1-1-17,c:{SECONDS}789,s:66"),
            f"{POSITION},{SECONDS}",
            f"{POSITION},d-084,S1234,T12.5,rRHODES,{SECONDS}",
            f"{POSITION}\t{SECONDS}.25",
            f"{POSITION},{SECONDS}123",
            f"2024-03-01 12:00:01,804: {POSITION}",
            f"[2024-03-01T12:00:01.804Z] {POSITION}",
            f"2024-03-01T13:00:01+01:00 {POSITION}",
            f"2024-03-01T11:30:01-0030 {POSITION}",
            f"{SECONDS} {POSITION}",
            f"{SECONDS}.123;{POSITION}",
            f"2024-03-01 14:00:02,804: {tagged(POSITION)},{SECONDS + 5}",
        ],
    )
    def test_where_a_time_may_stand(self, tmp_path: Path, line: str) -> None:
        found, counts = one(tmp_path, line)
        assert found["t"] == NOON
        assert counts == {}

    @pytest.mark.parametrize(
        "line",
        [
            POSITION,
            f"{POSITION},{SECONDS}x",
            f"{POSITION},17",
            f"219000873X {POSITION}",
            f"2024-13-01 12:00:01 {POSITION}",
            f"2024-03-01 {POSITION}",
            tagged(POSITION, "s:2573238"),
            tagged(POSITION, "c:soon"),
        ],
    )
    def test_a_message_without_a_time_is_counted_and_none_is_guessed(self, tmp_path: Path, line: str) -> None:
        table, counts, _ = read(write(tmp_path, [tagged(POSITION), line]))
        assert table.num_rows == 1
        assert counts == {"no_time": 1}

    def test_a_tag_block_with_a_wrong_checksum_is_not_believed(self, tmp_path: Path) -> None:
        line = tagged(POSITION).replace(str(SECONDS), str(SECONDS + 1))
        _, counts, _ = read(write(tmp_path, [line]))
        assert counts == {"no_time": 1, "bad_tag_blocks": 1}

    def announced(self, *sentences: str, sums: int | None = None) -> str:
        if sums is None:
            sums = 0
            for sentence in sentences:
                sums ^= int(sentence[-2:], 16)
        body = f"PGHP,1,2024,3,1,12,0,1,390,219,,2190047,1,{sums:02X}"
        return f"${body}*{checksum(body.encode()):02X}"

    def test_a_line_before_announces_the_time(self, tmp_path: Path) -> None:
        found, counts = one(tmp_path, self.announced(POSITION), POSITION)
        assert found["t"] == NOON
        assert counts == {"other_lines": 1}
        found, counts = one(tmp_path, self.announced(PART_1, PART_2), PART_1, PART_2)
        assert found["t"] == NOON
        found, counts = one(tmp_path, self.announced(sums=0), POSITION)
        assert found["t"] == NOON

    @pytest.mark.parametrize("between", ["", "!AIVDM,1,1,,B,,0*25"])
    def test_an_announced_time_is_of_the_next_message_with_its_checksum_only(
        self, tmp_path: Path, between: str
    ) -> None:
        lines = [self.announced(POSITION), between, POSITION] if between else [self.announced(sums=0x77), POSITION]
        table, counts, _ = read(write(tmp_path, lines))
        assert table.num_rows == 0
        assert counts["no_time"] == 1
        assert counts.get("unmatched_times", 0) == (0 if between else 1)

    def test_a_damaged_announcement_is_not_believed(self, tmp_path: Path) -> None:
        line = self.announced(POSITION).replace("12,0,1", "13,0,1")
        assert read(write(tmp_path, [line, POSITION]))[1] == {"no_time": 1, "other_lines": 1}


class TestParts:
    @staticmethod
    def voyages(count: int, tags: str) -> list[list[str]]:
        """The sentences of messages with names of their own; `tags` may hold {k} (message), {t} (time) and {part}."""
        return [
            [
                tagged(sentence, tags.format(k=k, t=SECONDS + k, part=part))
                for part, sentence in enumerate(
                    pyais.encode_dict(
                        {
                            "type": 5,
                            "mmsi": 219000000 + k,
                            "shipname": f"SHIP {k}",
                            "destination": f"A PLACE OF SHIP {k}",
                        },
                        talker_id="AI",
                        sentence_type="VDM",
                        radio_channel="AB"[k % 2],
                        seq_id=(k // 2) % 10,
                    ),
                    1,
                )
            ]
            for k in range(count)
        ]

    def test_parts_interleaved(self, tmp_path: Path) -> None:
        """Forty messages, shuffled within reach of each other: in any order where a group ties their parts together."""
        chance = random.Random(5)
        for tags, in_order in (("g:{part}-2-{k},c:{t}", False), ("c:{t}", True)):
            placed = []
            for k, parts in enumerate(self.voyages(40, tags)):
                places = [2 * k + chance.random() * 7 for _ in parts]
                placed += zip(sorted(places) if in_order else places, parts, strict=True)
            table, counts, _ = read(write(tmp_path, [line for _, line in sorted(placed)]))
            assert counts == {"no_position": 40, "joined_parts": 40}
            assert dict(zip(table["mmsi"].to_pylist(), table["name"].to_pylist(), strict=True)) == {
                219000000 + k: f"SHIP {k}" for k in range(40)
            }

    def test_a_lost_sentence_costs_its_own_message_only(self, tmp_path: Path) -> None:
        """One number for all, as some receivers have it."""
        first, *rest = (
            [tagged(part) for part in pyais.encode_dict(voyage, talker_id="AI", sentence_type="VDM", seq_id=3)]
            for voyage in (
                {"type": 5, "mmsi": 219000000 + k, "shipname": f"SHIP {k}", "destination": f"A PLACE OF SHIP {k}"}
                for k in range(7)
            )
        )
        for left in first:
            table, counts, rejects = read(write(tmp_path, [left, *(part for parts in rest for part in parts)]))
            assert table["mmsi"].to_pylist() == [219000000 + k for k in range(1, 7)]
            assert table["destination"].to_pylist() == [f"A PLACE OF SHIP {k}" for k in range(1, 7)]
            assert counts == {"orphaned_part": 1, "joined_parts": 6, "no_position": 6}
            assert [reject["line"] for reject in rejects] == [1]

    @pytest.mark.parametrize("seed", range(5))
    def test_where_lines_are_lost_no_message_is_a_mixture(self, tmp_path: Path, seed: int) -> None:
        chance = random.Random(seed)
        messages = self.voyages(300, "c:{t}")
        whole = [pyais.decode(*(part.rpartition("\\")[2] for part in parts)).asdict() for parts in messages]
        intact = {message["mmsi"]: message["destination"] for message in whole}
        left = [[part for part in parts if chance.random() > 0.2] for parts in messages]
        table, counts, _ = read(write(tmp_path, [part for parts in left for part in parts]))
        found = dict(zip(table["mmsi"].to_pylist(), table["destination"].to_pylist(), strict=True))
        assert found == {mmsi: intact[mmsi] for mmsi, parts in zip(intact, left, strict=True) if len(parts) == 2}
        assert counts["orphaned_part"] == sum(len(parts) == 1 for parts in left)

    def test_two_stations_are_told_apart(self, tmp_path: Path) -> None:
        (a, _), (b, _) = (self.voyages(21, f"s:{station},c:{SECONDS}")[::20] for station in "ab")
        _, other = self.voyages(21, f"s:b,c:{SECONDS}")[::20]
        lines = [a[0], other[0], a[1], other[1], b[0], b[1]]
        table, counts, _ = read(write(tmp_path, lines))
        assert table["name"].to_pylist() == ["SHIP 0", "SHIP 20"]
        assert table["mmsi"].to_pylist() == [219000000, 219000020]
        assert counts == {"joined_parts": 3, "no_position": 2, "received_before": 1}

    @pytest.mark.parametrize("lines", [[PART_1], [PART_2], [PART_1, PART_1.replace(",A,", ",B,", 1)]])
    def test_orphans_are_counted_with_their_lines(self, tmp_path: Path, lines: list[str]) -> None:
        sentences = [f"{body}*{checksum(body[1:].encode()):02X}" for body in (line.partition("*")[0] for line in lines)]
        _, counts, rejects = read(write(tmp_path, [tagged(POSITION), *map(tagged, sentences)]))
        assert counts == {"orphaned_part": len(lines)}
        assert [reject["line"] for reject in rejects] == list(range(2, len(lines) + 2))

    def test_a_part_waits_no_longer_than_it_should(self, tmp_path: Path) -> None:
        between = ["# between"] * (MOST_LINES_APART - 1)
        assert read(write(tmp_path, [tagged(PART_1), *between, tagged(PART_2)]))[1]["joined_parts"] == 1
        _, counts, rejects = read(write(tmp_path, [tagged(PART_1), *between, "# more", tagged(PART_2)]))
        assert counts == {"orphaned_part": 2, "other_lines": MOST_LINES_APART}
        assert [reject["line"] for reject in rejects] == [1, MOST_LINES_APART + 2]

    def test_a_new_first_part_takes_the_place_of_the_old(self, tmp_path: Path) -> None:
        _, counts, rejects = read(write(tmp_path, [tagged(PART_1), tagged(PART_1), tagged(PART_2)]))
        assert counts == {"orphaned_part": 1, "joined_parts": 1, "no_position": 1}
        assert [reject["line"] for reject in rejects] == [1]

    def test_the_group_of_the_tag_block_ties_parts_together(self, tmp_path: Path) -> None:
        lines = [
            tagged(PART_1, f"g:1-2-7518,c:{SECONDS}"),
            tagged(PART_1, f"g:1-2-7519,c:{SECONDS + 360}"),
            tagged(PART_2, "g:2-2-7518"),
            tagged(PART_2, "g:2-2-7519"),
        ]
        table, counts, _ = read(write(tmp_path, lines))
        assert [int(t.timestamp()) - SECONDS for t in table["t"].to_pylist()] == [0, 360]
        assert counts == {"joined_parts": 2, "no_position": 2}


class TestReceptions:
    def received(self, folder: Path, *lines: str | bytes) -> tuple[list[int], int]:
        """Seconds of the records after SECONDS, and how many were received before."""
        table, counts, rejects = read(write(folder, lines))
        assert {reject["reason"] for reject in rejects} <= {"received_before"}
        times = [int(t.timestamp()) - SECONDS for t in table["t"].to_pylist()]
        return times, counts.get("received_before", 0)

    def at(self, second: int, station: str = "a", sentence: str = POSITION) -> str:
        return tagged(sentence, f"s:{station},c:{SECONDS + second}")

    def test_what_several_stations_received_is_one_record(self, tmp_path: Path) -> None:
        """Also of a ship at rest, and whatever their clocks and the order of their lines."""
        lines = [self.at(0), self.at(2, "b"), self.at(-1, "c"), self.at(0, "d")]
        assert self.received(tmp_path, *lines) == ([0], 3)

    def test_the_bound_is_counted_from_the_first(self, tmp_path: Path) -> None:
        lines = [self.at(second) for second in (0, RECEPTION_SECONDS, RECEPTION_SECONDS + 1, RECEPTION_SECONDS + 2)]
        assert self.received(tmp_path, *lines) == ([0, RECEPTION_SECONDS + 1], 2)

    def test_what_a_repeater_says_again(self, tmp_path: Path) -> None:
        fields = {"type": 1, "mmsi": 219000873, "lat": 57.5, "lon": 10.5, "second": 7}
        assert self.received(tmp_path, *(encoded(**fields, repeat=times) for times in (0, 1, 2))) == ([0], 2)

    @pytest.mark.parametrize("change", [{"second": 8}, {"mmsi": 219000874}, {"lat": 57.6}, {"type": 18}, {"raim": 1}])
    def test_another_message_is_another_record(self, tmp_path: Path, change: dict[str, Any]) -> None:
        fields = {"type": 1, "mmsi": 219000873, "lat": 57.5, "lon": 10.5, "second": 7}
        assert self.received(tmp_path, encoded(**fields), encoded(**{**fields, **change})) == ([0, 0], 0)

    def test_static_data_in_parts(self, tmp_path: Path) -> None:
        lines = [self.at(0, station, part) for station in "ab" for part in (PART_1, PART_2)]
        assert self.received(tmp_path, *lines) == ([0], 1)

    def test_stations_one_after_the_other_in_a_file(self, tmp_path: Path) -> None:
        """A day of one and then the same day of the other."""
        day = [encoded(type=1, mmsi=219000000 + ship, lat=57.5, second=7) for ship in range(3000)]
        assert self.received(tmp_path, *day, *day) == ([0] * 3000, 3000)

    def test_only_so_many_are_known(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The last: of a log without an end the first would fill the memory."""
        ships = [encoded(type=1, mmsi=219000000 + ship, lat=57.5, second=7) for ship in range(4)]
        monkeypatch.setattr(nmea, "_MOST_HEARD", 3)
        assert self.received(tmp_path, *ships, *reversed(ships)) == ([0] * 5, 3)


def test_a_day_of_many_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [encoded(type=1, mmsi=219000000 + ship, lat=57.5, speed=ship, second=7) for ship in range(10)]
    expected, counts, rejects = read(write(tmp_path, lines))
    monkeypatch.setattr(day_log, "TABLE_ROWS", 3)
    table, again, _ = read(write(tmp_path, lines))
    assert table.num_rows == 10
    assert table.equals(expected)
    assert (again, rejects) == (counts, [])


class TestFaults:
    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            (POSITION.replace("*35", "*36"), "bad_checksum"),
            (POSITION.replace("3aGu", "3aGv"), "bad_checksum"),
            (POSITION.replace("*35", ""), "malformed_sentence"),
            (POSITION.replace(",0*35", "*35"), "malformed_sentence"),
            (POSITION.replace("3aGu", "3a~u"), "malformed_sentence"),
            (POSITION.replace("1,1,,", "0,1,,"), "malformed_sentence"),
            (POSITION.replace("1,1,,", "1,2,,"), "malformed_sentence"),
            (POSITION.encode().replace(b"3aGu", b"3a\xffu"), "malformed_sentence"),
            ("!AIVDM,1,1,,B,,0*25", "empty_payload"),
            ("!AIVD", "no_sentence"),
            (b"\xff\xfe\x00", "no_sentence"),
            ('"', "no_sentence"),
        ],
    )
    def test_reason_and_line(self, tmp_path: Path, line: str | bytes, reason: str) -> None:
        later = tagged(POSITION, f"c:{SECONDS + 360}")
        table, counts, rejects = read(write(tmp_path, [tagged(POSITION), line, "", later], b"\r\n"))
        assert table.num_rows == 2
        assert counts == {reason: 1, "blank_lines": 1}
        assert [(reject["line"], reject["reason"]) for reject in rejects] == [(2, reason)]

    def test_lines_that_are_no_rows(self, tmp_path: Path) -> None:
        lines: list[str | bytes] = [
            "# station 7, Skagen",
            "// æøå".encode("latin-1"),
            "$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47",
            "!AIALR,1*00",
            tagged(POSITION),
        ]
        table, counts, rejects = read(write(tmp_path, lines))
        assert (table.num_rows, counts, rejects) == (1, {"other_lines": 4}, [])

    def test_the_sample_has_some_of_each_reason_and_at_most_100(self, tmp_path: Path) -> None:
        lines = [POSITION, POSITION[:-1] + "6", "x", "!AIVDM,1,1,,B,,0*25", "VDM,", PART_2]
        _, _, rejects = read(write(tmp_path, lines * 200))
        assert len({reject["reason"] for reject in rejects}) == 6
        assert len(rejects) <= 100
        assert [reject["line"] for reject in rejects] == sorted(reject["line"] for reject in rejects)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "holds no AIVDM or AIVDO sentence in 0 lines"),
            (b"# nothing heard\n\n", "holds no AIVDM or AIVDO sentence in 2 lines"),
            (b"MMSI,LAT,LON\n1,2,3\n", "holds no AIVDM or AIVDO sentence in 2 lines"),
            (b"x" * 3_000_000, "holds no AIVDM or AIVDO sentence in 1 lines"),
        ],
    )
    def test_what_is_no_log_is_refused(self, tmp_path: Path, content: bytes, message: str) -> None:
        path = tmp_path / "2024-03-01.log"
        path.write_bytes(content)
        with pytest.raises(SourceError, match=message):
            read(path)


@pytest.mark.parametrize("before", [0, 1, 10_000, 14_000])
@pytest.mark.parametrize("length", [100_000, 3_000_000])
def test_a_long_line_is_one_reject_wherever_it_stands(tmp_path: Path, before: int, length: int) -> None:
    lines = [*[tagged(PART_1)] * before, bytes(length), tagged(POSITION)]
    table, counts, rejects = read(write(tmp_path, lines))
    assert table.num_rows == 1
    assert counts["no_sentence"] == 1
    assert [reject["line"] for reject in rejects if reject["reason"] == "no_sentence"] == [before + 1]


def test_every_packing_gives_the_same_records(real_data: Path, tmp_path: Path) -> None:
    plain = real_data / "nmea" / "aduvenhage__test_ais_data.log"
    straight = read(plain)
    for suffix, packed in ((".gz", gzip.compress), (".zst", zstandard.compress)):
        path = tmp_path / f"station-2019-04-18.log{suffix}"
        path.write_bytes(packed(plain.read_bytes()))
        table, counts, rejects = read(path)
        assert table.equals(straight[0])
        assert (counts, rejects) == straight[1:]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(
    st.lists(
        st.one_of(
            st.sampled_from([tagged(POSITION), tagged(PART_1), tagged(PART_2), PART_1, POSITION, "$PGHP,1,2024*00"]),
            st.tuples(
                st.sampled_from([tagged(POSITION), tagged(PART_1), PART_2]),
                st.integers(0, 80),
                st.binary(max_size=3),
            ).map(lambda cut: cut[0].encode()[: cut[1]] + cut[2] + cut[0].encode()[cut[1] + 1 :]),
            st.text("0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVW`abcdefghijklmnopqrstuvw", max_size=80).map(
                lambda payload: tagged(
                    f"!AIVDM,1,1,,A,{payload},0*{checksum(f'AIVDM,1,1,,A,{payload},0'.encode()):02X}"
                )
            ),
            st.binary(max_size=40),
        ),
        max_size=30,
    )
)
def test_arbitrary_lines_are_all_accounted_for(tmp_path: Path, lines: list[str | bytes]) -> None:
    path = write(tmp_path, lines)
    # Which begins as no packed file does.
    assume(not packing_of(path))
    stream = NmeaSource(str(tmp_path), max_bytes=MAX_BYTES).read(path, DAY)
    try:
        records = sum(table.num_rows for table in stream.tables)
    except SourceError:
        assert not any(b"VDM," in line or b"VDO," in line for line in path.read_bytes().splitlines())
        return
    stream.ledger.balance(path.name)
    assert set(stream.ledger.dropped) == set(REJECTS)
    notes = stream.ledger.notes
    elsewhere = notes["blank_lines"] + notes["other_lines"] + notes["joined_parts"]
    assert records + stream.ledger.rows_dropped + elsewhere == path.read_bytes().count(b"\n")
