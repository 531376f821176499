#!/usr/bin/python
# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cache_warm_schedule
short_description: The schedules by which a Caching Service warms its regions
description:
  - Reads all schedules, writes only those that differ, and reads them back.
  - Cron expressions are checked before anything is sent, and compared by the times that they mean.
  - The operations guide knows no call that deletes a schedule. Where the service answers DELETE, absent schedules are
    deleted; where it does not, they are disabled, and the result says so. A schedule that is disabled already then
    counts as absent.
  - Warns of schedules that warm one region at nearly the same time, and of times that a change of the clock skips or
    repeats.
  - Operations S045, S046 and S047 of the operations guide.
version_added: 1.0.0
author:
  - Exalt Caching Contributors (@exalt)
options:
  schedules:
    description: The schedules. What is not declared of a schedule stays as it is, but for O(schedules[].enabled).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the schedule.
        type: str
        required: true
      schedule:
        description: Cron expression of five fields (minute, hour, day of month, month, day of week). Needed for a new one.
        type: str
      region:
        description: The region that is warmed. It must be there. Needed for a new schedule.
        type: str
      strategy:
        description: How it is warmed, such as V(popular-items) or V(all-items). Needed for a new schedule.
        type: str
      enabled:
        description:
          - Whether it runs. One that is declared does where this is not given, also if it was disabled before, as disabled is how a schedule
            is absent where the service can't delete.
        type: bool
        default: true
      state:
        description: Whether the schedule is there. V(absent) disables it where the service can't delete.
        type: str
        choices: [present, absent]
        default: present
  purge:
    description: Remove schedules that are not declared, too.
    type: bool
    default: false
  purge_limit:
    description: Refuse to remove more undeclared schedules than this.
    type: int
    default: 5
  overlap_window:
    description: Warn when two schedules of a region start less than this apart. ISO-8601 or seconds; V(0) for never.
    type: str
    default: PT10M
  timezone:
    description:
      - The time zone in which the service reads the schedules, such as V(Europe/Berlin). With it, times that a change of
        the clock within a year skips or repeats are warned of.
    type: str
  wait_timeout:
    description: How long to wait for changes that the service accepts for later (status 202). ISO-8601 or seconds.
    type: str
    default: PT30S
notes:
  - Where the service can delete, naming C(delete_schedule) in O(endpoints) makes disabled schedules go as well.
extends_documentation_fragment:
  - exalt.caching.attributes
  - exalt.caching.service
requirements:
  - cronsim >= 2.6
"""

EXAMPLES = r"""
- name: Products are warm before the day begins
  exalt.caching.cache_warm_schedule:
    service_url: https://caching-service:8403
    timezone: Europe/Berlin
    schedules:
      - {name: nightly-product-warm, schedule: "0 1 * * *", region: products, strategy: popular-items}
      - {name: old-warm, state: absent}

- name: Exactly these schedules
  exalt.caching.cache_warm_schedule:
    service_url: https://caching-service:8403
    schedules: "{{ caching_schedules }}"
    purge: true
"""

RETURN = r"""
schedules:
  description:
    - All schedules as they are now, sorted by name. One that is absent because it is disabled has absent_by V(disabled).
  returned: success
  type: list
  elements: dict
  sample:
    - {name: nightly-product-warm, schedule: "0 1 * * *", region: products, strategy: popular-items, enabled: true, state: present}
    - {name: old-warm, schedule: "0 3 * * *", region: products, strategy: all-items, enabled: false, state: absent, absent_by: disabled}
absent_by:
  description: How each absent schedule is absent, V(deleted) or V(disabled), by its name.
  returned: success
  type: dict
  sample: {old-warm: disabled}
summary:
  description: Names by what was done (or would be, in check mode).
  returned: success, or when a part failed
  type: dict
  sample: {created: [nightly-product-warm], updated: [], deleted: [old-warm], unchanged: []}
failures:
  description: What was not done, and why.
  returned: when a part failed
  type: list
  elements: dict
requests:
  description: Requests that were sent, repeats included.
  returned: always
  type: dict
  sample: {read: 2, write: 1}
"""

from datetime import datetime, timedelta

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.exalt.caching.plugins.module_utils import _cron
from ansible_collections.exalt.caching.plugins.module_utils._arguments import spec
from ansible_collections.exalt.caching.plugins.module_utils._duration import parse
from ansible_collections.exalt.caching.plugins.module_utils._endpoints import find
from ansible_collections.exalt.caching.plugins.module_utils._errors import CachingError
from ansible_collections.exalt.caching.plugins.module_utils._reconcile import Wanted, reconcile
from ansible_collections.exalt.caching.plugins.module_utils._resources.schedules import Schedules, declared, findings
from ansible_collections.exalt.caching.plugins.module_utils._run import main as run_main

SCHEDULE = {
    "name": {"type": "str", "required": True},
    "schedule": {"type": "str"},
    "region": {"type": "str"},
    "strategy": {"type": "str"},
    "enabled": {"type": "bool", "default": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def work(run):
    params = run.params
    if _cron.CRONSIM_ERROR:
        raise CachingError(missing_required_lib("cronsim"))
    if params["purge_limit"] < 0:
        raise CachingError("purge_limit can't be negative")
    present, absent = declared(params["schedules"])
    now = datetime.now()
    window = timedelta(seconds=min(float(parse(params["overlap_window"], "overlap_window")), 86400.0))
    wait_timeout = float(parse(params["wait_timeout"], "wait_timeout"))
    findings({}, window, params["timezone"], now)
    service = run.service
    deletes = "delete_schedule" in {find(str(name)) for name in params["endpoints"]}
    schedules = Schedules(service, present, absent, purge=params["purge"], purge_limit=params["purge_limit"], deletes=deletes)
    result = reconcile(run, schedules, Wanted(present, absent, params["purge"]), wait_timeout)
    objects = result.pop("objects")
    for text in findings(objects, window, params["timezone"], now):
        run.warn(text)
    return {**result, "schedules": schedules.results(objects), "absent_by": schedules.absent_by}


def main():
    run_main(work, spec(
        "service",
        schedules={"type": "list", "elements": "dict", "default": [], "options": SCHEDULE},
        purge={"type": "bool", "default": False},
        purge_limit={"type": "int", "default": 5},
        overlap_window={"type": "str", "default": "PT10M"},
        timezone={"type": "str"},
        wait_timeout={"type": "str", "default": "PT30S"},
    ))


if __name__ == "__main__":
    main()
