# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""Streams packed and unpacked in constant memory: zstd, then age where there are recipients.

age pulls what it encrypts and pushes what it has decrypted. So packing happens in the thread of the stream, and unpacking has
a thread of its own behind a short queue.
"""

from __future__ import annotations

import queue
import threading
import traceback
import typing as t

from ._errors import CachingError, one_line

try:
    import zstandard

    ZSTANDARD_ERROR = None
except ImportError:
    ZSTANDARD_ERROR = traceback.format_exc()
try:
    import pyrage

    PYRAGE_ERROR = None
except ImportError:
    PYRAGE_ERROR = traceback.format_exc()

Sink = t.Callable[[t.Any], t.Any]
_PIECE = 1 << 20
_WINDOW = 128 << 20  # what a frame may ask of memory; levels up to 19 need 8 MB
_WAITING = 4


class Damaged(CachingError):
    """What was read is not what was written."""


def recipients(texts: t.Iterable[str]) -> list[t.Any]:
    """Public keys of age, or of SSH, that can be encrypted to."""
    found = []
    for text in texts:
        _needs_age("encrypt_to")
        maker = pyrage.ssh.Recipient if text.startswith("ssh-") else pyrage.x25519.Recipient
        try:
            found.append(maker.from_str(text.strip()))
        except (pyrage.RecipientError, ValueError):
            raise CachingError(f"encrypt_to: {one_line(repr(text), 80)} is no recipient of age (age1…) and no SSH public key") from None
    return found


def identities(texts: t.Iterable[str]) -> list[t.Any]:
    """Private keys of age or SSH; a text may be a whole key file with comments."""
    found = []
    for number, text in enumerate(texts, 1):
        _needs_age("identities")
        try:
            if "OPENSSH PRIVATE" in text or "RSA PRIVATE" in text:
                found.append(pyrage.ssh.Identity.from_buffer(text.encode()))
                continue
            lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
            found += [pyrage.x25519.Identity.from_str(line) for line in lines]
        except (pyrage.IdentityError, ValueError):
            raise CachingError(f"identities: the identity number {number} is none of age and no SSH private key") from None
    return found


def _needs_age(option: str) -> None:
    if PYRAGE_ERROR:
        raise CachingError(f"{option}: encryption needs the Python library pyrage on the host where the module runs")


def _needs_zstandard() -> None:
    if ZSTANDARD_ERROR:
        raise CachingError("the Python library zstandard is needed on the host where the module runs")


def pack(source: t.Iterator[t.Any], sink: Sink, level: int, to: t.Sequence[t.Any]) -> None:
    """Everything of ``source``, compressed and encrypted, into ``sink``."""
    _needs_zstandard()
    packed = _compressed(source, level)
    if not to:
        for piece in packed:
            sink(piece)
        return
    puller, pusher = _Puller(packed), _Pusher(sink)
    try:
        pyrage.encrypt_io(puller, pusher, list(to))
    except Exception as error:
        raise (puller.error or pusher.error or CachingError(f"encryption failed: {one_line(error)}")) from None


def _compressed(source: t.Iterator[t.Any], level: int) -> t.Iterator[bytes]:
    worker = zstandard.ZstdCompressor(level=level).compressobj()
    for piece in source:
        packed = worker.compress(piece)
        if packed:
            yield packed
    yield worker.flush()


def unpack(source: t.Iterator[bytes], encrypted: bool, keys: t.Sequence[t.Any]) -> t.Iterator[bytes]:
    """What was packed, in pieces of at most a megabyte or so. Whatever is wrong with it is :class:`Damaged`."""
    _needs_zstandard()
    if not encrypted:
        return _decompressed(source)
    if not keys:
        raise CachingError("identities: the backup is encrypted, and no identity is given to decrypt it")
    return _decompressed(_decrypted(source, keys))


def _decompressed(source: t.Iterator[bytes]) -> t.Iterator[bytes]:
    """Exactly one frame: what follows it is damage, and so is an end within it."""
    worker, ended, step = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj(), False, 1 << 12
    for packed in source:
        start = 0
        while start < len(packed):
            if ended:
                raise Damaged("bytes follow the end of the compressed data")
            try:
                piece = worker.decompress(packed[start : start + step])
            except zstandard.ZstdError as error:
                raise Damaged(f"the compressed data is damaged: {one_line(error, 100)}") from None
            start += step
            # zeros grow by a factor of thousands: so much is given to the library at a time as becomes about one piece
            step = max(1 << 8, step >> 2) if len(piece) > _PIECE else min(1 << 16, step << 1) if len(piece) < _PIECE >> 2 else step
            if piece:
                yield piece
            if worker.eof:
                ended = True
                if worker.unused_data:
                    raise Damaged("bytes follow the end of the compressed data")
    if not ended:
        raise Damaged("the compressed data is cut")


def _decrypted(source: t.Iterator[bytes], keys: t.Sequence[t.Any]) -> t.Iterator[bytes]:
    waiting: queue.Queue[bytes | BaseException | None] = queue.Queue(_WAITING)
    left = threading.Event()

    def give(piece: bytes | BaseException | None) -> None:
        while not left.is_set():
            try:
                waiting.put(piece, timeout=0.2)
            except queue.Full:
                continue
            return
        raise EOFError  # nobody reads any more

    def work() -> None:
        puller = _Puller(source)
        try:
            pyrage.decrypt_io(puller, _Pusher(give), list(keys))
            end: BaseException | None = None
        except Exception as error:
            end = puller.error or _refused(error)
        try:
            give(end)
        except EOFError:
            pass

    thread = threading.Thread(target=work, name="decrypt", daemon=True)
    thread.start()
    try:
        while (piece := waiting.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:
        left.set()
        thread.join(5.0)


def _refused(error: Exception) -> CachingError:
    text = one_line(error, 120)
    if "No matching" in text or "no matching" in text:
        return CachingError("identities: none of them can decrypt the backup")
    return Damaged(f"the encrypted data is damaged: {text}")


class _Puller:
    """A file to read from, made of pieces."""

    def __init__(self, pieces: t.Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")
        self.error: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        try:
            while not len(self._rest):
                piece = next(self._pieces, None)
                if piece is None:
                    return b""
                self._rest = memoryview(piece)
        except BaseException as error:  # it must come out as what it is, not as what age makes of it
            self.error = error
            raise
        taken = self._rest if size is None or size < 0 else self._rest[:size]
        self._rest = self._rest[len(taken) :]
        return bytes(taken)


class _Pusher:
    """A file to write to."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.error: BaseException | None = None

    def write(self, data: bytes) -> int:
        try:
            self._sink(bytes(data))
        except BaseException as error:
            self.error = error
            raise
        return len(data)

    def flush(self) -> None:
        return None
