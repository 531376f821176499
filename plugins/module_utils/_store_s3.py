# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A store in a bucket of any S3 service.

Requests are repeated by this file alone, within ``store_timeout``, because an answer that got lost has to be told apart
from a refusal: what is written carries a mark of its writer, and who finds an object in the way looks whose it is.
"""

from __future__ import annotations

import base64
import hashlib
import os
import random
import secrets
import time
import traceback
import typing as t
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from . import _s3_errors as errors
from ._duration import within
from ._errors import CachingError, one_line
from ._store_port import Entry, Reader, Writer, checked, missing
from ._store_s3_write import Upload
from ._wait import Deadline

try:
    import botocore.session  # what boto3 adds to it is slow to import, and nothing of it is used
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

    BOTO3_ERROR = None
    FAULTS: tuple[type[Exception], ...] = (BotoCoreError, ClientError, HTTPClientError, OSError)
except ImportError:
    BOTO3_ERROR = traceback.format_exc()
    FAULTS = (OSError,)

Answer = dict[str, t.Any]
MARK = "exalt-writer"
_REFUSED_FOR = 10.0   # how long nobody may listen at all: a store that starts again


class S3:
    """The objects below ``prefix`` of ``bucket``."""

    def __init__(self, bucket: str, prefix: str, params: t.Mapping[str, t.Any]) -> None:
        if BOTO3_ERROR:
            raise CachingError("store_url: a store in S3 needs the Python library boto3 on the host where the module runs")
        self.bucket = bucket
        self.root = f"{prefix}/" if prefix else ""
        self.place = f"s3://{bucket}" + (f"/{prefix}" if prefix else "")
        self.timeout = within(params.get("store_timeout") or "PT40S", "store_timeout")
        self.encryption: Answer = {}
        if params.get("store_sse"):
            self.encryption["ServerSideEncryption"] = params["store_sse"]
        if params.get("store_sse_kms_key_id"):
            self.encryption["SSEKMSKeyId"] = params["store_sse_kms_key_id"]
        self.client = _client(params, self.timeout)

    # ---- the port

    def get(self, name: str) -> bytes | None:
        return self._content(name, {})

    def get_range(self, name: str, start: int, length: int) -> bytes | None:
        if length <= 0:
            return b"" if self.head(self.key(name)) is not None else None
        return self._content(name, {"Range": f"bytes={start}-{start + length - 1}"})

    def put(self, name: str, content: bytes) -> None:
        self.call("write to", "put_object", **self.whole(self.key(name), content, secrets.token_hex(8)))

    def put_if_absent(self, name: str, content: bytes) -> bool:
        return self.put_once(self.key(name), content)

    def write(self, name: str) -> Writer:
        return Upload(self, name)

    def read(self, name: str) -> Reader:
        return _Download(self, name)

    def entries(self, prefix: str) -> list[Entry]:
        found: list[Entry] = []
        more: Answer = {}
        while True:
            answer = self.call("list", "list_objects_v2", Prefix=self._folder(prefix), **more)
            now = _now(answer)
            for row in answer.get("Contents", []):
                name = row["Key"].removeprefix(self.root)
                if name and not name.endswith("/"):   # a folder that some tool made
                    found.append(Entry(name, row["Size"], max(0.0, now - row["LastModified"].timestamp())))
            if not answer.get("IsTruncated"):
                return sorted(found)
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    def delete(self, name: str) -> None:
        self.call("delete in", "delete_object", absent=True, Key=self.key(name))

    def leftovers(self, prefix: str) -> list[Entry]:
        """Incomplete uploads, each with ``#`` and its id; its age is that of its last part."""
        found = []
        for key, upload, begun, now in self.uploads(self._folder(prefix)):
            answer = self.call("list", "list_parts", absent=True, Key=key, UploadId=upload)
            parts = answer.get("Parts", [])
            last = max((part["LastModified"].timestamp() for part in parts), default=begun)
            found.append(Entry(f"{key.removeprefix(self.root)}#{upload}", sum(part["Size"] for part in parts), max(0.0, now - last)))
        return sorted(found)

    def discard(self, leftover: Entry) -> None:
        name, mark, upload = leftover.name.partition("#")
        if not mark or not upload:
            raise CachingError(f"{one_line(repr(leftover.name), 80)} is no leftover")
        self.call("delete in", "abort_multipart_upload", absent=True, Key=self.key(name), UploadId=upload)

    # ---- for reading and writing

    def key(self, name: str) -> str:
        return self.root + "/".join(checked(name))

    def call(self, doing: str, operation: str, absent: bool = False, timeout: float | None = None, **arguments: t.Any) -> Answer:
        """One request, repeated while its fault may pass. ``absent``: nothing there is no error, the answer is empty."""
        return self.repeat(doing, lambda: self.send(operation, arguments, absent), timeout)

    def repeat(self, doing: str, attempt: t.Callable[[], Answer], timeout: float | None = None) -> Answer:
        deadline, refused = Deadline(self.timeout if timeout is None else timeout), Deadline(_REFUSED_FOR)
        pause = 0.1
        while True:
            try:
                return attempt()
            except FAULTS as error:
                over = deadline.left < pause or (refused.over and type(error).__name__ == "EndpointConnectionError")
                if over or not errors.passing(error):
                    raise self.refusal(doing, error) from error
            deadline.pause(pause * random.uniform(0.7, 1.3))
            pause = min(4.0, pause * 2)

    def put_once(self, key: str, content: bytes) -> bool:
        mark = secrets.token_hex(8)
        try:
            self.call("write to", "put_object", IfNoneMatch="*", **self.whole(key, content, mark))
        except CachingError as error:
            if error.__cause__ is None or not errors.taken(error.__cause__):
                raise
            return self.written(key, mark)
        return True

    def written(self, key: str, mark: str) -> bool:
        """Whether the object is the one that was written with this mark: an answer may have got lost, or come twice."""
        found = self.head(key)
        return found is not None and found.get("Metadata", {}).get(MARK) == mark

    def head(self, key: str) -> Answer | None:
        return self.call("read", "head_object", absent=True, Key=key) or None

    def whole(self, key: str, content: bytes, mark: str) -> Answer:
        checksum = base64.b64encode(hashlib.sha256(content).digest()).decode()
        return {"Key": key, "Body": content, "ChecksumSHA256": checksum, "Metadata": {MARK: mark}, **self.encryption}

    def uploads(self, prefix: str) -> t.Iterator[tuple[str, str, float, float]]:
        """Key, id, beginning and the store's time of each incomplete upload."""
        more: Answer = {}
        while True:
            answer = self.call("list", "list_multipart_uploads", Prefix=prefix, **more)
            now = _now(answer)
            for row in answer.get("Uploads", []):
                if row["Key"].startswith(prefix):
                    yield row["Key"], row["UploadId"], row["Initiated"].timestamp(), now
            if not answer.get("IsTruncated"):
                return
            more = {"KeyMarker": answer["NextKeyMarker"], "UploadIdMarker": answer.get("NextUploadIdMarker", "")}

    def refusal(self, doing: str, error: BaseException) -> CachingError:
        asked = self.encryption.get("ServerSideEncryption") if doing.startswith("write") else None
        more = f"; it was asked to encrypt (store_sse {asked}): has it such a key?" if asked else ""
        return CachingError(f"can't {doing} the store {self.place}: {errors.line(error)}{more}")

    def send(self, operation: str, arguments: Answer, absent: bool = False) -> Answer:
        try:
            return t.cast("Answer", getattr(self.client, operation)(Bucket=self.bucket, **arguments))
        except FAULTS as error:
            if absent and errors.missing(error):
                return {}
            raise

    def _content(self, name: str, arguments: Answer) -> bytes | None:
        """The body is part of the attempt: one that is cut, or does not fit its checksum, is asked for again."""
        key = self.key(name)

        def attempt() -> Answer:
            try:
                answer = self.send("get_object", {"Key": key, **arguments}, absent=True)
                return {"content": answer["Body"].read()} if answer else {}
            except FAULTS as error:
                if errors.status(error) == 416:   # begins behind the end
                    return {"content": b""}
                raise

        return self.repeat("read", attempt).get("content")

    def _folder(self, prefix: str) -> str:
        inner = prefix.strip("/")
        return f"{self.key(inner)}/" if inner else self.root


