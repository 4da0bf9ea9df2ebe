# Everything here needs root and the package registries at most; 'make' alone lists the targets.
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin

# protoc 3.21.12 checks the generated code, openssl the certificates; gcc and make build joblet-init.
APT_PACKAGES := gcc libc6-dev openssl protobuf-compiler protobuf-compiler-grpc python3-venv

# What tests of the page in a browser need besides; large, so that only those install it.
BROWSER_PACKAGES := chromium chromium-driver fonts-dejavu-core libnss3-tools

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: apt-packages .venv/complete ## Install what development needs: Debian packages and .venv

browser: APT_PACKAGES := $(BROWSER_PACKAGES)
browser: apt-packages ## Install the browser that tests of the dashboard use

apt-packages:
	@missing=$$(for name in $(APT_PACKAGES); do \
		dpkg-query -Wf '$${db:Status-Status}' $$name 2>/dev/null | grep -qx installed || echo $$name; done); \
	if [ -n "$$missing" ]; then \
		echo "Installing:" $$missing; \
		apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends $$missing >/dev/null; \
	fi

.venv/complete: pyproject.toml | apt-packages
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

lint: deps ## Check style, types, and that the generated code is up to date
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy --no-error-summary
	$(BIN)/python joblet_wire/generate --check

unit: deps ## Run the tests that need no systemd
	$(BIN)/pytest --quiet
	$(MAKE) check-init

check-init: deps
	$(MAKE) --jobs=2 --output-sync=target -C init check PYTHON=$(CURDIR)/$(BIN)/python

deb: ## Build the Debian packages into build/deb
	@packaging/build-deb

lintian: deb ## Check the Debian packages; any error or warning fails
	@packaging/check-deb

test: ## Run every check: lint, unit tests, real systemd hosts, limits in the VM (needs root)
	@tests/run

# CHAOS="--on=trixie" or "--on=vm" for one host alone; JOBLET_CHAOS_SEED=N repeats a storm.
chaos: deps deb ## Raise long storms: jobs of all kinds while everything fails (needs root)
	$(BIN)/pytest --quiet --capture=no --storm=long $(CHAOS) tests/chaos

demo: deps ## Build, boot a Debian 13 host and run jobs on it (needs root)
	@demo/run

# BENCH="--quick", "--only=rate", "--profile", "--host=NAME", "--json": bench/run --help tells.
bench: deps deb ## Measure Joblet beside systemd-run, podman, crun, runc and bwrap on a Debian 13 host (needs root)
	@bench/run $(BENCH)

.PHONY: help deps apt-packages browser lint unit check-init deb lintian test chaos demo bench
