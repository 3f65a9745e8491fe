# make demo    install into .venv, find a real metastasis, then run every step on synthetic slides; the results are in demo/
# make test    install with the test extra, then lint and run all tests; the unit tests' coverage of bundle/scripts
# make lint    only the checks that run no test
# make docs    build the docs as a site in docs/_build/html; any warning, such as a link that leads nowhere, is an error
# make clean   remove what these made, .venv included
#
# Another interpreter: make demo PYTHON=python3.12. The install is repeated only when pyproject.toml or
# constraints.txt has changed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# glibc keeps less of what tests give back: one arena, and large blocks go to the system at once. With blocks up to 8 MiB
# kept, networks compute a fifth faster, but a process grows beyond 2 GB.
# Python keeps what it compiles, whatever the shell says: tests start hundreds of processes.
# A process that dies ends the run, which names its test; pytest-xdist would run that test again, and then wait for ever.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=1048576 $(BIN)/python -m pytest --numprocesses logical --maxprocesses 4 --max-worker-restart 0 --dist loadfile --no-loadscope-reorder
PAGES := tests/integration/test_doc_commands.py
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint style types pages docs clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	$(BIN)/tumor-detection demo --output demo

# Several runs of pytest: each starts without what the libraries of the one before keep in memory, so no process grows to
# 2 GB. The first runs the pages' commands, and mypy beside it, which takes one processor. Coverage is that of the unit
# tests: the others would take a fifth longer with it.
test: style
	$(MAKE) --jobs 2 types pages
	$(PYTEST) --cov --cov-report= $(wildcard tests/unit/[a-q]*/)
	$(PYTEST) --cov --cov-append --cov-report=term $(wildcard tests/unit/[r-z]*/ tests/unit/test_*.py)
	$(PYTEST) $(filter-out $(PAGES), $(wildcard tests/integration/test_[a-d]*.py))
	$(PYTEST) $(wildcard tests/integration/test_[e-i]*.py)
	$(PYTEST) $(wildcard tests/integration/test_[j-z]*.py)

lint: style types

style: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tests/helpers/format_configs.py --check
	PYTHONPATH=bundle $(BIN)/lint-imports

types: $(VENV)/.installed-test
	$(BIN)/mypy

# One file, so each process takes the other's tests once it has none.
pages: $(VENV)/.installed-test
	$(PYTEST) --dist worksteal $(PAGES)

docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --nitpicky --quiet -d docs/_build/doctrees docs docs/_build/html

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(INSTALL) --editable '.[test]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(INSTALL) --editable '.[docs]'
	@touch $@

# Debian and Ubuntu split ensurepip off into python3-venv; where it is missing, the system's pip fills the environment.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(not (3, 10) <= v[:2] <= (3, 13) and "Python 3.10 to 3.13 is needed, but $(PYTHON) is %d.%d; name another one: make PYTHON=python3.12" % v[:2])'
	@rm -rf $(VENV)
	@if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then $(PYTHON) -m venv $(VENV); else \
	  $(PYTHON) -m venv --without-pip $(VENV) && $(PYTHON) -m pip --python $@ install pip; fi || { rm -rf $(VENV); \
	  echo "$(PYTHON) cannot make a virtual environment; on Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }

clean:
	rm -rf $(VENV) demo build dist docs/_build docs/generated *.egg-info .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
