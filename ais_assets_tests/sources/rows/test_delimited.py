"""Rows of delimited files: what becomes a record, what is rejected, and that nothing depends on a neighbour."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ais_assets import schema
from ais_assets.sources import marinecadastre
from ais_assets.sources.dma import LAYOUT
from ais_assets.sources.rows import delimited
from ais_assets.sources.rows.delimited import DelimitedReader
from ais_assets.sources.rows.layout import Layout
from ais_assets.sources.source import SourceError
from ais_assets_tests.sources.csv_rows import DAY, HEADER, MARINECADASTRE_HEADER, MAX_BYTES, read_table, row, write_csv

READER = DelimitedReader((LAYOUT,), MAX_BYTES)
MIDNIGHT = datetime(2024, 3, 1, tzinfo=UTC)


def rejects_of(folder: Path, *rows: str) -> list[tuple[int, str]]:
    _, stream = read_table(write_csv(folder, rows))
    return [(reject["line"], reject["reason"]) for reject in stream.facts["rejects"]]


def record(folder: Path, **fields: str) -> tuple[dict[str, Any], dict[str, int]]:
    table, stream = read_table(write_csv(folder, [row(**fields)]))
    assert table.num_rows == 1
    return table.to_pylist()[0], {name: count for name, count in stream.ledger.notes.items() if count}


class TestRecords:
    def test_every_field_of_a_row(self, tmp_path: Path) -> None:
        found, notes = record(
            tmp_path,
            timestamp="01/03/2024 23:59:58",
            imo="9107370",
            callsign="OXXL",
            name=' "ANE, ""LAESOE"""  ',
            ship_type="Passenger",
            length="54",
            width="15.0",
            draught="2.9",
            destination="LAESOE",
        )
        assert notes == {}
        assert found == {
            "t": datetime(2024, 3, 1, 23, 59, 58, tzinfo=UTC),
            "mmsi": 219000873,
            "mobile_type": "class A",
            "lat": 56.990925,
            "lon": 10.304547,
            "sog": 10.4,
            "cog": 43.8,
            "heading": 44,
            "nav_status": "under way using engine",
            "coarse": False,
            "imo": 9107370,
            "callsign": "OXXL",
            "name": 'ANE, "LAESOE"',
            "ship_type": "Passenger",
            "length": 54.0,
            "width": 15.0,
            "draught": pytest.approx(2.9),
            "destination": "LAESOE",
            "identity": None,
        }

    @pytest.mark.parametrize(
        ("latitude", "longitude"),
        [("91", "0"), ("91.0", "181.0"), ("91", "500"), ("50", "181"), ("", ""), ("", "10"), ("50", " ")],
    )
    def test_a_position_not_available_is_null_and_the_row_a_record(
        self, tmp_path: Path, latitude: str, longitude: str
    ) -> None:
        found, notes = record(tmp_path, latitude=latitude, longitude=longitude)
        assert (found["lat"], found["lon"]) == (None, None)
        assert notes == {"no_position": 1}

    @pytest.mark.parametrize(("latitude", "longitude"), [("90", "180"), ("-90", "-180"), ("0", "-0.000001")])
    def test_the_ends_of_the_earth_are_positions(self, tmp_path: Path, latitude: str, longitude: str) -> None:
        found, notes = record(tmp_path, latitude=latitude, longitude=longitude)
        assert (found["lat"], found["lon"]) == (float(latitude), float(longitude))
        assert notes == {}

    @pytest.mark.parametrize(
        ("field", "text", "value", "note"),
        [
            ("sog", "102.2", 102.2, None),
            ("sog", "0", 0, None),
            ("sog", "", None, None),
            ("sog", "102.3", None, None),
            ("sog", "293", None, "implausible_sog"),
            ("sog", "-0.1", None, "implausible_sog"),
            ("sog", "fast", None, "malformed_sog"),
            ("cog", "359.9", 359.9, None),
            ("cog", "360.0", None, None),
            ("cog", "2103", None, "implausible_cog"),
            ("cog", "-1", None, "implausible_cog"),
            ("cog", "1.2.3", None, "malformed_cog"),
            ("heading", "359", 359, None),
            ("heading", "44.0", 44, None),
            ("heading", "511", None, None),
            ("heading", "511.0", None, None),
            ("heading", "360", None, "implausible_heading"),
            ("heading", "456", None, "implausible_heading"),
            ("heading", "N", None, "malformed_heading"),
        ],
    )
    def test_motion(self, tmp_path: Path, field: str, text: str, value: object, note: str | None) -> None:
        found, notes = record(tmp_path, **{field: text})
        assert found[field] == value
        assert notes == ({note: 1} if note else {})

    @pytest.mark.parametrize(("text", "value"), [("1", 1), ("219000873.0", 219000873), ("002190067", 2190067)])
    def test_mmsi(self, tmp_path: Path, text: str, value: int) -> None:
        assert record(tmp_path, mmsi=text)[0]["mmsi"] == value

    def test_unknown_texts_are_counted(self, tmp_path: Path) -> None:
        found, notes = record(tmp_path, type_of_mobile="Submarine", navigational_status="Diving")
        assert (found["mobile_type"], found["nav_status"]) == ("unknown", None)
        assert notes == {"unknown_mobile_type": 1, "unknown_nav_status": 1}

    def test_a_record_of_another_day_is_that_days(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path, [row(), row(timestamp="29/02/2024 23:59:59"), row()])
        table, stream = read_table(path)
        assert (table.num_rows, stream.ledger.notes["other_day"]) == (2, 1)
        found = list(READER.read(path, date(2024, 2, 29)).tables)
        assert [t for part in found for t in part["t"].to_pylist()] == [MIDNIGHT - timedelta(seconds=1)]

    def test_static_values_stand_where_they_are_new(self, tmp_path: Path) -> None:
        rows = [
            row(name="", eta="01/04/2024 00:00:00"),
            row(name="FENJA"),
            row(name="FENJA", timestamp="01/03/2024 00:00:01"),
            row(name="FENJA", eta="02/04/2024 00:00:00"),
            row(name="FENJA", mmsi="219000874"),
            row(name="FENJA", destination="SKAGEN"),
            row(name="FENJA"),
            row(name="Unknown", ship_type="Undefined", imo="Unknown", mmsi="219000875"),
        ]
        table, _ = read_table(write_csv(tmp_path, rows))
        assert table["name"].to_pylist() == [None, "FENJA", None, None, "FENJA", "FENJA", None, None]
        assert table["destination"].to_pylist() == [None] * 5 + ["SKAGEN", None, None]

    def test_static_values_that_cannot_be(self, tmp_path: Path) -> None:
        found, notes = record(tmp_path, length="long", width="0", draught="-3", imo="0", name="FENJA")
        assert [found[name] for name in ("length", "width", "draught", "imo", "name")] == [None] * 4 + ["FENJA"]
        assert notes == {"malformed_static": 2}

    @pytest.mark.filterwarnings("error")
    def test_numbers_that_no_file_means(self, tmp_path: Path) -> None:
        found, notes = record(tmp_path, length="1_0", width="1e39", draught="inf", imo="9_107_370")
        assert [found[name] for name in ("length", "width", "draught", "imo")] == [None] * 4
        assert notes == {"malformed_static": 4}

    def test_damage_after_the_last_needed_field_leaves_the_record(self, tmp_path: Path) -> None:
        whole = row(name="FENJA")
        rows = [whole, row(name='"FENJA'), whole.rpartition(",AIS")[0], row(name="FEN,JA"), whole]
        table, stream = read_table(write_csv(tmp_path, rows))
        assert table["lat"].to_pylist() == [56.990925] * 5
        assert table["name"].to_pylist() == ["FENJA", None, None, None, None]
        assert stream.ledger.notes["malformed_static"] == 3


