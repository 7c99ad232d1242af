# Each target makes what it needs: `.venv` once, and again when pyproject.toml changes.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo smoke test test-all fuzz promises bounds generic check matrix oldest types docs bench clean

demo: .venv/ready
	$(BIN)/typednn demo

smoke: .venv/ready
	$(BIN)/python -m pytest tests/smoke

test: .venv/ready
	$(BIN)/python -m pytest -n 2

test-all: .venv/ready
	$(BIN)/python -m pytest -n 2 --full

fuzz: .venv/ready
	$(BIN)/python -m tests.fuzz --seconds 60

promises: .venv/ready
	$(BIN)/python -m tests.promises

bounds: .venv/ready
	NUMBA_BOUNDSCHECK=1 TYPEDNN_CACHE_DIR=.pytest_cache/bounds $(BIN)/python -m pytest tests/typednn_kernels/test_kernels.py tests/typednn/training

generic: .venv/ready
	NUMBA_CPU_NAME=generic TYPEDNN_CACHE_DIR=.pytest_cache/generic $(BIN)/python -m pytest tests/typednn_kernels/test_kernels.py tests/typednn/training

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/python -m tests.typing.completeness

matrix: oldest
	for python in 3.11 3.12 3.13 3.14; do $(MAKE) types PYTHON=python$$python ENV=.matrix/$$python || exit 1; done

oldest:
	$(MAKE) types PYTHON=python3.11 ENV=.matrix/oldest OLDEST='numpy==2.3.* scipy==1.16.* numba==0.66.* typing_extensions==4.12.*'

types:
	$(PYTHON) -m venv $(ENV)
	$(ENV)/bin/python -m pip install --quiet --editable '.[check]' pandas $(OLDEST:%='%')
	$(ENV)/bin/python -m pytest --full tests/typing

docs: .venv/ready
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	$(BIN)/python docs/figures.py
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet -b html docs docs/build
	$(BIN)/python docs/links.py

bench: .venv/ready
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks .matrix dist docs/build docs/figures docs/gallery

.venv/ready: pyproject.toml
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[check]'
	touch $@
