# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What surrounds every module: options in, one result or one clear line out, check mode for what is planned then applied."""

from __future__ import annotations

import gc
import os
import re
import sys
import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from . import _http
from ._arguments import Spec
from ._errors import CachingError, one_line
from ._service import Service
from ._store import Store, open_store

if t.TYPE_CHECKING:
    from ._redis import Redis

Results = dict[str, t.Any]
OLDEST = (3, 11)
_GARBAGE = 20_000   # new objects between two looks for garbage; by default so few that it costs a tenth of a module's start
_PASSWORD = re.compile(r"://[^\s/@:]*:([^\s/@]+)@")
_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE" + r" KEY-----.*?(?:-----END [A-Z ]*PRIVATE" + r" KEY-----|$)", re.DOTALL)


class Run:
    """One run of a module: its options, its service, its warnings."""

    def __init__(self, module: AnsibleModule) -> None:
        self.params: dict[str, t.Any] = module.params
        self.check_mode: bool = module.check_mode
        self.hidden: bool = module.no_log   # the task said no_log
        self.warn: t.Callable[[str], None] = module.warn
        self.command: t.Callable[..., tuple[int, str, str]] = module.run_command
        self._service: Service | None = None

    @property
    def service(self) -> Service:
        """The service of the fragment ``service``; made at first use."""
        if self._service is None:
            if _http.URLLIB3_ERROR:
                raise CachingError(missing_required_lib("urllib3"))
            self._service = Service(self.params)
            for text in self._service.warnings():
                self.warn(text)
            if not self.params.get("validate_certs", True):
                self.warn("validate_certs is off: whoever answers is believed")
        return self._service

    @property
    def redis(self) -> Redis | None:
        """The cluster of the fragment ``redis``; None where no nodes are given."""
        if not self.params.get("redis_nodes"):
            return None
        from . import _redis  # slow to import, and most runs don't need it

        if _redis.REDIS_ERROR:
            raise CachingError(missing_required_lib("redis"))
        return _redis.Redis(self.params)

    @property
    def store(self) -> Store:
        """The store of the fragment ``store``."""
        return open_store(self.params)

    @property
    def lock(self) -> dict[str, t.Any] | None:
        """The lock of the operation that is to be kept; in check mode nothing is written, that neither."""
        return None if self.check_mode else self.params.get("lock")

    @property
    def waits(self) -> bool:
        """Whether what is not there yet is waited for: a check says what is."""
        return not self.check_mode

    @property
    def requests(self) -> Results:
        """How many requests were sent; also where none was."""
        if self._service:
            return {"requests": self._service.requests}
        return {"requests": {"read": 0, "write": 0}} if "service_url" in self.params else {}


def apply(run: Run, changed: bool, planned: Results, act: t.Callable[[], Results], always: bool = False) -> Results:
    """For modules that plan first and then apply: ``planned`` in check mode or with nothing to do, else what ``act`` did.

    ``always``: act even with nothing to do (there is a record to write).
    """
    if run.check_mode or not (changed or always):
        return {**planned, "changed": changed}
    return {**planned, "changed": changed, **act()}


def _secrets(params: dict[str, t.Any]) -> set[str]:
    """Passwords in URLs and keys beside certificates: they are refused, and what Ansible shows of the options must not hold them either."""
    given = [*params.values(), *(value for instance in params.get("instances") or [] for value in instance.values())]
    texts = [text for value in given for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
    return {found for text in texts for pattern in (_PASSWORD, _KEY) for found in pattern.findall(text)}


def main(work: t.Callable[[Run], Results], argument_spec: Spec, **options: t.Any) -> None:
    """Run ``work`` as a module. It returns the results, or raises :class:`CachingError` for one clear line."""
    gc.freeze()  # what is loaded stays to the end
    gc.set_threshold(_GARBAGE)
    module = AnsibleModule(argument_spec=argument_spec, supports_check_mode=True, **options)
    if sys.version_info < OLDEST:  # everything can still be imported there, but not run
        told = ".".join(map(str, sys.version_info[:2]))
        module.fail_json(msg=f"exalt.caching needs Python 3.11 or newer where its modules run, this is {told}: set ansible_python_interpreter")
    module.no_log_values.update(_secrets(module.params))
    run = Run(module)
    failure: tuple[str, Results] | None = None
    results: Results = {}
    try:
        results = work(run)
    except CachingError as error:
        failure = (error.message, error.results)
    except Exception as error:  # an uncaught one would print values that no_log hides
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(place.filename)}:{place.lineno}"
        failure = (f"internal error, please report it: {type(error).__name__} at {where}: {one_line(error, 200)}", {})
    if failure:
        module.fail_json(msg=failure[0], **{**run.requests, **failure[1]})
    module.exit_json(**{**results, **run.requests})
