# Every target sets itself up from nothing but python3 and make; the second time it is quick.
#
#   make demo     the whole flow on this machine: simulate, build, check, record live, survive a kill
#   make test     every test, two at a time, then those that want the machine for themselves
#   make lint     ruff, with nearly every rule; the workflow of .github
#   make types    mypy, strict
#   make coverage every test again, with branches measured; fails below the floor
#   make wheel    the wheel, installed alone in an environment of its own, passes a part of the tests
#   make bench    the figures of benchmarks/README.md
#   make notebook-pages   run the notebooks and write their pages, with pictures
#   make sample   write the sample dataset of the package again
#   make first-page  run the session of the README again, and draw its picture
#   make fuzz     1,000 random sequences of late rows and repairs against one build of their spool
#   make docs     write the generated pages again, and the site into site/
#   make clean    remove the environment, caches and the demo's folder; never the spool
#
# Another interpreter: make test PYTHON=python3.13. On Windows see README.md.

PYTHON = python3
VENV = .venv
BIN = $(VENV)/bin
INSTALL_IN = $(1)/bin/python -m pip --disable-pip-version-check install --quiet --quiet -c constraints.txt
INSTALL = $(call INSTALL_IN,$(VENV))
SETUP = pyproject.toml constraints.txt
EXTRAS = analyze,notebooks,view
FLOOR = 95
WHEEL_TESTS = tests/features tests/dataset tests/spool tests/cli
TOGETHER = -n 2 --dist worksteal -m "not exclusive"

.PHONY: demo test lint types coverage wheel bench fuzz sample notebook-pages first-page docs clean

demo: $(VENV)/.runtime
	@$(BIN)/ofi demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest -q $(TOGETHER)
	$(BIN)/python -m pytest -q -m exclusive

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --offline --quiet --no-progress .github/workflows
	$(BIN)/pre-commit validate-config

types: $(VENV)/.dev
	$(BIN)/mypy

coverage: $(VENV)/.dev
	$(BIN)/coverage erase
	$(BIN)/python -m pytest -q $(TOGETHER) --cov --cov-report=
	$(BIN)/python -m pytest -q -m exclusive --cov --cov-append --cov-report=
	$(BIN)/coverage report --fail-under=$(FLOOR)

wheel: $(VENV)/.dev
	rm -rf dist
	$(BIN)/python -m hatchling build -t wheel
	$(PYTHON) -m venv --clear $(VENV)-wheel
	$(call INSTALL_IN,$(VENV)-wheel) pip
	$(call INSTALL_IN,$(VENV)-wheel) "$$(echo dist/*.whl)[$(EXTRAS)]" --group test
	cp -r tests pyproject.toml $(VENV)-wheel  # away from the checkout: only the wheel has the package
	cd $(VENV)-wheel && bin/python -m pytest -q $(WHEEL_TESTS)

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/build.py

notebook-pages: $(VENV)/.dev
	$(BIN)/python docs/notebook_pages.py

sample: $(VENV)/.runtime
	$(BIN)/python -m ofi_cvd.demo.sample

first-page: $(VENV)/.dev
	$(BIN)/python docs/first_page.py

fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz.restatement --count 1000

docs: $(VENV)/.dev
	$(BIN)/python -m ofi_cvd.cli.reference
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) $(VENV)-wheel dist .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis site data/demo

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
	@$(INSTALL) pip  # the pip of an older Python knows no dependency groups
	@$(INSTALL) -e ".[$(EXTRAS)]" --group dev
	@touch $(VENV)/.runtime $@
