# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""The own authority: made once, where there is none, and never over one that is there.

Its key is encrypted from the first byte. Two files can't come to be at once, so the certificate is written beside its place, then
the key gets its place, then the certificate: a run that was cut off in between is finished by the next, and a key whose
certificate is nowhere is an error, not an occasion for a second authority.
"""

from __future__ import annotations

import math
import os
import stat
import typing as t

from .. import _cert_make as make
from .. import _cert_model as model
from .._cert_checks import dates
from .._cert_make import Issuer
from .._cert_names import Name, constraint, outside
from .._cert_policy import Wish, lifetime
from .._errors import CachingError
from . import cert_disk as disk

if t.TYPE_CHECKING:
    from cryptography import x509

_SHORTEST = 8      # characters of a passphrase


class Authority:
    """The authority behind the options ca_*. ``look`` reads, ``make`` writes, ``sign`` does neither."""

    def __init__(self, params: t.Mapping[str, t.Any], now: float, common_name: str | None = None) -> None:
        for option in ("ca_certificate_path", "ca_key_path"):
            if not params[option] or not os.path.isabs(params[option]):
                raise CachingError(f"{option}: provider ownca needs it, as an absolute path on the host where this module runs")
        self.certificate_path: str = params["ca_certificate_path"]
        self.key_path: str = params["ca_key_path"]
        if self.certificate_path == self.key_path:
            raise CachingError("ca_key_path: it must be another file than ca_certificate_path")
        self._passphrase: str | None = params["ca_key_passphrase"]
        self._organization: str = params["organization"] or ""
        self._common_name = common_name or f"{(self._organization or 'exalt.caching')[:40]} authority"
        self._length = lifetime(params["ca_validity"], "ca_validity")
        self._constraints = [constraint(text, "ca_name_constraints") for text in params["ca_name_constraints"]]
        self._now = now
        self._key: model.Key | None = None
        self.found: list[x509.Certificate] = []     # the one that signs, then what is above it

    @property
    def _making(self) -> str:
        return self.certificate_path + ".making"

    @property
    def _making_key(self) -> str:
        return self.key_path + ".making"

    def look(self) -> str:
        """Read it; why it has to be made, or nothing."""
        with disk.told("ca_certificate_path"):
            text, half = disk.read(self.certificate_path), disk.read(self._making)
        with disk.told("ca_key_path"):
            has_key = os.path.lexists(self.key_path)
        if text is None and not has_key:
            return "there is no authority yet"
        if text is None and half is not None:
            return "the authority was not finished"
        if text is None:
            raise CachingError(f"ca_certificate_path: {self.certificate_path} is not there, and the key {self.key_path} is; bring its certificate back")
        self.found = model.certificates(text, f"ca_certificate_path: {self.certificate_path}")
        have = model.facts(self.found[0])
        if not have.authority:
            raise CachingError(f"ca_certificate_path: the first certificate in {self.certificate_path} is no authority")
        return ""

    @property
    def facts(self) -> model.Facts | None:
        return model.facts(self.found[0]) if self.found else None

    @property
    def roots(self) -> list[x509.Certificate]:
        return [one for one in self.found if model.self_signed(one)]

    @property
    def chain(self) -> list[x509.Certificate]:
        """What a server has to show beside its own certificate."""
        return [one for one in self.found if not model.self_signed(one)]

    def check(self, names: t.Sequence[Name]) -> list[str]:
        """Whether it can sign for these names; an error says why not. Returns warnings.

        Where it is not there yet, whether it can be made.
        """
        if not self.found:
            if len(self._passphrase or "") < _SHORTEST:
                raise CachingError(f"ca_key_passphrase: there is no authority yet, and its key is only made encrypted; give {_SHORTEST} characters or more")
            if bad := outside(names, self._constraints):
                raise CachingError(f"ca_name_constraints: they don't allow {', '.join(bad)}")
            return []
        have = model.facts(self.found[0])
        if problems := dates(have, self._now):
            raise CachingError(f"ca_certificate_path: the authority is of no use: {problems[0].partition(';')[0]}; make a new one at another path, "
                               "and trust both (trusted_certificates) until every certificate is by the new one")
        if bad := outside(names, make.constraints_of(self.found[0])):
            raise CachingError(f"ca_certificate_path: the authority may not sign for {', '.join(bad)} (its name constraints)")
        return self._load()

    def _load(self) -> list[str]:
        """The key, opened and compared."""
        with disk.told("ca_key_path"):
            text = disk.read(self.key_path)
            if text is None:
                raise CachingError(f"ca_key_path: {self.key_path} is not there, but its certificate is; bring the key back, or make a new authority elsewhere")
            open_to = stat.S_IMODE(os.stat(self.key_path).st_mode) & 0o077
        self._key = model.private_key(text, f"ca_key_path: {self.key_path}", self._passphrase)
        if not model.same_key(self._key.public_key(), self.found[0].public_key()):
            raise CachingError(f"ca_key_path: the key {self.key_path} does not belong to {self.certificate_path}")
        warnings = [] if b"ENCRYPTED" in text else [f"the key of the authority, {self.key_path}, is not encrypted"]
        return warnings + ([f"the key of the authority, {self.key_path}, can be read by others (mode)"] if open_to else [])

    def make(self) -> bool:
        """Where it is still missing; whether this run made it."""
        for folder in (os.path.dirname(self.key_path), os.path.dirname(self.certificate_path)):
            with disk.told("ca_key_path"):
                disk.folders(folder, 0o700)
        with disk.alone(os.path.dirname(self.key_path), "ca_key_path"):
            if not self.look():
                return False
            self.check([])
            with disk.told("ca_key_path", "; there is no authority yet", self.key_path):
                if not os.path.lexists(self.key_path):
                    self._write()
                disk.remove(self._making_key)      # of a run that was cut off just after its key had its place
                self.found = model.certificates(disk.read(self._making) or b"", f"ca_certificate_path: {self._making}")
                self._load()
                os.rename(self._making, self.certificate_path)
                disk.sync(os.path.dirname(self.certificate_path))
        return True

    def _write(self) -> None:
        certificate, key = make.authority(self._organization, self._length, self._constraints, self._now, self._common_name)
        beside = self._making_key
        for left in (beside, self._making):
            disk.remove(left)
        try:
            disk.write(self._making, model.pem([certificate]), 0o644)
            disk.sync(os.path.dirname(self.certificate_path))
            disk.write(beside, model.key_pem(key, self._passphrase), 0o600)
            os.link(beside, self.key_path)      # never over one that is there
        except OSError:
            disk.remove(self._making)
            raise
        finally:
            disk.remove(beside)
        disk.sync(os.path.dirname(self.key_path))

    @property
    def end(self) -> float:
        """The end of the first of its certificates; no leaf lasts longer."""
        return min((model.facts(one).not_after for one in self.found), default=math.inf)

    def issue(self, want: Wish, public_key: t.Any) -> x509.Certificate:
        if self._key is None:
            self._load()
        return make.leaf(want, public_key, Issuer(self.found[0], t.cast("model.Key", self._key), self.chain), self._now)

    def result(self, made: bool) -> dict[str, t.Any] | None:
        have = self.facts
        if have is None:
            return None
        return {"certificate_content": model.pem(self.found).decode(), "fingerprint": have.fingerprint, "subject": have.subject,
                "not_after": model.moment(have.not_after), "made": made, "root_content": model.pem(self.roots).decode() or None}
