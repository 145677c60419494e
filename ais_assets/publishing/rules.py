"""What each rule means that a row can be rejected, dropped or left out by, in a sentence for the card's reader."""

from __future__ import annotations

from typing import Final

MEANING: Final = {
    # Rows of files that are no record.
    "too_few_fields": "the row ends before its time, MMSI and position",
    "bad_quotes": "a quoted field before the position's end is never closed",
    "bad_timestamp": "no time, or none that exists",
    "bad_mmsi": "not one to nine digits",
    "bad_latitude": "no number, or not on the globe",
    "bad_longitude": "no number, or not on the globe",
    "unknown_zone": "a time with an offset or a zone that is not understood",
    "coarse_time": "a time that is not known to the second",
    "no_such_local_time": "a local time that the change of the clocks skips",
    "ambiguous_local_time": "a local time that the change of the clocks repeats",
    "outside_file": "a time that is not on a day which the file's name says, nor near it",
    "no_time": "a sentence to which no time could be given",
    "no_sentence": "a line that looks like an AIS sentence and is none",
    "malformed_sentence": "a sentence whose fields cannot be read",
    "bad_checksum": "a sentence whose checksum is wrong",
    "empty_payload": "a sentence without content",
    "orphaned_part": "a part of a message whose other parts are missing",
    "other_message": "a message of a type that has neither a position nor static data",
    "too_short": "a message with fewer bits than its type has",
    "undecodable": "a message that cannot be decoded",
    "received_before": "a message that another station had received already",
    "not_json": "a line that is no JSON object",
    # Records that are no usable position.
    "other_day": "a time on another day (UTC) than the file's; its own day's file has it",
    "not_a_vessel": "sent by what is no ship: a base station, a buoy, an aircraft, or an MMSI that no ship has",
    "other_class": "a transponder of a class that was not asked for",
    "other_type": "a ship of a type that was not asked for",
    "no_position": "latitude or longitude not available, or not on the globe",
    "position_at_zero": "exactly 0° N 0° E, which is an unset field",
    "outside_region": "outside the region that was asked for",
    "on_land": "deeper inside land than a ship can be",
    "exact_duplicate": "the same report once more, as through a second base station",
    "rebroadcast": "an old report of a ship under way, sent again under a new time",
    "same_second": "another report of the vessel in the same second was preferred",
    # Positions that are in no track.
    "odd_one_out": "a position whose neighbours agree with each other and neither with it",
    "stray_position": "a chain of positions that is no ship's",
    "thinned": "a position too soon after its track's last",
    "stationary": "a moored or anchored stretch, where these were not asked for",
    # Positions of tracks that are in no window, and windows that are in no split.
    "of_short_tracks": "the track is shorter than a window",
    "behind_the_last_window": "fewer than a stride are left behind the track's last window",
    "between_windows": "windows are further apart than they are long",
    "around_holdout": "the only windows that it is in reach into held-out time",
    "reaches_into_holdout": "a window that begins before held-out time and ends in it",
}
"""By the rule's name as accounts have it."""


def meaning(rule: str) -> str:
    """What a rule means; a source's own rule says by its name what it is."""
    return MEANING.get(rule, "a rule of the source: " + rule.replace("_", " "))
