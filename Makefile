# Two commands set up everything on a fresh machine: `make demo` and `make test`.
# PYTHON may name another interpreter (3.11 or newer); CONSTRAINTS= (empty) drops the pinned versions.
PYTHON ?= python3
CONSTRAINTS ?= -c constraints.txt
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.duolect-ready
DEMO ?= runs/demo
PYTEST_ARGS ?=

.PHONY: help demo test check format clean

help:
	@echo "make demo    set up, then train and compare all systems on a corpus made on the spot (runs/demo/report.html)"
	@echo "make test    set up, then run the tests"
	@echo "make check   set up, then formatting, lint, types and the architecture test"
	@echo "make format  let ruff format and mend the sources"

# torch comes first and pinned: a later resolver step must not trade the CPU build for another.
$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing Duolect and what it stands on into $(VENV) (about a minute and a half, once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) torch
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) --editable '.[dev,codecs,fast]'
	@touch $@

demo: $(STAMP)
	$(BIN)/duolect demo --out $(DEMO)

test: $(STAMP)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/ty check src
	$(BIN)/python -m pytest -q tests/test_architecture.py

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
