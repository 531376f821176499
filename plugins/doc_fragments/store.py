# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  store_url:
    description:
      - Where records are kept, such as V(s3://bucket/prefix), or V(file:///var/lib/exalt-caching) (a directory of the host where the
        module runs).
      - Uses the environment variable E(CACHING_STORE_URL) where it is not given.
    type: str
  store_endpoint_url:
    description:
      - Endpoint of an S3 service other than AWS. It has to know conditional writes (C(If-None-Match)) and SHA-256 checksums.
    type: str
  store_region:
    description: Region of the bucket.
    type: str
  store_access_key:
    description: Access key; the usual AWS credential chain where it is not given.
    type: str
  store_secret_key:
    description: Secret key of O(store_access_key).
    type: str
  store_session_token:
    description: Session token of O(store_access_key), where the credentials are temporary.
    type: str
  store_ca_path:
    description: File with the authorities (PEM) that are trusted for the store.
    type: path
  store_sse:
    description: Server-side encryption.
    type: str
    choices: [AES256, 'aws:kms']
  store_sse_kms_key_id:
    description: Key for O(store_sse=aws:kms).
    type: str
  store_timeout:
    description:
      - Longest time for one request to the store, its repeats after passing faults included. Seconds or ISO-8601.
      - Keep it below 50 seconds where backups are taken, as Redis cuts off a replica that reads nothing for 60.
    type: str
    default: PT40S
"""
