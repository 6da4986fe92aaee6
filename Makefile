# Two commands do all the set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
BIN := $(VENV)/bin
# One thread a process: torch in two processes on the same cores slows down many times otherwise.
# Each process needs about 1 GB of memory. Files go out in the order of tests/conftest.py, the longest first.
# What is imported is compiled once, whatever the environment says: tests start hundreds of commands.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder

.PHONY: demo test pytest thorough quick coverage mutants bench lint format wheel sheets docs reports clean

demo: $(VENV)/installed
	rm -rf demo
	$(BIN)/midclass demo --out demo

# Both at once: lint alone keeps one core busy.
test: $(VENV)/installed
	$(MAKE) --no-print-directory --jobs 2 lint pytest

pytest: $(VENV)/installed
	$(PYTEST) --numprocesses auto --maxprocesses 8 -m "not thorough"

# Before a release: what takes half a minute a test, too.
thorough: $(VENV)/installed
	$(PYTEST) --numprocesses auto --maxprocesses 8

# While working: what takes seconds.
quick: $(VENV)/installed
	$(PYTEST) --numprocesses 2 -m "not slow and not thorough"

# Of the quick tests alone. The floor is fail_under in pyproject.toml, a point below what was measured.
coverage: $(VENV)/installed
	$(PYTEST) --numprocesses 2 -m "not slow and not thorough" --cov --cov-report=term:skip-covered

# Which small wrong changes do the tests let pass? Goes on where it was stopped; half an hour.
mutants: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[mutants]'
	$(BIN)/python tools/mutation/run.py --sample 200 --seed 0

# Speed and scale beside peers and limits, in one run; benchmarks/results.csv.
bench: $(VENV)/installed
	$(BIN)/python benchmarks/bench

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(VENV)/installed
	.ci/wheel $(BIN)/python

sheets: $(VENV)/installed
	$(BIN)/python docs/make_sheets.py

# Do the committed reports of all studies say what their score tables say? A minute or two.
reports: $(VENV)/installed
	for study in three_tasks transfer suite shipped repeats ultrasound; do $(BIN)/midclass report studies/$$study/study.yaml --check || exit 1; done
	for study in positives known_cases; do $(BIN)/midclass report studies/$$study/study.yaml --ours middle_class_5 --check || exit 1; done

# The site of the documentation, in site/; a broken link is an error.
docs: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

$(VENV)/installed: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --constraint $(CONSTRAINTS) torch
	$(BIN)/python -m pip install --quiet --no-compile --constraint $(CONSTRAINTS) --editable '.[dev,docs,ray,seg,onnx,serve,dicomweb,parquet]'
	-$(BIN)/python -m compileall -qq -j 0 -x '/tests?/' $(VENV)/lib  # by all cores, which pip does not
	touch $@

clean:
	rm -rf $(VENV) demo site build dist .coverage .pytest_cache .mypy_cache .ruff_cache