class TestRejects:
    @pytest.mark.parametrize(
        ("reason", "bad"),
        [
            ("bad_timestamp", row(timestamp="")),
            ("bad_timestamp", row(timestamp="31/02/2024 00:00:00")),
            ("bad_mmsi", row(mmsi="")),
            ("bad_mmsi", row(mmsi="2190008730")),
            ("bad_mmsi", row(mmsi="219000873.5")),
            ("bad_mmsi", row(mmsi="-219")),
            ("bad_latitude", row(latitude="north")),
            ("bad_latitude", row(latitude="90.000001")),
            ("bad_latitude", row(latitude="92")),
            ("bad_longitude", row(longitude="10.1.1")),
            ("bad_longitude", row(longitude="-180.000001")),
            ("bad_longitude", row(longitude="-2147.483648")),
            ("too_few_fields", "01/03/2024 00:00:00,Class A,2190"),
            ("too_few_fields", row().partition(".304547")[0]),
            ("too_few_fields", "x"),
            ("bad_quotes", row(type_of_mobile='"Class A')),
            ("bad_quotes", row(longitude='"10.304547"x')),
        ],
    )
    def test_reason_and_line(self, tmp_path: Path, reason: str, bad: str) -> None:
        assert rejects_of(tmp_path, row(), bad, row()) == [(3, reason)]

    def test_the_sample_shows_the_row_as_it_stands(self, tmp_path: Path) -> None:
        bad = "\udcff" + "x" * 300
        _, stream = read_table(write_csv(tmp_path, [bad], newline="\r\n"))
        assert stream.facts["rejects"] == [{"line": 2, "reason": "too_few_fields", "text": "\ufffd" + "x" * 199}]

    def test_the_sample_has_some_of_each_reason_and_at_most_100(self, tmp_path: Path) -> None:
        bad = [row(timestamp="?"), row(mmsi="?"), row(latitude="?"), row(longitude="?"), "x", row(mmsi='"')]
        _, stream = read_table(write_csv(tmp_path, [line for line in bad for _ in range(200)]))
        reasons = [reject["reason"] for reject in stream.facts["rejects"]]
        assert len(reasons) <= 100
        assert set(reasons) <= set(stream.ledger.dropped)
        assert {stream.ledger.dropped[reason] for reason in reasons} == {200}


