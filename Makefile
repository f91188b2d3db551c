# `make demo` and `make test` in a fresh clone: both make .venv and install into it first, by uv where it is there.
PYTHON ?= python3
BIN := .venv/bin
export NO_ALBUMENTATIONS_UPDATE := 1

.PHONY: demo test test-clusters check docs floors clean

$(BIN)/.installed: pyproject.toml
	if command -v uv >/dev/null; then \
	  uv venv --quiet --clear --python $(PYTHON) .venv && uv pip install --quiet --python $(BIN)/python --editable '.[dev]'; \
	else \
	  $(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet --upgrade pip && $(BIN)/python -m pip install --quiet --editable '.[dev]'; \
	fi
	touch $@

# the main job on phantoms, in a folder of its own
demo: $(BIN)/.installed
	BENCHMARK_HOME=demo/home $(BIN)/benchmark run --suite demo --results demo/results --workers 2
	BENCHMARK_HOME=demo/home $(BIN)/benchmark report --suite demo --results demo/results
	@echo "The demo's images are phantoms: these numbers mean nothing clinically. Everything lies under demo/: delete it at will."
	@echo "Open $(CURDIR)/demo/results/reports/demo/report.html"

test: $(BIN)/.installed check
	$(BIN)/python -m pytest -n 2 -q

# a toy SLURM (`apt-get install --no-install-recommends slurm-wlm munge`) and a toy Ray (`pip install -e '.[dev,ray]'`)
test-clusters: $(BIN)/.installed
	$(BIN)/python -m pytest -q -m cluster tests/scheduler

check: $(BIN)/.installed
	$(BIN)/ruff format --check --quiet benchmark tests docs
	$(BIN)/ruff check --quiet benchmark tests docs
	$(BIN)/mypy
	$(BIN)/lint-imports

# the documentation, as a folder that opens from disk
docs: $(BIN)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --site-dir build/docs

# quick tests with the oldest versions of the dependencies that pyproject.toml allows, on the oldest Python; needs uv
floors:
	uv venv --quiet --clear --python 3.10 .venv-floors
	uv pip install --quiet --python .venv-floors/bin/python --resolution lowest-direct --editable '.[dev]'
	.venv-floors/bin/python -m pytest -q -n 2 tests/test_cell.py tests/test_files.py tests/test_locks.py tests/data/test_splitting.py tests/stats tests/scoring/test_frozen_judges.py

clean:
	rm -rf .venv .venv-floors demo build
