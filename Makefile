# make demo      the first tutorial, executed on SageMaker on this machine
# make test      lint, types, unit tests, the serving contract, the notebooks
# make test-all  the same, JupyterLab in a browser, and the long ones: the matrix of versions, soak and kill tests
# make screenshots  pictures of the tutorials' outputs, light and dark
# make lab       JupyterLab on the notebooks

PYTHON ?= python3
VENV := .venv
BIN := $(abspath $(VENV))/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-all lab check unit notebooks browser screenshots long clean

demo: $(INSTALLED)
	$(BIN)/python scripts/demo.py

test: check unit notebooks

test-all: test browser long

long: $(INSTALLED)
	$(BIN)/python -m pytest -m slow
	$(BIN)/python scripts/matrix.py

lab: $(INSTALLED)
	$(BIN)/jupyter lab notebooks

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: $(INSTALLED)
	$(BIN)/python -m pytest -m "not slow and not browser" --numprocesses 2 --dist loadfile

browser: $(INSTALLED)
	$(BIN)/python scripts/chromium.py
	$(BIN)/python -m pytest tests/browser

screenshots: $(INSTALLED)
	$(BIN)/python scripts/chromium.py
	$(BIN)/python scripts/screenshots.py

notebooks: $(INSTALLED)
	$(BIN)/python -m pytest -p no:cacheprovider --nbval --nbval-current-env notebooks

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "sm_magics needs Python 3.10 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist
