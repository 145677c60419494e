"""What to do where S3 refuses a request, by the code that it answers."""

from __future__ import annotations

from typing import Final

_CURES: Final = {
    "403": "check the credentials and their rights on this bucket",
    "AccessDenied": "check the credentials and their rights on this bucket",
    "InvalidAccessKeyId": "check AWS_ACCESS_KEY_ID or the AWS profile",
    "SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY or the AWS profile",
    "ExpiredToken": "renew the credentials",
}


def s3_cure(code: str, no_bucket: str) -> str:
    """The cure for an answer of this code; `no_bucket` is that for a bucket that is not there."""
    return no_bucket if code == "NoSuchBucket" else _CURES.get(code, "see S3's documentation of this code")
