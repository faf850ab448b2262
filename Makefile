# The menu: `make help`. Everything runs in .venv; Python 3.11 or newer, pip and make are all that is needed.
# Nothing here asks for root rights.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test check docs docs-serve install install-dev install-docs clean

help:  ## List the targets
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

demo: install  ## Compare three methods on photographs that come with aral (a minute on two cores)
	$(BIN)/aral demo

test: check  ## Lint, types, import layers, tests; browser tests need an installed Chromium
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto

check: install-dev  ## Lint, types, import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	MYPYPATH=src:benchmarks $(BIN)/mypy --allow-untyped-calls $(wildcard benchmarks/*.py)
	$(BIN)/lint-imports

docs: install-docs  ## Build the documentation site in site/; any warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs-serve: install-docs  ## Show the site on this machine while it is being written
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

install: .venv/installed  ## Create .venv with the package
install-dev: .venv/installed-dev  ## … and what tests need
install-docs: .venv/installed-docs  ## … and what the site needs

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ .venv/installed

.venv/installed-docs: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

clean:  ## Remove .venv and everything that was built
	rm -rf .venv site build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
