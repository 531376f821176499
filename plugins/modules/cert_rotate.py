#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cert_rotate
short_description: A certificate that is valid for long enough, in files or a Kubernetes Secret
description:
  - The certificate is as declared, and valid for longer than O(renew_before); else it is replaced, and RV(reason) says why.
    Otherwise nothing changes (S138 to S141).
  - Before anything is installed it is checked as strict clients will (Python 3.13, Java) - key, dates, names, usage, chain, and a
    handshake in memory for each name. What is expired, has no names, or belongs to another key or authority is refused.
  - It is installed by one switch. A run that is killed leaves the old certificate or the new one, and the next run finishes.
  - No key is ever in a result, a diff or a temporary file. With O(state=requested) a key never leaves the place where it is used.
  - Trust is never narrowed by itself. To change the authority, first trust the new one everywhere (O(trusted_certificates)), then change
    O(ca_certificate_path) and O(ca_key_path), which renews the certificates, then give O(trusted_certificates) without the old one (H54).
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  name:
    description: What it is for, such as V(caching-service). Alias of the key in the keystore, and by default the common name.
    type: str
    required: true
  provider:
    description:
      - Who makes it. V(ownca) is an authority of one's own, V(provided) is somebody else, V(selfsigned) is for trials.
      - V(provided) without a certificate leaves the one that is there, and changes only what is around it, such as O(trusted_certificates).
    type: str
    choices: [ownca, selfsigned, provided]
    default: ownca
  state:
    description:
      - V(present) - the certificate is as declared.
      - V(rolled_back) - the version before serves again, under a new number, with its own keystores or, by O(keystore_password), new ones; only once.
      - V(requested) - where a certificate has to be renewed, a key and a request wait beside it, and RV(csr) is returned, else null. V(present) with
        O(provider=provided) and no key completes it. Common name and organization count only where they are given.
      - V(signed) - the authority signs O(csr_content), and RV(certificate_content) is returned; nothing is installed.
      - V(authority) - there is an authority; where there is none it is made. Nothing is installed.
      - V(activated) - keeps beside the certificate that the programs which use it have read it, so that a run that was cut off before
        that is found by the next one (RV(activated)). Nothing else is looked at or changed.
    type: str
    choices: [present, rolled_back, requested, signed, authority, activated]
    default: present
  ca_certificate_path:
    description:
      - Certificate of the authority for O(provider=ownca), on the host where this module runs; behind it in the file may be what is above
        it. Where neither this file nor O(ca_key_path) is there, the authority is made, once, however many runs try.
    type: path
  ca_key_path:
    description: Key of the authority. It is made encrypted.
    type: path
  ca_key_passphrase:
    description: Opens O(ca_key_path). Without one, no authority is made. At least 8 characters.
    type: str
  ca_validity:
    description: How long an authority that is made is valid. ISO-8601 or seconds.
    type: str
    default: P3650D
  ca_name_constraints:
    description: Domains and networks for which an authority that is made may sign, such as V(svc) and V(10.0.0.0/8). A kind that is not listed is free.
    type: list
    elements: str
    default: []
  certificate_content:
    description: For O(provider=provided), the certificate in PEM, first; what signed it may follow.
    type: str
  certificate_path:
    description: The same as a file of the host where this module runs.
    type: path
  key_content:
    description: Its key in PEM, not encrypted. Not needed where the key was made by O(state=requested), or is the one that serves.
    type: str
  key_path:
    description: The same as a file of the host where this module runs, so that the key is in no task.
    type: path
  chain_content:
    description:
      - Certificates in PEM between O(certificate_content) and its root; the root itself, if it is here, is trusted.
      - For O(state=requested), who has to have signed the certificate, else another is requested.
    type: str
  chain_path:
    description: The same as a file of the host where this module runs.
    type: path
  csr_content:
    description: For O(state=signed), the request in PEM. It may ask for no name that O(subject_alt_names) does not have.
    type: str
  common_name:
    description: Common name, at most 64 characters; by default O(name). Clients don't look at it. An authority that is made is called so, and by its key.
    type: str
  organization:
    description: Organization in the subject.
    type: str
  subject_alt_names:
    description:
      - Every name that clients connect to - DNS names, V(*.domain), addresses, V(URI:…). Needed for whatever is issued.
      - For O(provider=provided), the names for which it has to be valid.
    type: list
    elements: str
    default: []
  usages:
    description: What it may be used as. The nodes of a Redis Cluster are both to each other.
    type: list
    elements: str
    choices: [server, client]
    default: [server, client]
  key_type:
    description: Kind of the key.
    type: str
    choices: [ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072, rsa-4096, ed25519]
    default: ecdsa-p256
  validity:
    description: How long it is valid, though never longer than its authority. ISO-8601 or seconds.
    type: str
    default: P90D
  renew_before:
    description: Renew once no more than this is left. ISO-8601, seconds, or a share of the certificate's lifetime such as V(33%).
    type: str
    default: P30D
  force:
    description: Renew in any case.
    type: bool
    default: false
  trusted_certificates:
    description:
      - Roots (PEM, each may hold several) that C(ca.crt) and the truststore hold beside the root of the certificate itself.
      - Without this option those that are there stay. An empty list leaves only the root of the certificate.
    type: list
    elements: str
  destination:
    description: Where it is kept. Needed for V(present), V(rolled_back), V(requested) and V(activated).
    type: str
    choices: [files, kubernetes_secret]
    default: files
  path:
    description:
      - Folder for O(destination=files). Programs read V(path/current/tls.crt) (with its chain), C(tls.key) and C(ca.crt); V(current) is a
        link to C(versions/NNNN), and all of them change at once.
    type: path
  owner:
    description: Owner of the files.
    type: str
  group:
    description: Group of the files.
    type: str
  mode:
    description: Mode of the key and the keystore, in quotes. Others may never read them.
    type: str
    default: "0600"
  keystore_password:
    description: With it there are also C(keystore.p12) and C(truststore.p12) (PKCS #12, AES-256) for the JVM. At least 6 characters.
    type: str
  keystore_path:
    description: A link to the keystore, outside of O(path).
    type: path
  namespace:
    description: Namespace of the Secret.
    type: str
  secret:
    description: Name of the Secret, of the type C(kubernetes.io/tls), with C(tls.crt), C(tls.key), C(ca.crt) and, if wanted, the keystores.
    type: str
  versioned:
    description:
      - Each version is an immutable Secret V(secret-number), and RV(secret) says which to use; needs list, create and delete on Secrets.
      - Otherwise the Secret keeps its name (H49), is replaced in one request, and holds earlier versions under the key C(previous). That
        needs get and update on this one Secret, and create where it is not there.
    type: bool
    default: false
  kubeconfig:
    description: How to reach Kubernetes; by default as the pod in which the module runs, else as C(kubectl) does.
    type: path
  context:
    description: Context of the kubeconfig.
    type: str
  keep_previous:
    description: Versions that are kept for the way back.
    type: int
    default: 3
extends_documentation_fragment:
  - exalt.caching.attributes
requirements:
  - cryptography >= 45
  - kubernetes >= 28 (for O(destination=kubernetes_secret))
notes:
  - In check mode RV(certificate) is the one that is there, as a new one does not exist yet.
  - Programs that have read a certificate go on with it until they read it again; M(exalt.caching.cert_info) tells what they really serve.
  - Revocation is not looked at.
seealso:
  - module: exalt.caching.cert_info
"""

EXAMPLES = r"""
- name: The service's certificate, by an authority of one's own
  exalt.caching.cert_rotate:
    name: caching-service
    ca_certificate_path: /etc/exalt-caching/ca/ca.crt
    ca_key_path: /etc/exalt-caching/ca/ca.key
    ca_key_passphrase: "{{ caching_ca_passphrase }}"
    subject_alt_names: [caching-service, caching-service.caching-system.svc, "*.caching-system.svc"]
    renew_before: 33%
    destination: kubernetes_secret
    namespace: caching-system
    secret: caching-service-tls

- name: A key that never leaves its host, where it has to be renewed
  exalt.caching.cert_rotate:
    name: redis-1
    state: requested
    subject_alt_names: [redis-1.example.com, 10.0.0.21]
    path: /etc/redis/tls
    owner: redis
  register: wanted

- name: Signed where the authority is
  exalt.caching.cert_rotate:
    name: redis-1
    state: signed
    csr_content: "{{ wanted.csr }}"
    subject_alt_names: [redis-1.example.com, 10.0.0.21]
    ca_certificate_path: /etc/exalt-caching/ca/ca.crt
    ca_key_path: /etc/exalt-caching/ca/ca.key
    ca_key_passphrase: "{{ caching_ca_passphrase }}"
  delegate_to: localhost
  register: signed
  when: wanted.csr is not none

- name: Installed with its key
  exalt.caching.cert_rotate:
    name: redis-1
    provider: provided
    certificate_content: "{{ signed.certificate_content }}"
    chain_content: "{{ signed.chain_content }}"
    subject_alt_names: [redis-1.example.com, 10.0.0.21]
    path: /etc/redis/tls
    owner: redis
  when: wanted.csr is not none

- name: The one before serves again
  exalt.caching.cert_rotate:
    name: redis-1
    state: rolled_back
    path: /etc/redis/tls
    owner: redis
"""

RETURN = r"""
certificate:
  description: The certificate that serves now, or was signed; null where there is none.
  returned: success
  type: dict
  contains:
    fingerprint: {description: SHA-256 in hexadecimal., type: str}
    serial: {description: In hexadecimal., type: str}
    not_before: {description: Begin (UTC)., type: str}
    not_after: {description: End (UTC)., type: str}
    names: {description: Its subject alternative names., type: list, elements: str}
    issuer: {description: Who signed it., type: str}
    subject: {description: Its subject., type: str}
    key_type: {description: As in O(key_type)., type: str}
    usages: {description: 'server and client; null where it has no limits.', type: list, elements: str}
previous:
  description: The one that served before; where nothing changes, that of the version before. Null where there is none.
  returned: success
  type: dict
previous_trusted:
  description: The roots that the version before trusts, like RV(trusted).
  returned: O(state=rolled_back) and O(state=activated), where nothing changes
  type: list
  elements: dict
reason:
  description: Why something changes, or that nothing has to.
  returned: success
  type: str
  sample: it expires in 12 days, and renew_before is 30 days
renewed:
  description: Whether the certificate itself becomes another; false where only roots, keystores, owners or modes change.
  returned: success
  type: bool
csr:
  description: The request that waits, in PEM; null where none does, and in check mode where it would be made.
  returned: success
  type: str
version:
  description: Number of the version that serves; 0 where none does.
  returned: O(state=present), O(state=rolled_back) and O(state=requested)
  type: int
trusted:
  description: The roots in C(ca.crt), each with fingerprint, subject, not_after and certificate_content (PEM).
  returned: O(state=present), O(state=rolled_back) and O(state=requested)
  type: list
  elements: dict
judged:
  description: For a fleet's plan - stays (clients accept what is there), drift (what beside it is not as declared), root (to come), expired_roots (left out).
  returned: O(state=present) and O(state=requested)
  type: dict
activated:
  description: Whether O(state=activated) was said of the version that serves.
  returned: O(state=present), O(state=rolled_back), O(state=requested) and O(state=activated)
  type: bool
authority:
  description: The own authority; null with other providers, and in check mode before it is made.
  returned: success
  type: dict
  contains:
    certificate_content: {description: Its certificate and what is above it (PEM)., type: str}
    fingerprint: {description: SHA-256 in hexadecimal., type: str}
    subject: {description: Its name., type: str}
    not_after: {description: Its end (UTC)., type: str}
    made: {description: Whether this run made it., type: bool}
    root_content: {description: Those of these certificates that are roots (PEM); null where the file has none., type: str}
certificate_content:
  description: The certificate in PEM; null in check mode.
  returned: O(state=signed)
  type: str
chain_content:
  description: The authority and what is above it, in PEM, for O(chain_content).
  returned: O(state=signed) and O(state=authority)
  type: str
paths:
  description: The files by their names, through the link that changes.
  returned: O(destination=files)
  type: dict
  sample: {tls.crt: /etc/redis/tls/current/tls.crt, tls.key: /etc/redis/tls/current/tls.key, ca.crt: /etc/redis/tls/current/ca.crt}
secret:
  description: Namespace and name of the Secret to use.
  returned: O(destination=kubernetes_secret)
  type: dict
  sample: {namespace: caching-system, name: caching-service-tls}
"""

from ansible.module_utils.basic import env_fallback, missing_required_lib
from ansible_collections.exalt.caching.plugins.module_utils._arguments import spec
from ansible_collections.exalt.caching.plugins.module_utils._cert_model import CRYPTOGRAPHY_ERROR, KEY_TYPES
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._run import apply
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main

PLACES = {"files": ("path",), "kubernetes_secret": ("namespace", "secret")}


def work(run):
    params = run.params
    if CRYPTOGRAPHY_ERROR:
        raise CachingError(missing_required_lib("cryptography"))
    if not 0 <= params["keep_previous"] <= 20:
        raise CachingError(f"keep_previous: it goes from 0 to 20, not {params['keep_previous']}")
    if params["state"] in ("signed", "authority"):
        from ansible_collections.exalt.caching.plugins.module_utils._resources.cert_signing import Signing  # its library is there now

        job = Signing(params, run.warn)
    else:
        if missing := [option for option in PLACES[params["destination"]] if not params[option]]:
            raise CachingError(f"{', '.join(missing)}: destination {params['destination']} needs it")
        from ansible_collections.exalt.caching.plugins.module_utils._resources.cert_rotate import Job

        job = Job(params, run.warn)
    changed, planned = job.plan()
    return apply(run, changed, planned, job.act)


def main():
    texts = ("common_name", "organization", "owner", "group", "namespace", "certificate_content", "chain_content", "csr_content")
    paths = ("ca_certificate_path", "certificate_path", "chain_path", "path")
    lists = {"elements": "str", "type": "list"}
    run_main(work, spec(
        **{name: {"type": "str"} for name in texts}, **{name: {"type": "path"} for name in paths},
        name={"type": "str", "required": True},
        provider={"type": "str", "choices": ["ownca", "selfsigned", "provided"], "default": "ownca"},
        state={"type": "str", "choices": ["present", "rolled_back", "requested", "signed", "authority", "activated"], "default": "present"},
        ca_key_path={"type": "path", "no_log": False},
        ca_key_passphrase={"type": "str", "no_log": True},
        ca_validity={"type": "str", "default": "P3650D"},
        ca_name_constraints={"default": [], **lists},
        key_content={"type": "str", "no_log": True},
        key_path={"type": "path", "no_log": False},
        subject_alt_names={"default": [], **lists},
        usages={"choices": ["server", "client"], "default": ["server", "client"], **lists},
        key_type={"type": "str", "choices": list(KEY_TYPES), "default": "ecdsa-p256", "no_log": False},
        validity={"type": "str", "default": "P90D"},
        renew_before={"type": "str", "default": "P30D"},
        force={"type": "bool", "default": False},
        trusted_certificates=lists,
        destination={"type": "str", "choices": list(PLACES), "default": "files"},
        mode={"type": "str", "default": "0600"},
        keystore_password={"type": "str", "no_log": True},
        keystore_path={"type": "path", "no_log": False},
        secret={"type": "str", "no_log": False},
        versioned={"type": "bool", "default": False},
        kubeconfig={"type": "path", "fallback": (env_fallback, ["K8S_AUTH_KUBECONFIG"])},
        context={"type": "str", "fallback": (env_fallback, ["K8S_AUTH_CONTEXT"])},
        keep_previous={"type": "int", "default": 3},
    ), mutually_exclusive=[(f"{kind}_content", f"{kind}_path") for kind in ("certificate", "key", "chain")],
        required_if=[("state", "signed", ["csr_content"])])


if __name__ == "__main__":
    main()
