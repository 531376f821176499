# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What the errors of an S3 store mean: whether they may pass, and one clear line with the remedy.

Errors are told apart by the names of their classes, so that nothing of boto3 is imported here.
"""

from __future__ import annotations

import typing as t

from ._errors import one_line

_PASSING_CODES = {
    "InternalError", "InternalFailure", "ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "RequestTimeoutException",
    "ConditionalRequestConflict", "OperationAborted", "BandwidthLimitExceeded",
    # what is said of a request that was damaged on its way
    "BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch", "InvalidDigest", "InvalidPart", "MalformedXML",
}
_LASTING_CODES = {"InsufficientStorage", "QuotaExceeded", "QuotaExceededException", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "NotImplemented"}
_PASSING_STATUS = {408, 429, 500, 502, 503, 504}
# No answer, half of one, or one that does not fit its own checksum.
_PASSING_ERRORS = {
    "HTTPClientError", "ConnectionError", "ResponseParserError", "IncompleteReadError", "ReadTimeoutError", "ChecksumError", "FlexibleChecksumError",
    "HTTPError", "HTTPException", "OSError",
}
_LASTING_ERRORS = {"SSLError", "ProxyConnectionError", "InvalidProxiesConfigError"}
_REMEDIES = {
    "NoSuchBucket": "there is no such bucket; make it, or correct store_url",
    "AccessDenied": "access denied: the key may not do that there",
    "AllAccessDisabled": "access denied: the bucket is disabled",
    "InvalidAccessKeyId": "the access key is not known there; see store_access_key",
    "SignatureDoesNotMatch": "the secret key does not fit the access key; see store_secret_key",
    "ExpiredToken": "the credentials have expired",
    "InvalidToken": "the session token is not valid; see store_session_token",
    "RequestTimeTooSkewed": "the clocks of this host and of the store differ by more than 15 minutes",
    "InsufficientStorage": "the store is full", "XMinioStorageFull": "the store is full",
    "QuotaExceeded": "the store's quota is used up", "XMinioAdminBucketQuotaExceeded": "the store's quota is used up",
    "NotImplemented": "the store lacks something that is needed (conditional writes or checksums)",
    "PreconditionFailed": "the object was replaced meanwhile",
}
_REGIONS = ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301", "307", "TemporaryRedirect")


def _kinds(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


def _answer(error: BaseException) -> dict[str, t.Any]:
    """What the store answered, as botocore keeps it; empty where no answer came."""
    found = getattr(error, "response", None)
    return found if isinstance(found, dict) else {}


def code(error: BaseException) -> str:
    return str(_answer(error).get("Error", {}).get("Code", ""))


def status(error: BaseException) -> int:
    found = _answer(error).get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return found if isinstance(found, int) else 0


def missing(error: BaseException) -> bool:
    """There is no such object; a missing bucket is something else."""
    return code(error) in ("NoSuchKey", "NoSuchUpload", "404") or (status(error) == 404 and code(error) != "NoSuchBucket")


def taken(error: BaseException) -> bool:
    """``If-None-Match``: there is an object of this name."""
    return code(error) == "PreconditionFailed" or status(error) == 412


def passing(error: BaseException) -> bool:
    """Whether the same request may work in a moment."""
    if _answer(error):
        if code(error) in _LASTING_CODES or status(error) == 507:
            return False
        return code(error) in _PASSING_CODES or status(error) in _PASSING_STATUS
    kinds = _kinds(error)
    return bool(kinds & _PASSING_ERRORS) and not kinds & _LASTING_ERRORS


def line(error: BaseException) -> str:
    """The error in one line, with what helps against it."""
    answer = _answer(error)
    if answer:
        return _answered(answer.get("Error", {}), code(error), status(error), answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}))
    kinds = _kinds(error)
    text = one_line(error, 200)
    if kinds & {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError", "NoAuthTokenError"}:
        return f"no credentials; give store_access_key and store_secret_key, or the usual AWS environment or profile ({text})"
    if "SSLError" in kinds:
        trust = "its certificate is not trusted; give its authority in store_ca_path" if "CERTIFICATE" in text else "it speaks no TLS there, or none that fits"
        return f"{trust} ({text.rpartition('[SSL')[2].strip(': ]')})"
    if "EndpointConnectionError" in kinds:
        return "nobody answers on " + text.rpartition("URL: ")[2].partition("?")[0].strip('"')
    if kinds & {"ChecksumError", "FlexibleChecksumError"}:
        return f"what came does not fit its checksum ({text})"
    return text


def _answered(told: dict[str, t.Any], name: str, number: int, headers: dict[str, str]) -> str:
    said = one_line(told.get("Message") or "", 160)
    region = told.get("Region") or headers.get("x-amz-bucket-region")
    if name in _REGIONS or (region and number in (301, 307, 400)):
        return f"the bucket is in {f'the region {region}' if region else 'another region'}; see store_region"
    if name in ("403", "Forbidden"):
        name = "AccessDenied"
    remedy = _REMEDIES.get(name) or ("the store is full" if number == 507 else "")
    if remedy:
        return remedy + (f" ({said})" if said and said not in ("Access Denied", "Access Denied.") else "")
    hint = "; a full disk of the store looks like this too" if name in ("InternalError", "500") else ""
    return f"it answered {number}" + (f" {name}" if name and name != str(number) else "") + (f": {said}" if said else "") + hint
