# make help lists the targets. Python 3.11 or newer, make and a package registry are all a fresh machine needs.
PYTHON ?= python3
BIN := .venv/bin
OLDEST := .venv-oldest/bin
INSTALL := -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
PYTEST := -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help setup demo page lint test test-slow test-oldest campaign bench docs clean

help:            ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */  make \1\t/' | expand -t 20

setup: .venv/ready ## make .venv and install everything

.venv/ready .venv-oldest/ready: requirements.txt requirements-predict.txt requirements-page.txt requirements-export.txt requirements-dicom.txt requirements-dev.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed: make PYTHON=python3.11')"
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python $(INSTALL) $(VERSIONS)
	@touch $@

.venv-oldest/ready: VERSIONS := "keras==3.12.*" "tensorflow==2.20.*"

demo: setup      ## synthetic data -> training -> scores and pictures, 5 to 7 minutes on two cores
	rm -rf demo checkpoint/demo checkpoint_best/demo output/demo predictions/demo
	$(BIN)/python dataset_isic18.py --synthetic 240 --size 96x128 --root demo/dataset
	$(BIN)/python train.py --config configs/demo.yaml
	$(BIN)/python evaluate.py --run demo --split test
	$(BIN)/python predict.py demo/dataset/ISIC2018_Task1-2_Test_Input --run pretrained --overlays --out demo/pretrained
	@echo "report:   output/demo/test/report.html; scores: output/demo/test/performances.txt"
	@echo "pictures: output/demo/test/*.png; training: output/demo/progress.png; masks: predictions/demo/test/"
	@echo "masks of the same images by the network that comes with the program: demo/pretrained/"

page: setup      ## the page in the browser, with the pretrained network; Ctrl-C ends it
	$(BIN)/python serve.py --run pretrained --open

lint: setup      ## ruff, codespell and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/python -m mypy

test: lint       ## ruff, codespell and mypy, then the tests, 6 minutes on two cores
	$(BIN)/python $(PYTEST) -m "not slow"

test-slow: setup ## the tests of many seconds, 5 minutes more
	$(BIN)/python $(PYTEST) -m slow

test-oldest: .venv-oldest/ready ## the tests with the oldest Keras and TensorFlow that are supported
	$(OLDEST)/python $(PYTEST) -m "not slow"

campaign: setup  ## damaged files, kills, full disks and the like at every command; takes long
	$(BIN)/python tests/campaign.py

bench: setup     ## measure the speed of every part, one after the other
	for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

docs: setup      ## write the pages of docs/ that are made of the code anew
	$(BIN)/python docs/generate.py

clean:           ## remove the environments, caches and what the demo wrote
	rm -rf .venv .venv-oldest build *.egg-info .pytest_cache .ruff_cache demo checkpoint/demo checkpoint_best/demo output/demo predictions/demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
