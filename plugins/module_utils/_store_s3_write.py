# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""A stream into S3: parts of 5 MB, one being filled, one on its way and one waiting, so memory stays as it is.

Who fills is never held up for longer than a source of replication bears (60 s): a store that takes nothing for
``store_timeout`` ends the stream.
"""

from __future__ import annotations

import base64
import hashlib
import io
import queue
import secrets
import threading
import typing as t

from . import _s3_errors as errors
from ._errors import CachingError
from ._store_port import Writer, exists
from ._wait import Deadline

PART = 5 << 20   # the least that S3 takes; larger ones are no faster, and three of each shard are in memory
PARTS = 10_000   # the protocol's limit
BUFFERS = 3
_GRACE = 15.0   # for giving up: the part on its way, and the abort

Answer = dict[str, t.Any]


class Port(t.Protocol):
    """What an upload needs of its store."""

    timeout: float
    encryption: Answer

    def key(self, name: str) -> str: ...
    def send(self, operation: str, arguments: Answer, absent: bool = False) -> Answer: ...
    def repeat(self, doing: str, attempt: t.Callable[[], Answer], timeout: float | None = None) -> Answer: ...
    def call(self, doing: str, operation: str, absent: bool = False, timeout: float | None = None, **arguments: t.Any) -> Answer: ...
    def put_once(self, key: str, content: bytes) -> bool: ...
    def head(self, key: str) -> Answer | None: ...
    def uploads(self, prefix: str) -> t.Iterator[tuple[str, str, float, float]]: ...


class _Part(io.RawIOBase):
    """A part as the body of a request: read in small pieces, so that a slow store is seen between them."""

    def __init__(self, content: memoryview, stopped: threading.Event) -> None:
        self._content = content
        self._stopped = stopped
        self._position = 0

    def read(self, size: int = -1) -> bytes:
        if self._stopped.is_set():
            raise ConnectionError("the upload was given up")
        end = len(self._content) if size is None or size < 0 else self._position + size
        data = bytes(self._content[self._position : end])
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._content)}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


class Upload(Writer):
    """What is smaller than a part goes in one request; everything else in parts, each with its SHA-256 stored."""

    def __init__(self, store: Port, name: str) -> None:
        super().__init__(name)
        self._store = store
        self._key = store.key(name)
        self._mark = secrets.token_hex(8)
        self._buffer = memoryview(bytearray(PART))
        self._filled = 0
        self._made = 1
        self._free: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
        self._full: queue.SimpleQueue[memoryview | None] = queue.SimpleQueue()
        self._parts: list[Answer] = []
        self._upload = ""
        self._created = 0
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._error: BaseException | None = None

    def _append(self, data: bytes | memoryview) -> None:
        view = memoryview(data).cast("B")
        while len(view):
            piece = view[: PART - self._filled]
            self._buffer[self._filled : self._filled + len(piece)] = piece
            self._filled += len(piece)
            view = view[len(piece) :]
            if self._filled == PART:
                self._hand_over()

    def _hand_over(self) -> None:
        """The part goes to the sender, and an empty buffer comes."""
        self._begin()
        self._full.put(self._buffer)
        if self._made < BUFFERS:
            self._made += 1
            self._buffer = memoryview(bytearray(PART))
        else:
            try:
                self._buffer = self._free.get(timeout=self._store.timeout + _GRACE)
            except queue.Empty:
                raise CachingError(f"can't write {self.name} to the store: it has taken nothing for {self._store.timeout + _GRACE:.0f} s") from None
        self._filled = 0
        self._raise()

    def _begin(self) -> None:
        if len(self._parts) + BUFFERS > PARTS:
            raise CachingError(f"can't write {self.name} to the store: it is larger than {PARTS * PART >> 30} GB")
        if self._thread:
            return
        arguments = {"Key": self._key, "ChecksumAlgorithm": "SHA256", "Metadata": {"exalt-writer": self._mark}, **self._store.encryption}

        def attempt() -> Answer:
            self._created += 1
            return self._store.send("create_multipart_upload", arguments)

        self._upload = self._store.repeat("write to", attempt)["UploadId"]
        self._thread = threading.Thread(target=self._send, name=f"upload {self.name}", daemon=True)
        self._thread.start()

    def _send(self) -> None:
        """The sender: one part after another, until there is no more, or one of them fails."""
        while (buffer := self._full.get()) is not None:
            if self._error is None and not self._stopped.is_set():
                try:
                    self._send_part(buffer)
                except Exception as error:  # raised where the stream is filled
                    self._error = error
            self._free.put(buffer)

    def _send_part(self, content: memoryview) -> None:
        number = len(self._parts) + 1
        checksum = base64.b64encode(hashlib.sha256(content).digest()).decode()
        arguments = {"Key": self._key, "UploadId": self._upload, "PartNumber": number, "ContentLength": len(content), "ChecksumSHA256": checksum}

        def attempt() -> Answer:
            if self._stopped.is_set():
                raise CachingError(f"the writing of {self.name} was given up")
            return self._store.send("upload_part", {**arguments, "Body": _Part(content, self._stopped)})

        answer = self._store.repeat("write to", attempt)
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": checksum})

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _finish(self) -> None:
        if not self._thread:
            if not self._store.put_once(self._key, bytes(self._buffer[: self._filled])):
                raise exists(self.name)
            return
        if self._filled:
            self._full.put(self._buffer[: self._filled])
        self._full.put(None)
        self._thread.join(BUFFERS * (self._store.timeout + _GRACE))
        self._raise()
        if self._thread.is_alive():
            raise CachingError(f"can't write {self.name} to the store: its last parts were not taken in time")
        self._complete()

    def _complete(self) -> None:
        """Whatever is answered, or is not: what counts is whose object is there then, and that it is whole."""
        failure: CachingError | None = None
        try:
            self._store.call(
                "write to", "complete_multipart_upload", Key=self._key, UploadId=self._upload, IfNoneMatch="*", MultipartUpload={"Parts": self._parts})
        except CachingError as error:
            cause = error.__cause__
            if cause is None or not (errors.taken(cause) or errors.missing(cause) or errors.passing(cause)):
                raise
            failure = error
        found = self._store.head(self._key)
        if found is None or found.get("Metadata", {}).get("exalt-writer") != self._mark:
            if found is not None and (failure is None or (failure.__cause__ is not None and errors.taken(failure.__cause__))):
                raise exists(self.name)
            raise failure or CachingError(f"{self.name} is not in the store, although its writing was acknowledged")
        if found.get("ContentLength") != self.size:
            raise CachingError(f"{self.name} in the store has {found.get('ContentLength')} bytes, but {self.size} were written")
        if self._created > 1:
            self._clean(Deadline(_GRACE))

    def _abort(self) -> None:
        self._stopped.set()
        deadline = Deadline(_GRACE)
        if self._thread:
            self._full.put(None)
            self._thread.join(deadline.left)
        self._clean(deadline)

    def _clean(self, deadline: Deadline) -> None:
        """Abort the upload; where its beginning was repeated, all of this name, as the answer with an id may have got lost."""
        try:
            ids = {self._upload} - {""}
            if self._created > 1 or (self._created and not ids):
                ids |= {upload for key, upload, _begun, _now in self._store.uploads(self._key) if key == self._key}
            for upload in ids:
                self._store.call("delete in", "abort_multipart_upload", absent=True, timeout=deadline.left, Key=self._key, UploadId=upload)
        except CachingError:  # it stays as a leftover
            pass
