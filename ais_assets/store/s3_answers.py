"""What to say, and to do, where S3 refuses a request or cannot be reached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

_CURES: Final = {
    "400": "renew the credentials, if they can have expired (the answer to a HEAD says no more)",
    "403": "check the credentials, their rights on this bucket, and this machine's clock (the answer to a HEAD says no "
    "more)",
    "AccessDenied": "check the credentials and their rights on this bucket",
    "ConditionalRequestConflict": "others write this object all the time: let one build of the lake go on at a time",
    "InvalidAccessKeyId": "check AWS_ACCESS_KEY_ID or the AWS profile",
    "KMS.DisabledException": "check the key in AIS_S3_ENCRYPTION",
    "KMS.NotFoundException": "check the key in AIS_S3_ENCRYPTION",
    "RequestTimeTooSkewed": "set this machine's clock, which is more than 15 minutes off the server's (`ais doctor`)",
    "SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY or the AWS profile",
    "ExpiredToken": "renew the credentials",
    "InvalidStorageClass": "check AIS_S3_STORAGE_CLASS",
    "InvalidToken": "check AWS_SESSION_TOKEN or the AWS profile",
}

_BUSY: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "ConditionalRequestConflict",
        "InternalError",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
"""https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html"""
_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
"""HTTP's timeout and too many requests; the server's own failures, but for what it does not know how to do."""


def may_pass(error: BaseException | None) -> bool:
    """Whether the same request may well succeed later: a busy or failing server, a connection that breaks, or nobody
    there, as while a server is started anew."""
    from boto3.exceptions import RetriesExceededError, S3UploadFailedError  # noqa: PLC0415 - a local lake needs no boto
    from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError, SSLError  # noqa: PLC0415
    from botocore.parsers import ResponseParserError  # noqa: PLC0415 - an answer that was cut short

    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status in _PASSING or error.response.get("Error", {}).get("Code", "") in _BUSY
    if isinstance(error, S3UploadFailedError):
        return may_pass(error.__context__)
    if isinstance(error, SSLError):
        return False
    passing = HTTPClientError | IncompleteReadError | ResponseParserError | RetriesExceededError
    return is_nobody_there(error) or isinstance(error, passing)


def is_nobody_there(error: BaseException | None) -> bool:
    """Whether there is no such host, or nobody listens or answers there: of an address that was always wrong, too."""
    from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError  # noqa: PLC0415 - as above

    return isinstance(error, ConnectTimeoutError | EndpointConnectionError)


def whole_listing(ask: Callable[..., dict[str, Any]], **wanted: str) -> dict[str, Any]:
    """What a listing answers. Raises IncompleteReadError for a lost body, which botocore takes for an empty listing."""
    from botocore.exceptions import IncompleteReadError  # noqa: PLC0415 - a local lake needs no boto

    answer = ask(**wanted)
    if "IsTruncated" not in answer:
        raise IncompleteReadError(actual_bytes=0, expected_bytes=1)
    return answer


def s3_refusal(where: str, code: str, no_bucket: str) -> str:
    """The message for an answer of this code; `no_bucket` is the cure for a bucket that is not there."""
    cure = no_bucket if code == "NoSuchBucket" else _CURES.get(code, "see S3's documentation of this code")
    return f"{where}: S3 answered {code}: {cure}"


def s3_unreachable(where: str, error: Exception) -> str:
    """The message where no answer came, or none that makes sense."""
    # Of a body that stops, botocore does not know where it was from.
    why = str(error).replace(' on endpoint URL: "None"', " in the middle of an answer")
    return (
        f"{where}: S3 cannot be reached or used ({why}): "
        "check the endpoint (AIS_S3_ENDPOINT_URL or AWS_ENDPOINT_URL), the network and the credentials"
    )
