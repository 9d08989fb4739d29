# pgproof: `make demo` and `make test` set up what they need, below .venv, and run.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test test-slow test-all sweep check bench clean parts
help:
	@echo "make demo       all of pgproof in two minutes, on an embedded PostgreSQL"
	@echo "make test       lint, types, import contracts, and the quick tests on real servers"
	@echo "make test-slow  the long journeys, and samples of the sweeps"
	@echo "make test-all   both, as CI runs them"
	@echo "make sweep      the whole sweeps, some of them for an hour: docs/evidence.md"
	@echo "make bench      the figures of docs/benchmarks*.md, measured here"

.venv/demo: pyproject.toml tools/setup
	@tools/setup venv "$(PYTHON)"
	@$(BIN)/python -m pip install --quiet --editable '.[embedded]'
	@touch $@

.venv/dev: pyproject.toml tools/setup
	@tools/setup venv "$(PYTHON)"
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch .venv/demo $@

parts:
	@tools/setup parts

demo: .venv/demo
	@$(BIN)/pgproof demo

check: .venv/dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports > .venv/contracts.log || { cat .venv/contracts.log; exit 1; }

test: .venv/dev parts check
	@tools/engine run tools/tests quick

test-slow: .venv/dev parts
	@tools/engine run tools/tests slow

test-all: .venv/dev parts check
	@tools/engine run tools/tests all

sweep: .venv/dev parts
	@tools/engine run tools/tests sweep

bench: .venv/dev
	@$(BIN)/python bench/bench.py --users 175000 --rounds 5 --out docs/benchmarks.md
	@$(BIN)/python bench/offsite.py --megabytes 1024 --rounds 5 --out docs/benchmarks-offsite.md
	@$(BIN)/python bench/selection.py --megabytes 1000 --out docs/benchmarks-selection.md
	@$(BIN)/python bench/recover.py --users 50000 --rounds 3 --out docs/benchmarks-recover.md
	@tools/engine run $(BIN)/python bench/volume.py --megabytes 1500 --rounds 3 --out docs/benchmarks-volume.md

clean:
	rm -rf .venv build dist
