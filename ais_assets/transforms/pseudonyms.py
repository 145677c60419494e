"""Identities replaced by others: numbers by a secret permutation, texts by a keyed hash.

An MMSI becomes a number from `schema.FIRST_IDENTITY` up, which no MMSI is, so that nobody takes it for another ship's.
As it is a permutation, no two ships get one number, and whoever has the key can lead a number back; without the key it
says nothing, as there is no list to compare it with. It is a Feistel network of ten rounds over thirty bits, whose
round functions are drawn from SHAKE-256 of the key; numbers outside of the billion MMSIs are passed through it again
(cycle walking: Black and Rogaway, Ciphers with arbitrary finite domains, 2002).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ais_assets import schema

MMSIS: Final = 1_000_000_000
"""There are so many: nine digits."""
_ROUNDS: Final = 10
_HALF_BITS: Final = 15
_HALF: Final = 1 << _HALF_BITS
_TEXT_BYTES: Final = 8


class Pseudonyms:
    """What stands for identities under a key.

    Args:
        key: secret bytes.
        keeps_texts: whether texts and IMO numbers are hashed; False: they are left out.
    """

    def __init__(self, key: bytes, *, keeps_texts: bool) -> None:
        self._key = key
        self.keeps_texts = keeps_texts
        drawn = hashlib.shake_256(b"rounds" + key).digest(2 * _ROUNDS * _HALF)
        self._rounds = np.frombuffer(drawn, "<u2").reshape(_ROUNDS, _HALF).astype(np.int64) % _HALF

    def numbers(self, mmsi: NDArray[np.int32]) -> NDArray[np.int32]:
        """The numbers that stand for MMSIs. Raises ValueError for one that is no MMSI of up to nine digits."""
        self._require(mmsi, 0, MMSIS, "an MMSI")
        return (self._walked(mmsi.astype(np.int64), self._forth) + schema.FIRST_IDENTITY).astype(np.int32)

    def mmsis(self, numbers: NDArray[np.int32]) -> NDArray[np.int32]:
        """The MMSIs that these stand for: the other way round. Raises ValueError for one that stands for none."""
        self._require(numbers, schema.FIRST_IDENTITY, schema.FIRST_IDENTITY + MMSIS, "what stands for an MMSI")
        return self._walked(numbers.astype(np.int64) - schema.FIRST_IDENTITY, self._back).astype(np.int32)

    def text(self, value: str | None) -> str | None:
        """What stands for a name or another text: equal for equal ones; None where texts are left out."""
        return None if value is None or not self.keeps_texts else self._digest(value.encode()).hex()

    def imo(self, value: int | None) -> int | None:
        """What stands for an IMO number, a number of 31 bits; None where these are left out."""
        if value is None or not self.keeps_texts:
            return None
        return int.from_bytes(self._digest(b"imo %d" % value)[:4], "little") >> 1

    def all_of(self, values: Iterable[Any], one: Any) -> list[Any]:
        """What stands for each of several, by `text` or `imo`; none where they are left out."""
        return sorted(other for value in values if (other := one(value)) is not None)

    def _digest(self, value: bytes) -> bytes:
        return hashlib.blake2b(value, key=self._key, digest_size=_TEXT_BYTES).digest()

    @staticmethod
    def _require(numbers: NDArray[np.int32], first: int, end: int, what: str) -> None:
        astray = numbers[(numbers < first) | (numbers >= end)]
        if len(astray):
            raise ValueError(f"{astray[0]} is not {what}: AIS_IDENTITIES=hash and drop are for MMSIs")

    @staticmethod
    def _walked(values: NDArray[np.int64], step: Any) -> NDArray[np.int64]:
        values = step(values)
        while len(outside := np.flatnonzero(values >= MMSIS)):
            values[outside] = step(values[outside])
        return values

    def _forth(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        left, right = values >> _HALF_BITS, values & (_HALF - 1)
        for function in self._rounds:
            left, right = right, left ^ function[right]
        return left << _HALF_BITS | right

    def _back(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        left, right = values >> _HALF_BITS, values & (_HALF - 1)
        for function in self._rounds[::-1]:
            left, right = right ^ function[left], left
        return left << _HALF_BITS | right
