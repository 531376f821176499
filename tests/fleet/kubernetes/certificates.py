# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates, tokens and secrets of the cluster: new ones each time that the fleet starts."""

from __future__ import annotations

import base64
import json
import secrets
import typing as t

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.fleet import paths
from tests.fleet.kubernetes.layout import API_ADDRESS, API_PORT, API_SERVICE, NAMESPACE, NODES, SECRETS, USERS, State

API_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost", "127.0.0.1", API_ADDRESS, API_SERVICE)


def _pem(state: State, name: str, certificate: trustme.LeafCert) -> None:
    paths.write(state.certificates / f"{name}.crt", "".join(blob.bytes().decode() for blob in certificate.cert_chain_pems))
    paths.write(state.certificates / f"{name}.key", certificate.private_key_pem.bytes().decode())


def _client(authority: trustme.CA, name: str, group: str = "") -> trustme.LeafCert:
    """A client's certificate: the common name is the user, the organisation the group."""
    return authority.issue_cert(f"{name.replace(':', '-')}.invalid", common_name=name, organization_name=group or None)


def kubeconfig(state: State, token: str) -> dict[str, t.Any]:
    authority = base64.b64encode((state.certificates / "ca.crt").read_bytes()).decode()
    return {
        "apiVersion": "v1", "kind": "Config", "current-context": "trial",
        "clusters": [{"name": "trial", "cluster": {"server": f"https://{API_ADDRESS}:{API_PORT}", "certificate-authority-data": authority}}],
        "users": [{"name": "trial", "user": {"token": token}}],
        "contexts": [{"name": "trial", "context": {"cluster": "trial", "user": "trial", "namespace": NAMESPACE}}],
    }


def write_all(state: State) -> None:
    authority, front = trustme.CA(organization_name="Exalt Caching trial cluster"), trustme.CA(organization_name="Exalt Caching front proxy")
    paths.write(state.certificates / "ca.crt", authority.cert_pem.bytes().decode())
    paths.write(state.certificates / "front-proxy-ca.crt", front.cert_pem.bytes().decode())
    _pem(state, "apiserver", authority.issue_cert(*API_NAMES, common_name="kube-apiserver"))
    _pem(state, "apiserver-kubelet", _client(authority, "kube-apiserver-kubelet", "system:masters"))
    _pem(state, "front-proxy", _client(front, "front-proxy"))
    for node in NODES:
        _pem(state, node.name, authority.issue_cert(node.name, node.address, common_name=node.user))
    service = authority.issue_cert("caching-service", f"caching-service.{NAMESPACE}", f"caching-service.{NAMESPACE}.svc",
                                   common_name="caching-service")
    _pem(state, "caching-service", service)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    paths.write(state.certificates / "accounts.key", key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()).decode())
    rows = []
    for user, groups in {**USERS, **{node.user: "system:nodes" for node in NODES}}.items():
        token = secrets.token_hex(24)
        rows.append(f'{token},{user},{user},"{groups}"\n')
        paths.write(state.kubeconfig(user), json.dumps(kubeconfig(state, token), indent=1))
    paths.write(state.certificates / "tokens.csv", "".join(rows))
    for name in SECRETS:
        paths.write(state.secrets / name, secrets.token_hex(24))
