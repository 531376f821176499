# Copyright (c) 2026, Exalt Caching Contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

SHELL := /bin/sh
PLATFORM ?= local
TESTS ?=
WORKERS ?= 0
TLS ?=
CACHE_ROOT := $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)
export EXALT_CACHING_CACHE ?= $(CACHE_ROOT)/exalt-caching
export EXALT_CACHING_TLS ?= $(TLS)

# Everything that a tool would keep in the home directory goes to the cache folder.
export ANSIBLE_HOME := $(EXALT_CACHING_CACHE)/ansible
export ANSIBLE_REMOTE_TEMP := $(EXALT_CACHING_CACHE)/ansible/tmp
export PIP_CACHE_DIR := $(EXALT_CACHING_CACHE)/pip
export PATH := $(CURDIR)/.venv/bin:$(PATH)
PY := .venv/bin/python
ISOLATED := HOME="$(EXALT_CACHING_CACHE)/home" XDG_CACHE_HOME="$(EXALT_CACHING_CACHE)/home/.cache" TMPDIR="$(EXALT_CACHING_CACHE)/tmp"

.PHONY: help setup known-platform folders demo test bench faults campaigns fleet-up fleet-down fleet-status lint docs build

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

setup: ## .venv with ansible-core, the collections and the test tools
	@tests/setup/setup.sh

known-platform:
	@[ "$(PLATFORM)" != service ] && [ -e "tests/fleet/$(PLATFORM)/__main__.py" ] || \
		{ echo "fleet: there is no trial fleet '$(PLATFORM)'; there are:" \
		$(patsubst tests/fleet/%/__main__.py,%,$(filter-out %/service/__main__.py,$(wildcard tests/fleet/*/__main__.py))) >&2; exit 2; }
	@[ -z "$(TLS)" ] || [ "$(PLATFORM)" = local ] || { echo "fleet: TLS=1 is there for PLATFORM=local, not $(PLATFORM)" >&2; exit 2; }

folders: setup
	@mkdir -p "$(EXALT_CACHING_CACHE)/home" "$(EXALT_CACHING_CACHE)/tmp"

demo: setup ## a fleet on this machine, brought to its declared state twice
	@$(PY) -m tests.fleet.demo

test: folders ## gates, unit, contract, integration and faults; TESTS=unit narrows, PLATFORMS= adds fleets, WORKERS=2: on two, BUDGET=minutes
	@$(ISOLATED) $(PY) -m pytest -n $(WORKERS) --durations=60 --durations-min=8 $(addprefix tests/,$(TESTS))

bench: folders ## ratios against what a user would do otherwise; PLATFORMS= adds fleets
	@$(ISOLATED) $(PY) -m tests.benchmarks

faults: folders ## the fault suite with counts and seeds; PARTS= narrows; TRIALS=, RESTARTS=, UPDATES=, KILLS= and FILES= scale it
	@$(ISOLATED) $(PY) -m tests.faults

campaigns: folders ## long trials that make test leaves out; TESTS= narrows, PLATFORMS= adds those on fleets, WORKERS=2: on two
	@$(ISOLATED) $(PY) -m pytest -n $(WORKERS) -m campaign --durations=60 --durations-min=8 $(or $(addprefix tests/,$(TESTS)),tests)

fleet-up: setup known-platform ## start a trial fleet (PLATFORM=local; TLS=1: with TLS on Redis)
	@$(PY) -m tests.fleet.$(PLATFORM) up

fleet-down: setup known-platform ## stop it and remove its state; without PLATFORM: every one that runs
	@$(PY) -m $(if $(filter file,$(origin PLATFORM)),tests.fleet.down,tests.fleet.$(PLATFORM) down)

fleet-status: setup known-platform ## how it is
	@$(PY) -m tests.fleet.$(PLATFORM) status

lint: folders ## ansible-lint, mypy, documentation and changelog lint
	@$(ISOLATED) $(PY) -m pytest tests/gates

docs: folders ## the generated tables of the documentation
	@$(ISOLATED) $(PY) -m tests.harness.operations_table

build: folders ## the collection's tarball, in build/
	@$(ISOLATED) ansible-galaxy collection build --force --output-path build
