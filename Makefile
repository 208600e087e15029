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

demo: setup      ## synthetic data -> training -> scores and pictures, 5 minutes on two cores
	rm -rf demo checkpoint/demo checkpoint_best/demo output/demo predictions/demo
	$(BIN)/python dataset_isic18.py --synthetic 240 --size 96x128 --root demo/dataset
	$(BIN)/python train.py --config configs/demo.yaml
	$(BIN)/python evaluate.py --run demo --split test
	@echo "report:   output/demo/report.html; scores: output/demo/performances.txt"
	@echo "pictures: output/demo/sample_results.png, progress.png, ROC.png; masks: predictions/demo/"

test: setup      ## ruff, then every test
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -n 2

bench: setup     ## measure the speed of every part, one after the other
	for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:           ## remove .venv, caches and what the demo wrote
	rm -rf .venv .pytest_cache .ruff_cache demo checkpoint/demo checkpoint_best/demo output/demo predictions/demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
