# `make demo` and `make test` do all set-up on a fresh machine with Python 3.11 or later.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PACKAGES := nlprep vision multimodal cli
# Two processes of tests, each on a processor of its own.
BESIDE := --numprocesses 2 --dist worksteal
SOURCES := $(PACKAGES) tests benchmarks examples docs

.PHONY: help install demo test test-fast check format lint types contracts reference clean

help:  ## say what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*##/\t/' | expand -t 12

install: $(VENV)/installed  ## create the environment in .venv and install everything into it

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable . --group dev
	@touch $@

demo: install  ## two languages from text to translations, in a minute, with a figure at the end
	$(BIN)/rep-translate demo --output demo

test: install  ## run the tests, on two processors
	$(BIN)/python -m pytest $(BESIDE)

test-fast: install  ## run the tests that take no time, in less than a minute
	$(BIN)/python -m pytest $(BESIDE) -m "not slow"

check: install format lint types contracts test  ## everything that must hold before a change lands

format:  ## is the code formatted?
	$(BIN)/ruff format --check $(SOURCES)

lint:  ## ruff's rules
	$(BIN)/ruff check $(SOURCES)

types:  ## mypy, strict
	$(BIN)/mypy

contracts:  ## who may import whom
	$(BIN)/lint-imports

reference:  ## write the reference of every room, and the picture of who imports whom, from the code
	$(BIN)/python docs/reference.py
	$(BIN)/python docs/imports.py

clean:  ## remove the environment and what the demo made
	rm -rf $(VENV) demo