def dma_row(moment: datetime, mmsi: int, lat: str, lon: str) -> str:
    timestamp = moment.strftime("%d/%m/%Y %H:%M:%S")
    return row(timestamp=timestamp, mmsi=str(mmsi), latitude=lat, longitude=lon, name="FENJA", destination="SKAGEN")


def marinecadastre_row(moment: datetime, mmsi: int, lat: str, lon: str) -> str:
    fields = "10.4,43.8,44.0,FENJA,IMO9107370,OXXL,60,5,54,15,2.9,60,B"
    return f"{mmsi},{moment.strftime('%Y-%m-%dT%H:%M:%S')},{lat},{lon},{fields}"


Damage = tuple[Callable[[str], str], bool]
"""What is done to a row, and whether it costs the row or only a value."""
COMMON_DAMAGES: dict[str, Damage] = {
    "unclosed quote in the MMSI": (lambda r: r.replace("219", '"219', 1), True),
    "unclosed quote in the name": (lambda r: r.replace("FENJA", '"FENJA'), False),
    "stray quote in the name": (lambda r: r.replace("FENJA", 'FEN"JA'), False),
    "text after the name's closing quote": (lambda r: r.replace("FENJA", '"FEN" JA'), False),
    "a delimiter in the name": (lambda r: r.replace("FENJA", "FEN,JA"), False),
    "letters in the MMSI": (lambda r: r.replace("219", "2I9", 1), True),
    "zero bytes in the MMSI": (lambda r: r.replace("219", "21\0", 1), True),
    "bytes that are no UTF-8 in the time": (lambda r: r.replace("2024", "2\udcff24"), True),
    "bytes that are no UTF-8 in the name": (lambda r: r.replace("FENJA", "F\udcc5NJA"), False),
    "latitude out of range": (lambda r: r.replace(",56.", ",156."), True),
    "two points in the longitude": (lambda r: r.replace(",10.", ",10..", 1), True),
    "letters in the SOG": (lambda r: r.replace(",10.4,", ",10k4,"), False),
    "cut in the longitude": (lambda r: r[: r.index(",10.") + 5], True),
    "cut in the SOG": (lambda r: r[: r.index(",10.4,") + 4], False),
    "cut after the name": (lambda r: r[: r.index("FENJA") + 5], False),
}
FORMS: dict[str, tuple[Layout, str, Callable[[datetime, int, str, str], str], dict[str, Damage]]] = {
    "dma": (
        LAYOUT,
        HEADER,
        dma_row,
        {
            "unclosed quote in the type": (lambda r: r.replace("Class A", '"Class A'), True),
            "unclosed quote in the status": (lambda r: r.replace("Under", '"Under'), False),
            "unclosed quote in the destination": (lambda r: r.replace("SKAGEN", '"SKAGEN'), False),
            "no such date": (lambda r: r.replace("01/03/2024", "01/13/2024"), True),
            "one delimiter too few": (lambda r: r.replace(",Class A,", " Class A "), True),
        },
    ),
    "marinecadastre": (
        marinecadastre.LAYOUT,
        MARINECADASTRE_HEADER,
        marinecadastre_row,
        {
            "unclosed quote in the call sign": (lambda r: r.replace("OXXL", '"OXXL'), False),
            "unclosed quote in the class": (lambda r: r.removesuffix("B") + '"B', False),
            "unclosed quote in the latitude": (lambda r: r.replace(",56.", ',"56.'), True),
            "no such date": (lambda r: r.replace("2024-03", "2024-13"), True),
            "cut after the draught": (lambda r: r[: r.index("2.9,") + 3], False),
        },
    ),
}


