# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of a trial fleet: an authority of its own, and for each member a folder in which they can be replaced at once.

    authority/ca.crt  ca.key
    NAME/tls.crt  tls.key  ca.crt     links that stay, through the next one
    NAME/current                      link to the version in force: replacing it replaces all three
    NAME/versions/0001/tls.crt  tls.key  ca.crt   a version; `ca.crt` is all that this member trusts. As cert_rotate keeps them
"""

from __future__ import annotations

import datetime
from pathlib import Path

import trustme

from tests.fleet import paths

CERTIFICATE, KEY, TRUST, CURRENT = "tls.crt", "tls.key", "ca.crt", "current"
DAYS = 90


def put(folder: Path, certificate: str, key: str, trust: str) -> None:
    """A new version, in force from one moment to the next."""
    versions = folder / "versions"
    number = max((int(one.name) for one in versions.glob("[0-9]*")), default=0) + 1
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    version = versions / f"{number:04}"
    for part in (folder, versions, version):        # each by itself: parents get a mode of their own
        part.mkdir(exist_ok=True)
        part.chmod(0o755)
    for name, text, mode in ((CERTIFICATE, certificate, 0o644), (KEY, key, 0o600), (TRUST, trust, 0o644)):
        paths.write(version / name, text)
        (version / name).chmod(mode)
    new = folder / ".next"
    new.unlink(missing_ok=True)
    new.symlink_to(f"versions/{version.name}")
    new.replace(folder / CURRENT)
    for name in (CERTIFICATE, KEY, TRUST):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"{CURRENT}/{name}")


class Authority:
    """Issues certificates that are for servers and for clients, as the nodes of a Redis Cluster need them."""

    def __init__(self, name: str, kept: Path | None = None) -> None:
        """A new one, or the one that was kept in a folder."""
        pair = (one.read_bytes() for one in (kept / "ca.crt", kept / "ca.key")) if kept else ()
        self._authority = trustme.CA.from_pem(*pair) if kept else trustme.CA(organization_name=name)
        self.certificate = self._authority.cert_pem.bytes().decode()
        self.key = self._authority.private_key_pem.bytes().decode()

    def keep(self, folder: Path) -> None:
        paths.write(folder / "ca.crt", self.certificate)
        paths.write(folder / "ca.key", self.key)

    def issue(self, name: str, *names: str, days: float = DAYS, begun: float = 1) -> tuple[str, str]:
        """Certificate and key; it is valid from `begun` days ago, `days` from now. `names` may be addresses."""
        now = datetime.datetime.now(datetime.timezone.utc)
        leaf = self._authority.issue_cert(*names, common_name=name, not_before=now - datetime.timedelta(days=begun),
                                          not_after=now + datetime.timedelta(days=days))
        return "".join(blob.bytes().decode() for blob in leaf.cert_chain_pems), leaf.private_key_pem.bytes().decode()

    def supply(self, folder: Path, name: str, *names: str, trust: str = "", **options: float) -> None:
        """A new certificate in the folder of a member, which trusts this authority, or `trust`."""
        put(folder, *self.issue(name, *names, **options), trust or self.certificate)
