# Each target sets up all that it needs in .venv; nothing else has to be installed than Python 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test check lint format clean

help:  ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' $(MAKEFILE_LIST)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.installed: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.with-tests: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --group test
	@touch $@

$(VENV)/.with-linters: $(VENV)/.with-tests
	$(BIN)/python -m pip install --quiet --group lint
	@touch $@

demo: $(VENV)/.installed  ## See the main job: list, pull, show, delete (DEMO_HOST=… for a real server)
	@$(BIN)/python examples/tour.py

test: $(VENV)/.with-tests  ## Run the tests, and measure their coverage
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

lint: $(VENV)/.with-linters
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports

check: lint test  ## Everything that must hold before a commit

format: $(VENV)/.with-linters  ## Put the code into its form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:  ## Remove what the targets made
	rm -rf $(VENV) .coverage .coverage.* .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist
