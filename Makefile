# `make demo`, `make test`: each installs what it needs, on a fresh Debian machine too.
# ARGS is passed on:  make demo ARGS=--once   make test ARGS="-k claim"

SHELL := /bin/bash
PYTHON_IN := .venv/bin/python
JOBS ?= 6
MINUTES ?= 60
ARGS ?=
# Programs that tests run; those that only long tests need are added there.
TOOLS := busybox chromedriver chromium git node npm setpriv shellcheck ssh sshd systemd-analyze tcc

.DEFAULT_GOAL := help
.PHONY: help demo test test-long test-brokers lint format docs coverage mutation bench screenshot lock release venv broker tools clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: venv ## build this repository over RabbitMQ: broker, master and agents on this machine (ARGS=--once ends by itself)
	@$(PYTHON_IN) -m examples.demo $(ARGS)

test: venv broker tools ## unit, simulation, broker and Buildbot tests on real parts
	$(PYTHON_IN) -m pytest -m "not long" -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-long: TOOLS += debootstrap docker docker-compose dockerd hg ip iptables postgres promtool svn
# Fresh examples for generated tests, many more; a failure tells the number: FRESH_SEED=… repeats it.
test-long: export FRESH_SEED ?= $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')
test-long: venv broker tools ## what takes hours: faults, containers, soak, fresh generated examples, each RabbitMQ and Buildbot, Python 3.10, coverage, mutation
	@status=0; \
	$(PYTHON_IN) -m pytest -m "(long or generated) and not brokers" --timeout 1800 $(ARGS) || status=$$?; \
	deploy/dev/test-brokers.sh $(ARGS) || status=$$?; \
	deploy/dev/test-buildbots.sh $(ARGS) || status=$$?; \
	deploy/dev/test-oldest-python.sh $(ARGS) || status=$$?; \
	deploy/dev/coverage.sh || status=$$?; \
	$(MAKE) --no-print-directory mutation ARGS= || status=$$?; \
	exit $$status

coverage: venv tools ## how much of the code the unit tests run; fails below the floor, and raises it (pyproject.toml)
	@deploy/dev/coverage.sh

mutation: venv tools ## does a test notice each small change of the code? MINUTES=60 of it; names what nobody noticed
	@$(PYTHON_IN) -c 'import mutmut' 2>/dev/null || $(PYTHON_IN) -m pip install -q -e '.[mutation]'
	nice -n 15 $(PYTHON_IN) -m tests.mutation --minutes $(MINUTES) $(ARGS)

test-brokers: TOOLS += debootstrap
test-brokers: venv broker tools ## what must hold on RabbitMQ 3.10, 4.0 and 4.3, on each of them (root; 500 MB in .cache)
	@deploy/dev/test-brokers.sh $(ARGS)

lint: venv ## ruff, format check, mypy --strict
	$(PYTHON_IN) -m ruff check .
	$(PYTHON_IN) -m ruff format --check .
	$(PYTHON_IN) -m mypy

format: venv ## put the code into the project's format
	$(PYTHON_IN) -m ruff check --fix .
	$(PYTHON_IN) -m ruff format .

docs: venv ## write anew what is generated: diagrams of the machines, the reference of all settings, manual pages, completion
	@$(PYTHON_IN) -m docs.generate_diagrams
	@$(PYTHON_IN) -m docs.generate_reference
	@$(PYTHON_IN) -m contracts.pipeline.schema
	@$(PYTHON_IN) -m docs.generate_manual

bench: TOOLS := chromedriver chromium
bench: venv broker tools ## measure against Buildbot's own protocols and the raw broker
	@$(PYTHON_IN) -c 'import matplotlib' 2>/dev/null || $(PYTHON_IN) -m pip install -q -e '.[bench]'
	$(PYTHON_IN) -m benchmarks $(ARGS)

screenshot: TOOLS := chromedriver chromium
screenshot: venv tools ## run the demo and take the documentation's pictures from it: pages, terminal, trace (docs/images)
	@$(PYTHON_IN) -m examples.demo --pictures docs/images

lock: $(PYTHON_IN) ## choose the versions of requirements-dev.lock anew (ARGS="--upgrade-package NAME" for one of them)
	$(PYTHON_IN) -m uv pip compile pyproject.toml --extra dev --universal --python-version 3.10 --generate-hashes --quiet \
	  --no-emit-index-url --no-emit-find-links --no-emit-package buildbot-amqp --custom-compile-command "make lock" \
	  --output-file requirements-dev.lock $(or $(ARGS),--upgrade)

$(PYTHON_IN): # without what the lock lacks yet
	@deploy/dev/ensure-venv.sh

release: venv ## VERSION=1.2.3: check, build, write the changelog, commit, tag; publishes nothing
	@deploy/dev/release.sh $(VERSION)

venv:
	@deploy/dev/ensure-venv.sh

broker: venv
	@deploy/dev/ensure-broker.sh

tools:
	@deploy/dev/ensure-tools.sh $(TOOLS)

clean: ## remove .venv, caches and the demo's state
	rm -rf .venv .state .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