class _Download(Reader):
    """The body of one object; where it breaks off, the rest is asked for, of the same object only."""

    def __init__(self, store: S3, name: str) -> None:
        self._store = store
        self._key = store.key(name)
        self._offset = 0
        self._tag = ""
        self._body: t.Any = None
        answer = store.repeat("read", self._open)
        if not answer:
            raise missing(name)
        self._tag = answer["ETag"]
        super().__init__(name, answer["ContentLength"])

    def _open(self) -> Answer:
        rest = {"Range": f"bytes={self._offset}-", "IfMatch": self._tag} if self._offset else {}
        answer = self._store.send("get_object", {"Key": self._key, **rest}, absent=True)
        if self._offset and answer and not answer.get("ContentRange", "").startswith(f"bytes {self._offset}-"):
            raise CachingError(f"the store {self._store.place} does not give parts of objects, so {self.name} can't be read to its end")
        self._body = answer.get("Body")
        return answer

    def _take(self, length: int) -> bytes:
        def attempt() -> Answer:
            if self._body is None and not self._open():
                return {"data": b""}
            try:
                data = self._body.read(length)
                if not data:
                    raise ConnectionError("the answer ended too early")
                if self._offset + len(data) == self.size:
                    self._body.read(1)   # it is at the end that the body is held against its checksum
                return {"data": data}
            except FAULTS as error:
                self.close()
                if self._offset and "Checksum" in type(error).__name__:   # in which part of it, nobody knows
                    raise CachingError(f"{self.name} in the store is damaged, or was on its way: {errors.line(error)}") from None
                raise

        data: bytes = self._store.repeat(f"read {self.name} in", attempt)["data"]
        self._offset += len(data)
        return data

    def close(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None


def _now(answer: Answer) -> float:
    """The store's clock, from the head of its answer."""
    try:
        return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return time.time()


def _client(params: t.Mapping[str, t.Any], timeout: float) -> t.Any:
    endpoint, ca_path = params.get("store_endpoint_url") or None, params.get("store_ca_path") or None
    access, secret, token = (params.get(f"store_{name}") or None for name in ("access_key", "secret_key", "session_token"))
    if bool(access) != bool(secret):
        raise CachingError("store_access_key and store_secret_key belong together: only one of them is given")
    if ca_path and not os.path.exists(ca_path):
        raise CachingError(f"store_ca_path: there is no file {ca_path} on the host where this module runs")
    if token == os.environ.get("AWS_SESSION_TOKEN") and access != os.environ.get("AWS_ACCESS_KEY_ID"):
        token = None   # it belongs to the key of the environment
    elsewhere = endpoint and not (urlsplit(endpoint).hostname or "").endswith(".amazonaws.com")
    config: Answer = {
        "connect_timeout": min(5.0, timeout / 3), "read_timeout": timeout / 3, "retries": {"total_max_attempts": 1},
        "request_checksum_calculation": "when_required", "response_checksum_validation": "when_supported", "tcp_keepalive": True,
        # The checksum header is signed and covers the body, so the body is not hashed once more for the signature.
        "s3": {"addressing_style": "path" if elsewhere else "auto", "payload_signing_enabled": False},
    }
    try:
        session = botocore.session.Session()
        if access:
            session.set_credentials(access, secret, token)
        region = params.get("store_region") or session.get_config_variable("region") or "us-east-1"
        return session.create_client("s3", region_name=region, endpoint_url=endpoint, verify=ca_path, config=Config(**config))
    except (ValueError, BotoCoreError) as error:
        raise CachingError(f"the store can't be used: {errors.line(error)}") from None
