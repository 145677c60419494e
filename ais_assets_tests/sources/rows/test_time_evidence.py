"""When a message was received: each candidate alone, and which of several counts."""

from __future__ import annotations

import pytest
from pyais.util import checksum

from ais_assets.sources.rows.sentences import Fault, Message, MessageReader
from ais_assets.sources.rows.zones import NO_SUCH_LOCAL_TIME

SENTENCE = "!AIVDM,1,1,,A,13@ne9@P1T0q>70OhN83Q2l1P000,0*67"
OTHER = "!AIVDM,1,1,,A,13@ne9@P1T0q>70OhPN3Q2l3P000,0*0D"
T = 1_709_294_400


def tag(fields: str) -> str:
    return f"\\{fields}*{checksum(fields.encode()):02X}\\"


def pghp(second: int, sums: str) -> str:
    body = f"PGHP,1,2024,3,1,12,0,{second},0,219,,2190000,1,{sums}"
    return f"${body}*{checksum(body.encode()):02X}"


def times(*lines: str, zone: str = "UTC") -> list[int | None]:
    """The times of the messages in these lines; every one of them must be a message."""
    found = list(MessageReader(zone).read([(k, line.encode()) for k, line in enumerate(lines, 1)]))
    messages = [message for message in found if isinstance(message, Message)]
    assert len(messages) == len(found)
    return [message.t for message in messages]


@pytest.mark.parametrize(
    "lines",
    [
        [tag(f"c:{T}") + SENTENCE],
        [tag(f"s:x,c:{T}123") + SENTENCE],
        [tag(f"c:{T}123456") + SENTENCE],
        [tag(f"c:{T}"), SENTENCE],
        [pghp(0, "67"), SENTENCE],
        [SENTENCE + ",rXX1,rxtime=20240301120000"],
        ['{"nmea":"' + SENTENCE + '","toa":1709294400.25}'],
        [f"{SENTENCE} timestamp: 2024-03-01T13:00:00+01:00"],
        [f"{SENTENCE},{T}"],
        [f"{SENTENCE},{T}123"],
        [f"{SENTENCE},{T}123456"],
        [f"{SENTENCE},s22,d-085,T28.5,r003669945,{T}.5"],
        [f"{SENTENCE},r003669945,{T},{T + 9}"],
        [f"{SENTENCE} {T} {T + 9}"],
        [f"2024-03-01 12:00:00 {SENTENCE}"],
        [f"[2024-03-01T12:00:00.123Z] {SENTENCE}"],
        [f"2024-03-01 13:00:00 +01 {SENTENCE}"],
        [f"2024-03-01 13:00:00,5+0100: {SENTENCE}"],
        [f"2024-03-01 12:00:00 utc {SENTENCE}"],
        [f"01/03/2024 12:00 {SENTENCE}"],
        [f"01.03.2024 12:00:00 PM {SENTENCE}"],
        [f"20240301T120000Z {SENTENCE}"],
        [f"20240301-120000 {SENTENCE}"],
        [f"2024-03-01 12:00:00 INFO {SENTENCE}"],
        [f"{T} {SENTENCE}"],
        [f"{T}.25: {SENTENCE}"],
        [f"{T}123 {SENTENCE}"],
        [f"{T}123456\t{SENTENCE}"],
    ],
)
def test_each_candidate_alone(lines: list[str]) -> None:
    assert times(*lines) == [T]


def test_the_order_of_candidates() -> None:
    """Each line adds a candidate that goes before those of the lines before it."""
    sentence = SENTENCE
    expected = []
    lines = []
    for line in (
        [f"2024-03-01 12:00:01 {sentence}"],
        [f"2024-03-01 12:00:01 {sentence},{T + 2}"],
        [f"2024-03-01 12:00:01 {sentence},{T + 2},rxtime=20240301120003"],
        [pghp(4, "67"), f"2024-03-01 12:00:01 {sentence},{T + 2},rxtime=20240301120003"],
        [tag(f"c:{T + 5}"), pghp(4, "67"), f"2024-03-01 12:00:01 {sentence},{T + 2},rxtime=20240301120003"],
        [tag(f"c:{T + 5}"), pghp(4, "67"), f"{tag(f'c:{T + 6}')}{sentence},{T + 2},rxtime=20240301120003"],
    ):
        expected.append(T + len(expected) + 1)
        lines += line
    assert times(*lines) == expected


@pytest.mark.parametrize(
    "line",
    [
        tag("c:soon") + f"{SENTENCE},{T}",
        tag("s:2190000") + f"{SENTENCE},{T}",
        tag(f"c:{T + 1}").replace("*", "*0") + f"{SENTENCE},{T}",
        f"{SENTENCE},rxtime=soon,{T}",
        f"2024-03-01 11:59:00 CET {SENTENCE},{T}",
        f"2024-13-01 12:00:00 {SENTENCE},{T}",
    ],
)
def test_what_is_no_time_hides_no_other(line: str) -> None:
    assert times(line) == [T]
    assert times(pghp(4, "0D"), line) == [T]


@pytest.mark.parametrize("zone", ["CET", "+1", "+01:0", "Europe/Oslo", "EST"])
def test_a_zone_that_is_not_understood_is_no_time(zone: str) -> None:
    (t,) = times(f"2024-03-01 12:00:00 {zone} {SENTENCE}")
    assert t is not None
    assert t < 0


def test_local_times() -> None:
    assert times(f"2024-03-01 07:00:00 {SENTENCE}", zone="America/New_York") == [T]
    assert times(f"2024-03-01 12:00:00Z {SENTENCE}", zone="America/New_York") == [T]
    assert times(f"2024-03-10 02:30:00 {SENTENCE}", zone="America/New_York") == [NO_SUCH_LOCAL_TIME]


def test_glued_sentences_are_judged_each_by_its_own() -> None:
    reader = MessageReader()
    line = f"{tag(f'c:{T}')}{SENTENCE}{tag(f'c:{T + 1}')}{OTHER}{SENTENCE[:-1]}8{SENTENCE[:20]}"
    found = list(reader.read([(1, line.encode())]))
    assert [of.t for of in found if isinstance(of, Message)] == [T, T + 1]
    assert sorted(of.reason for of in found if isinstance(of, Fault)) == ["bad_checksum", "malformed_sentence"]
    assert reader.notes["glued_sentences"] == 3


def test_tag_blocks_whose_checksums_are_never_right() -> None:
    line = tag(f"c:{T}").replace("*", "*0", 1)[:-3] + "00\\" + SENTENCE
    line = f"\\c:{T}*00\\{SENTENCE}"
    assert times(line) == [None]
    reader = MessageReader(believe_tag_blocks=True)
    (message,) = reader.read([(1, line.encode())])
    assert isinstance(message, Message)
    assert message.t == T
    assert reader.notes["bad_tag_blocks"] == 1
