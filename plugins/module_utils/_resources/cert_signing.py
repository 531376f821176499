# Copyright (c) 2026, Exalt Caching Contributors
# BSD 2-Clause License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause
"""What happens where the authority is: making it, and signing requests whose keys are elsewhere. Nothing is installed by it."""

from __future__ import annotations

import time
import typing as t

from .. import _cert_checks, _cert_policy
from .. import _cert_model as model
from .._cert_names import parse_all, uncovered
from .._cert_policy import Wish, fitting
from .._errors import CachingError
from .cert_authority import Authority

Results = dict[str, t.Any]


class Signing:
    """``state: authority``, or ``state: signed`` with a request."""

    def __init__(self, params: t.Mapping[str, t.Any], warn: t.Callable[[str], None]) -> None:
        if params["provider"] != "ownca":
            raise CachingError(f"provider: state {params['state']} is for ownca")
        self.now = time.time()
        self.authority = Authority(params, self.now, params["common_name"] if params["state"] == "authority" else None)
        self._warn = warn
        names = parse_all(params["subject_alt_names"], "subject_alt_names")
        self.wish = Wish(fitting("common_name", params["common_name"] or params["name"]), tuple(names), params["key_type"], frozenset(params["usages"]),
                         _cert_policy.lifetime(params["validity"], "validity"), fitting("organization", params["organization"] or ""))
        self.request = None
        if params["state"] == "signed":
            self.request = model.signing_request(params["csr_content"], "csr_content")
            self._check(params)

    def _check(self, params: t.Mapping[str, t.Any]) -> None:
        """The names that are signed are those declared here; who asks for others is refused, not answered with fewer."""
        if not self.wish.names:
            raise CachingError("subject_alt_names: name what may be signed; the names of a request alone are not trusted")
        if not self.wish.usages:
            raise CachingError("usages: server, client, or both")
        asked = model.request_names(t.cast("t.Any", self.request))
        if foreign := [str(name) for name in asked if name not in self.wish.names]:
            raise CachingError(f"csr_content: it asks for {', '.join(foreign)}, which subject_alt_names does not have")
        if missing := uncovered(asked, self.wish.names):
            self._warn(f"csr_content: it does not ask for {', '.join(missing)}; the certificate has it all the same")
        kind = model.key_type(t.cast("t.Any", self.request).public_key())
        if kind != self.wish.key_type:
            raise CachingError(f"csr_content: its key is {kind}, key_type is {self.wish.key_type}")

    def plan(self) -> tuple[bool, Results]:
        missing = self.authority.look()
        if missing or self.request is not None:
            for text in self.authority.check(self.wish.names if self.request is not None else []):
                self._warn(text)
        if self.authority.facts and self.authority.end - self.now < 2 * self.wish.lifetime:
            self._warn(f"the authority {self.authority.facts.subject} ends on {model.moment(self.authority.end)}: make a new one at another path in time, "
                       "and trust both first")
        reasons = [missing] * bool(missing) + ["a request is to be signed"] * (self.request is not None)
        before = {"authority": self.authority.facts.subject} if self.authority.facts else {}
        after = before or {"authority": "a new authority"}
        signed = {"signed": [str(name) for name in self.wish.names]} if self.request is not None else {}
        return bool(reasons), {
            "reason": "; ".join(reasons) or "the authority is there", "diff": {"before": before, "after": {**after, **signed}}, "renewed": False,
            "certificate": None, "previous": None, "csr": None, "authority": self.authority.result(False), **self._contents([]),
        }

    def act(self) -> Results:
        made = self.authority.make() if not self.authority.found else False
        if self.request is None:
            return {"changed": made, "authority": self.authority.result(made), **self._contents([])}
        leaf = self.authority.issue(self.wish, self.request.public_key())
        roots = self.authority.roots or self.authority.found[-1:]
        problems = _cert_checks.verdict(leaf, None, self.authority.chain, roots, self.wish.names, self.wish.usages, self.now).problems
        if problems:
            raise CachingError(f"the new certificate: {'; '.join(problems)}. Nothing was signed")
        return {"authority": self.authority.result(made), "certificate": model.told(model.facts(leaf)), **self._contents([leaf])}

    def _contents(self, leaf: t.Sequence[t.Any]) -> Results:
        return {"certificate_content": model.pem(leaf).decode() or None, "chain_content": model.pem(self.authority.found).decode() or None}
