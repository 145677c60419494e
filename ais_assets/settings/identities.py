"""The key by which identities are replaced: made of a secret that is in the environment and nowhere else."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Final, Literal

Identities = Literal["keep", "hash", "drop"]
LEAST_SECRET: Final = 16
"""Characters of a secret: there are only a billion MMSIs to try, so that the secret is all that protects them."""
_SALT: Final = b"ais_assets identities"
_FINGERPRINT: Final = b"fingerprint"


@cache
def identity_key(secret: str) -> bytes:
    """32 bytes. Slow to compute (scrypt, RFC 7914), so that guessing secrets is, too."""
    return hashlib.scrypt(secret.encode(), salt=_SALT, n=1 << 14, r=8, p=1, dklen=32)


def key_fingerprint(key: bytes) -> str:
    """Tells one key from another, and leads to neither: partitions record by which key they were made."""
    return hashlib.blake2b(_FINGERPRINT, key=key, digest_size=8).hexdigest()
