# Two commands, each working alone on a bare machine: `make demo` and `make test`.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test lint clean

# Set-up:  PYTHON=/path/to/python3.11 where it is not on the PATH;  MAX_JOBS=1 where memory is short.
PYTHON ?=
METHOD ?= drpoint
ARGS ?=
# Test processes: one a core, at most 4, each with one thread. On two cores this takes a third of the
# time that one process with two threads takes.
WORKERS ?= $(shell cores=$$(nproc 2>/dev/null || echo 2); [ $$cores -lt 4 ] && echo $$cores || echo 4)

help:
	@echo 'make demo [METHOD=drpoint]  pre-train on embedded data, probe, draw pictures, export'
	@echo 'make test                   run the tests'
	@echo 'make setup                  only bring .venv up to date (the other commands do it by themselves)'
	@echo 'make lint                   check style and format'
	@echo 'make clean                  remove .venv and what the set-up left; built wheels stay in the cache'
	@echo
	@echo 'ARGS="..." is passed on:    make test ARGS="tests/test_ops -x"'
	@echo 'WORKERS=0                   tests in one process, for a debugger'
	@echo 'PYTHON=/path/to/python3.11  which Python makes .venv;  MAX_JOBS=1 builds mmcv in little memory'

setup:
	@python=$$(sh tools/setup/find_python.sh $(PYTHON)) && exec "$$python" -m tools.setup

demo: setup
	@.venv/bin/python tools/demo.py $(METHOD) $(ARGS)

test: setup
	@OMP_NUM_THREADS=1 .venv/bin/python -m pytest -q -n $(WORKERS) $(ARGS)

lint: setup
	@.venv/bin/ruff check . && .venv/bin/ruff format --check .

clean:
	rm -rf .venv .setup .pytest_cache .ruff_cache build dist *.egg-info
	find mm3dpretrain tests tools projects configs -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