Values = tuple[int, int, int, int]


def malformed(form: str, count: int, bad: int, seed: int) -> tuple[list[str], list[int], list[Values]]:
    """Rows of a form, `bad` of them damaged in every way; the lines to be rejected, the values of the rest."""
    chance = random.Random(seed)
    _, _, make, own = FORMS[form]
    damages = list({**COMMON_DAMAGES, **own}.values())
    places = chance.sample(range(count), bad)
    damaged = {place: damages[k % len(damages)] for k, place in enumerate(places)}
    rows, rejected, read = [], [], []
    for k in range(count):
        moment = MIDNIGHT + timedelta(seconds=k % 86_400)
        lat, lon = 56_000_000 + k % 900_000, 10_000_000 + 2 * (k % 400_000)
        line = make(moment, 219_000_000 + k % 500, f"{lat / 1e6:.6f}", f"{lon / 1e6:.6f}")
        damage, costs_the_row = damaged.get(k, (str, False))
        rows.append(damage(line))
        assert k not in damaged or rows[-1] != line
        if costs_the_row:
            rejected.append(k + 2)
        else:
            read.append((int(moment.timestamp() * 1000), 219_000_000 + k % 500, lat, lon))
    return rows, rejected, read


def assert_only_the_malformed_are_lost(folder: Path, form: str, count: int, bad: int) -> None:
    layout, header, _, _ = FORMS[form]
    rows, rejected, expected = malformed(form, count, bad, seed=11)
    reader = DelimitedReader((layout,), MAX_BYTES, samples_per_reason=bad)
    table, stream = read_table(write_csv(folder, rows, header), reader)
    assert [reject["line"] for reject in stream.facts["rejects"]] == rejected
    lat, lon = ((table[name].to_numpy() * schema.MICRODEGREES).round().astype(int) for name in ("lat", "lon"))
    columns = (table["t"].cast("int64").to_pylist(), table["mmsi"].to_pylist(), lat.tolist(), lon.tolist())
    assert list(zip(*columns, strict=True)) == expected


@pytest.mark.parametrize("form", FORMS)
def test_a_malformed_row_costs_itself_and_no_neighbour(tmp_path: Path, form: str) -> None:
    """1,000 of 100,000 rows damaged in twenty ways; what must come out is known by construction."""
    assert_only_the_malformed_are_lost(tmp_path, form, 100_000, 1_000)


TENTHS = st.one_of(st.none(), st.integers(0, 1022))
REPORTS = st.lists(
    st.fixed_dictionaries(
        {
            "seconds": st.integers(0, 86_399),
            "mmsi": st.integers(0, 999_999_999),
            "lat": st.integers(-90 * schema.MICRODEGREES, 90 * schema.MICRODEGREES),
            "lon": st.integers(-180 * schema.MICRODEGREES, 180 * schema.MICRODEGREES),
            "sog": TENTHS,
            "cog": st.one_of(st.none(), st.integers(0, 3599)),
            "heading": st.one_of(st.none(), st.integers(0, 359)),
            "name": st.one_of(
                st.none(),
                st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="@"), max_size=20),
            ),
        }
    ),
    min_size=1,
    max_size=30,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(reports=REPORTS, block_bytes=st.integers(1, 3000), newline=st.sampled_from(["\n", "\r\n"]), last=st.booleans())
