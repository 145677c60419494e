# make demo | make test | make dev | make format: each does its own set-up; a second run reuses it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
HOME_FOLDER := data/dagster

export DO_NOT_TRACK := 1

.PHONY: demo test dev format clean

demo: $(READY)
	$(BIN)/ais demo

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/pytest -n 4 --dist loadfile

dev: $(READY) $(HOME_FOLDER)/dagster.yaml
	DAGSTER_HOME=$(CURDIR)/$(HOME_FOLDER) $(BIN)/dagster dev --host 127.0.0.1 --port 3000 --workspace workspace.yaml

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf data build *.egg-info

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
	  || { echo "ais_assets needs Python 3.11 or 3.12; name one: make PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

$(HOME_FOLDER)/dagster.yaml: dagster.yaml
	mkdir -p $(HOME_FOLDER)
	cp $< $@
