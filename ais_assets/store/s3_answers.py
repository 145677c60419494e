"""What to say, and to do, where S3 refuses a request or cannot be reached."""

from __future__ import annotations

from typing import Final

_CURES: Final = {
    "403": "check the credentials and their rights on this bucket",
    "AccessDenied": "check the credentials and their rights on this bucket",
    "InvalidAccessKeyId": "check AWS_ACCESS_KEY_ID or the AWS profile",
    "SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY or the AWS profile",
    "ExpiredToken": "renew the credentials",
}


def s3_refusal(where: str, code: str, no_bucket: str) -> str:
    """The message for an answer of this code; `no_bucket` is the cure for a bucket that is not there."""
    cure = no_bucket if code == "NoSuchBucket" else _CURES.get(code, "see S3's documentation of this code")
    return f"{where}: S3 answered {code}: {cure}"


def s3_unreachable(where: str, error: Exception) -> str:
    """The message where no answer came, or none that makes sense."""
    return (
        f"{where}: S3 cannot be reached or used ({error}): "
        "check the endpoint (AIS_S3_ENDPOINT_URL or AWS_ENDPOINT_URL), the network and the credentials"
    )