def test_what_was_written_is_read(
    tmp_path: Path, reports: list[dict[str, Any]], block_bytes: int, newline: str, last: bool
) -> None:
    """Whatever the csv module writes comes back as the same integers, wherever blocks and tables are cut."""
    path = tmp_path / f"aisdk-{DAY}.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator=newline)
        writer.writerow(HEADER.split(","))
        for report in reports:
            fields = row().split(",")
            fields[0] = (MIDNIGHT + timedelta(seconds=report["seconds"])).strftime("%d/%m/%Y %H:%M:%S")
            fields[2] = str(report["mmsi"])
            fields[3], fields[4] = (str(Decimal(report[name]).scaleb(-6)) for name in ("lat", "lon"))
            fields[7:9] = ["" if report[name] is None else str(report[name] / 10) for name in ("sog", "cog")]
            fields[9] = "" if report["heading"] is None else str(report["heading"])
            fields[12] = report["name"] or ""
            writer.writerow(fields)
    if not last:
        path.write_bytes(path.read_bytes().removesuffix(newline.encode()))
    table, stream = read_table(path, replace(READER, block_bytes=block_bytes, table_rows=7))
    assert stream.ledger.rows_out == stream.ledger.rows_in == len(reports)
    assert table["t"].to_pylist() == [MIDNIGHT + timedelta(seconds=report["seconds"]) for report in reports]
    for name, step in (("mmsi", 1), ("lat", 10**6), ("lon", 10**6), ("sog", 10), ("cog", 10), ("heading", 1)):
        found = [None if value is None else round(value * step) for value in table[name].to_pylist()]
        assert found == [report[name] for report in reports], name
    shown = [(report["mmsi"], (report["name"] or "").strip()) for report in reports]
    first = [k for k, pair in enumerate(shown) if pair not in shown[:k] and pair[1] not in _NO_NAMES]
    assert {k: name for k, name in enumerate(table["name"].to_pylist()) if name is not None} == {
        k: shown[k][1] for k in first
    }


_NO_NAMES = {"", "Unknown", "Undefined", "Unknown value"}


@pytest.mark.parametrize("block_bytes", [1, 7, 64, 1000])
def test_records_do_not_depend_on_the_block(tmp_path: Path, block_bytes: int) -> None:
    rows = [row(mmsi=str(k), name=f'"A,{k}"') for k in range(50)] + ["", '"', row(latitude="?"), "  ", row()]
    path = write_csv(tmp_path, rows, newline="\r\n")
    whole, whole_stream = read_table(path)
    table, stream = read_table(path, replace(READER, block_bytes=block_bytes, table_rows=3))
    assert table.equals(whole)
    assert stream.ledger == whole_stream.ledger
    assert stream.facts == whole_stream.facts


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(
    pieces=st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.sampled_from([b"\n", b"\r", b",", b'"', b",,", b" ", b"\0", b"91", b"-", b".", b"e", b"+"]),
            st.just(row().encode()),
        ),
        max_size=40,
    ),
    block_bytes=st.integers(1, 500),
)
def test_arbitrary_bytes_after_a_header_are_all_accounted_for(
    tmp_path: Path, pieces: list[bytes], block_bytes: int
) -> None:
    body = b"".join(pieces)
    path = tmp_path / f"aisdk-{DAY}.csv"
    path.write_bytes(HEADER.encode() + b"\n" + body)
    lines = [line.removesuffix(b"\r").strip(b" ") for line in body.split(b"\n")]
    rows = sum(1 for line in lines if line)
    if not rows:
        with pytest.raises(SourceError, match="no rows"):
            read_table(path)
        return
    table, stream = read_table(path, replace(READER, block_bytes=block_bytes))
    assert stream.ledger.rows_in == rows
    assert table["mmsi"].null_count == 0


