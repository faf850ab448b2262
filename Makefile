# The menu. Everything runs in .venv; nothing has to be installed by hand but Python 3.11 or newer and pip.
PYTHON ?= python3
BIN := .venv/bin
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: demo test check install install-dev chromium clean

demo: install  ## Compare ARAL with supervised learning on digits (a few minutes)
	$(BIN)/aral demo

test: install-dev chromium check  ## Lint, types, import layers, tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto

check: install-dev  ## Lint, types, import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

install: .venv/installed  ## Create .venv with the package
install-dev: .venv/installed-dev  ## … and with what tests need

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ .venv/installed

chromium:  ## The browser of tests/web/browser; Debian's package where none is installed
	@command -v chromium >/dev/null || (echo "Installing Debian's chromium for the browser tests" && \
	  $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends chromium >/dev/null)

clean:  ## Remove .venv and everything that was built
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
