# make help lists the targets. Python 3.11 or newer, make and a package registry are all a fresh machine needs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup demo test bench clean

help:            ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## */  make \1\t/' | expand -t 16

setup: .venv/ready ## make .venv and install everything

.venv/ready: requirements.txt requirements-dev.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed: make PYTHON=python3.11')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

test: setup      ## ruff, then every test
	$(BIN)/ruff check .
	$(BIN)/python -m pytest

clean:           ## remove .venv, caches and what the demo wrote
	rm -rf .venv .pytest_cache .ruff_cache demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