class TestHeader:
    @pytest.mark.parametrize(
        ("header", "before", "after"),
        [
            (HEADER, "", ""),
            ("\ufeff" + HEADER, "", ""),
            ("," + HEADER, "17,", ""),
            (HEADER + ",geometry,index_right", "", ",POINT (11.7 56.8),0"),
            (HEADER.replace(",", " ,").upper(), "", ""),
            (HEADER.replace("# Timestamp", "Timestamp"), "", ""),
            (HEADER + "\r", "", "\r"),
        ],
    )
    def test_columns_are_found_by_name(self, tmp_path: Path, header: str, before: str, after: str) -> None:
        table, stream = read_table(write_csv(tmp_path, [before + row(name="FENJA") + after], header))
        assert table["lon"].to_pylist() == [10.304547]
        assert table["name"].to_pylist() == ["FENJA"]
        assert stream.ledger.notes["malformed_static"] == 0

    def test_columns_in_another_order(self, tmp_path: Path) -> None:
        order = list(range(len(HEADER.split(","))))
        random.Random(3).shuffle(order)
        lines = [HEADER, row(name="FENJA", draught="3.5"), row(name="SVITZER", longitude="181")]
        header, *rows = [",".join(line.split(",")[k] for k in order) for line in lines]
        table, _ = read_table(write_csv(tmp_path, rows, header))
        straight, _ = read_table(write_csv(tmp_path, lines[1:]))
        assert table.equals(straight)

    def test_volatile_columns_at_the_end_do_not_repeat_static_data(self, tmp_path: Path) -> None:
        rows = [row(name="FENJA") + f",{k}" for k in range(3)]
        table, _ = read_table(write_csv(tmp_path, rows, HEADER + ",index"))
        assert table["name"].to_pylist() == ["FENJA", None, None]

    def test_static_data_among_volatile_columns_are_looked_at_where_they_are_new(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Wherever they stand, in any number of runs."""
        looks = []
        look = delimited._Parse._static_of
        monkeypatch.setattr(delimited._Parse, "_static_of", lambda parse, line: looks.append(line) or look(parse, line))
        values = [
            row(name=name, callsign=callsign, destination=destination, timestamp=f"01/03/2024 00:00:0{second}")
            for second, (name, callsign, destination) in enumerate(
                [("FENJA", "OX1", "A"), ("FENJA", "OX1", "A"), ("FENJA", "OX1", "B"), ("FREJA", "OX1", "B")] * 2
            )
        ]
        names = HEADER.split(",")
        for seed in range(20):
            order = list(range(len(names)))
            random.Random(seed).shuffle(order)
            header, *rows = [",".join(line.split(",")[k] for k in order) for line in (HEADER, *values)]
            looks.clear()
            table, _ = read_table(write_csv(tmp_path, rows, header))
            assert table["name"].to_pylist() == ["FENJA", None, "FENJA", "FREJA", *[None] * 4]
            assert len(looks) == 3

    def test_a_missing_column_is_named_with_what_was_found(self, tmp_path: Path) -> None:
        path = write_csv(tmp_path, [row()], HEADER.replace("Latitude", "Breite"))
        with pytest.raises(
            SourceError, match=r"aisdk-2024-03-01.csv: the header lacks Latitude\. Found '# Time.*Breite"
        ):
            read_table(path)

    def test_a_header_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="lacks # Timestamp, MMSI"):
            read_table(write_csv(tmp_path, [row()], row()))

    def test_a_column_that_stands_twice(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="has MMSI more than once"):
            read_table(write_csv(tmp_path, [row()], HEADER + ",MMSI"))

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is empty"),
            (b"\n\n", "has a blank line where the header should be"),
            (HEADER.encode(), "a header and no rows"),
            (HEADER.encode() + b"\r\n\r\n", "a header and no rows"),
            (b"x" * 3_000_000, "longer than"),
            (b'"' + b"x" * 200_000, "lacks"),
        ],
    )
    def test_a_file_without_rows_is_refused(self, tmp_path: Path, content: bytes, message: str) -> None:
        path = tmp_path / f"aisdk-{DAY}.csv"
        path.write_bytes(content)
        with pytest.raises(SourceError, match=message):
            read_table(path, replace(READER, block_bytes=1 << 16))


@pytest.mark.parametrize("before", [0, 3, 1_000])
def test_a_line_without_end_is_one_row(tmp_path: Path, before: int) -> None:
    rows = [row(mmsi=str(219_000_000 + k)) for k in range(1_010)]
    path = write_csv(tmp_path, rows)
    lines = path.read_bytes().split(b"\n")
    lines.insert(1 + before, bytes(3_000_000))
    path.write_bytes(b"\n".join(lines))
    table, stream = read_table(path, replace(READER, block_bytes=1 << 16))
    assert table["mmsi"].to_pylist() == [219_000_000 + k for k in range(1_010)]
    assert (stream.ledger.rows_in, stream.ledger.rows_dropped) == (1_011, 1)


def test_tables_have_the_rows_asked_for(tmp_path: Path) -> None:
    path = write_csv(tmp_path, [row(mmsi=str(k)) for k in range(25)])
    tables = list(replace(READER, table_rows=10).read(path, DAY).tables)
    assert [table.num_rows for table in tables] == [10, 10, 5]
    assert np.concatenate([table["mmsi"].to_numpy() for table in tables]).tolist() == list(range(25))


def test_more_static_data_than_the_set_first_holds(tmp_path: Path) -> None:
    count = 70_000
    path = write_csv(tmp_path, [row(mmsi=str(k), callsign=f"C{k}") for k in range(count)] * 2)
    table, _ = read_table(path)
    assert table["callsign"].to_pylist() == [f"C{k}" for k in range(count)] + [None] * count


def test_a_layout_must_have_every_needed_column() -> None:
    with pytest.raises(ValueError, match=r"lack \['lat'.*unknown \['latitude'\]"):
        Layout("bad", ",", {"t": "time", "mmsi": "mmsi", "latitude": "lat"}, {}, {})
