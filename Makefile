# Every target sets itself up from nothing but python3 and make; the second time it is quick.
#
#   make demo     the whole flow on this machine: simulate, build, check, record live, survive a kill
#   make test     every test, two at a time, then those that want the machine for themselves
#   make lint     ruff, with nearly every rule
#   make types    mypy, strict
#   make bench    the figures of benchmarks/README.md
#   make sample   write the sample dataset of the package again
#   make docs     write the generated pages again, and the site into site/
#   make clean    remove the environment, caches and the demo's folder; never the spool
#
# Another interpreter: make test PYTHON=python3.13. On Windows see README.md.

PYTHON = python3
VENV = .venv
BIN = $(VENV)/bin
INSTALL = $(BIN)/python -m pip --disable-pip-version-check install --quiet --quiet -c constraints.txt
SETUP = pyproject.toml constraints.txt

.PHONY: demo test lint types bench sample docs clean

demo: $(VENV)/.runtime
	@$(BIN)/ofi demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not exclusive"
	$(BIN)/python -m pytest -q -m exclusive

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/build.py

sample: $(VENV)/.runtime
	$(BIN)/python -m ofi_cvd.demo.sample

docs: $(VENV)/.dev
	$(BIN)/python -m ofi_cvd.cli.reference
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis site data/demo

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("expected Python 3.11 or later, found " + sys.version.split()[0] + ": make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(BIN)/python -m ensurepip > /dev/null
	@touch $@

$(VENV)/.runtime: $(VENV)/.made $(SETUP)
	@echo "installing into $(VENV) (once)"
	@$(INSTALL) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.made $(SETUP)
	@echo "installing into $(VENV) with what the tests need (once)"
	@$(INSTALL) -e ".[dev]"
	@touch $(VENV)/.runtime $@
