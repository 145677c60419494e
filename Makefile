# make demo | test | dev | site | explore | kills | audit | format | lock | hooks | clean
# Each does its own set-up; a second run reuses it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
HOME_FOLDER := data/dagster
INSTANCE := $(HOME_FOLDER)/dagster.yaml

# A run is a process: with this it would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

export DO_NOT_TRACK := 1
export DAGSTER_DG_UPDATE_CHECK_ENABLED := 0
# uv installs here, and `dg` asks that the environment it runs in be the project's.
export VIRTUAL_ENV := $(CURDIR)/$(VENV)

# Files in their order: bench and integration, a file of which takes a minute, come first. By the number of their tests,
# which is xdist's own order, most of those would be last, each the only thing left to do. Tests also wait, for servers and
# processes: five at once keep two cores busy, and more would each import what these have, in 2 GB of memory.
WIDE := -n 5 --dist loadfile --no-loadscope-reorder

.PHONY: demo test dev site explore kills audit format lock hooks clean

demo: $(READY)
	$(BIN)/ais demo

test: $(READY) $(INSTANCE)
	$(BIN)/uv lock --check --offline
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	DAGSTER_HOME=$(CURDIR)/$(HOME_FOLDER) $(BIN)/dg check defs
	$(BIN)/pytest $(WIDE)

# Properties with seeds of their own, other ones every time; `make test` repeats the same examples.
explore: $(READY)
	$(BIN)/pytest -n 2 -m hypothesis --hypothesis-profile explore

# What takes too long for every test run: runs of each stage killed at twenty random moments.
kills: $(READY)
	$(BIN)/python -m ais_assets_tests.integration.random_kills --kills 20

# Known vulnerabilities of the releases in uv.lock, by an advisory server, which not every network reaches; a release that
# it could not ask about fails, too. PYSEC-2023-121 is of the command of zstd 1.4.10; the package has a later zstd, no command.
audit: $(READY)
	$(BIN)/uv export --frozen --quiet --all-extras --no-emit-project --output-file $(VENV)/audited.txt
	$(BIN)/uv tool run pip-audit --strict --ignore-vuln PYSEC-2023-121 \
	  --requirement $(VENV)/audited.txt --require-hashes --disable-pip

dev: $(READY) $(INSTANCE)
	DAGSTER_HOME=$(CURDIR)/$(HOME_FOLDER) $(BIN)/dg dev --host 127.0.0.1 --port 3000

# The documentation, into build/site.
site: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "open build/site/index.html, or: $(BIN)/mkdocs serve"

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# After a change of pyproject.toml's dependencies; UPGRADE=1 takes the newest releases that it allows.
lock: $(READY)
	$(BIN)/uv lock $(if $(UPGRADE),--upgrade)

hooks: $(READY)
	$(BIN)/pre-commit install

# What tools made. Lakes, caches and the history of runs (data/) are yours to delete.
clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find ais_assets ais_assets_tests -name __pycache__ -prune -exec rm -rf {} +

# The lock names every release; a torch build that is there already and of that release stays (docs/installing.md).
$(READY): pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "ais_assets needs Python 3.11 to 3.13; name one: make PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(BIN)/python -m pip install --disable-pip-version-check 'uv>=0.9,<1'
	$(BIN)/uv export --frozen --quiet --all-extras --no-hashes --no-emit-project --output-file $(VENV)/constraints.txt
	$(BIN)/uv pip install --constraints $(VENV)/constraints.txt --compile-bytecode --editable '.[dev,postgres]'
	touch $@

# Its empty sister tells Dagster's UI that nobody needs to be welcomed to a mailing list.
$(INSTANCE): ais_assets/operating/dagster.yaml
	mkdir -p $(HOME_FOLDER)/.nux
	touch $(HOME_FOLDER)/.nux/nux.yaml
	cp $< $@
