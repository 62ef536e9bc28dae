# Two commands set up everything on a fresh machine: `make demo` and `make test`.
# PYTHON may name another interpreter (3.11 or newer); CONSTRAINTS= (empty) drops the pinned versions.
PYTHON ?= python3
CONSTRAINTS ?= -c constraints.txt
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.duolect-ready
DEMO ?= runs/demo
PYTEST_ARGS ?=
OLDEST := .venv-oldest
PEERS := .venv-peers
PEER_STAMPS := $(patsubst bench/peers/%.txt,$(PEERS)/%/.ready,$(wildcard bench/peers/*.txt))

.PHONY: help demo test test-oldest check format clean bench bench-peers

help:
	@echo "make demo    set up, then train and compare all systems on a corpus made on the spot (runs/demo/report.html)"
	@echo "make test    set up, then run the tests"
	@echo "make test-oldest   the same with the oldest versions that pyproject.toml allows (torch brings gigabytes of CUDA)"
	@echo "make check   set up, then formatting, lint, types and the architecture test"
	@echo "make bench   set up with the peers, each in an environment of its own, then the CPU benchmarks (docs/benchmarks.md)"
	@echo "make format  let ruff format and mend the sources"

# torch comes first and pinned: a later resolver step must not trade the CPU build for another.
$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing Duolect and what it stands on into $(VENV) (about a minute and a half, once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) torch
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS) --editable '.[dev,codecs,corpora,fast,leaderboard,slurm]'
	@touch $@

demo: $(STAMP)
	$(BIN)/duolect demo --out $(DEMO)

test: $(STAMP)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-oldest: $(OLDEST)/.duolect-ready
	$(OLDEST)/bin/python -m pytest $(PYTEST_ARGS)

# uv, because pip cannot be asked for the oldest versions that go together; torchcodec goes with newer torch alone.
$(OLDEST)/.duolect-ready: pyproject.toml
	@test -x $(OLDEST)/bin/python || $(PYTHON) -m venv $(OLDEST)
	@$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check uv
	@$(OLDEST)/bin/uv pip install --python $(OLDEST)/bin/python --resolution lowest-direct \
		--editable '.[dev,corpora,fast,leaderboard,slurm]'
	@touch $@

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/ty check src bench
	$(BIN)/python -m pytest -q tests/test_architecture.py

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Each peer's packages are pinned in bench/peers/NAME.txt, all of them: nothing else is installed.
$(PEERS)/%/.ready: bench/peers/%.txt $(STAMP)
	@echo "Installing $* into $(PEERS)/$* ..."
	@rm -rf $(PEERS)/$*
	@$(BIN)/python -m venv $(PEERS)/$*
	@$(PEERS)/$*/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	@touch $@

bench-peers: $(PEER_STAMPS)

# One thread: OpenMP threads that spin beside a peer's process would be measured too.
bench: $(STAMP) $(PEER_STAMPS)
	OMP_NUM_THREADS=1 $(BIN)/python -m bench.ctc
	OMP_NUM_THREADS=1 $(BIN)/python -m bench.joint
	OMP_NUM_THREADS=1 $(BIN)/python -m bench.speech_llm
	OMP_NUM_THREADS=1 $(BIN)/python -m bench.texts
	OMP_NUM_THREADS=1 $(BIN)/python -m bench.precision

clean:
	rm -rf $(VENV) $(OLDEST) $(PEERS) .pytest_cache .ruff_cache .hypothesis
