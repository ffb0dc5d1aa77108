# `make repro` sets everything up and runs the pipeline; `make <recipe>` runs a file of recipes/ as an experiment.
PYTHON ?= python3
BIN := .venv/bin
RECIPES := $(notdir $(wildcard recipes/*))

.PHONY: repro test lint study clean scm $(RECIPES)

repro: .venv/installed scm
	$(BIN)/dvc repro

test: .venv/installed
	$(BIN)/python -m pytest

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

$(RECIPES): .venv/installed scm
	@git rev-parse --verify -q HEAD >/dev/null 2>&1 || { echo "error: experiments need git and a commit; run make repro"; exit 2; }
	$(BIN)/dvc exp run $$(cat recipes/$@) $(ARGS)

# What studies.yaml declares and is not finished, kept below reports/study/; e.g. ARGS="--only adapters --jobs 4".
study: .venv/installed
	@stages/run python -m knotwork.study $(ARGS)

# A sweep of studies.yaml by DVC's queue; e.g. ARGS="--jobs 2".
sweep-%: .venv/installed
	@stages/run python -m knotwork.study --only sweep-$* --jobs 1 $(ARGS)

# Outside a git clone DVC is told, in its local configuration, to do without; in one that was made later, to use it.
scm: .venv/installed
	@git rev-parse --is-inside-work-tree >/dev/null 2>&1 && without=false || without=true; \
	grep -qs "no_scm = $$without" .dvc/config.local || $(BIN)/dvc config --local core.no_scm $$without

# The environment, made when it is missing or pyproject.toml is newer, and only then.
.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: Python 3.11 or newer is needed (PYTHON=...)"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

clean:
	rm -rf models checkpoints data/identity data/raw data/parses data/graphs data/baselines data/zero_shot data/evaluated data/rejected data/timings reports/report.html reports/report dvc_plots .pytest_cache .ruff_cache
