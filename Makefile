# Two commands do everything on a fresh Debian or Ubuntu: `make scan` and `make test`.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python -m

.PHONY: scan test pytest lint bench bench-full demo golden clean

scan: $(VENV)/.installed
	$(VENV)/bin/nsagent scan

demo: $(VENV)/.installed
	$(VENV)/bin/nsagent scan --from fixtures/captures/docker.json.gz

test: $(VENV)/.tested-with
	$(MAKE) lint
	$(MAKE) pytest

pytest: $(VENV)/.tested-with
	$(RUN) pytest

lint: $(VENV)/.tested-with
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: $(VENV)/.tested-with
	mkdir -p build
	$(RUN) tests.bench --states small,node,flat --json build/bench.json

bench-full: $(VENV)/.tested-with
	mkdir -p build
	$(RUN) tests.bench --states small,node,flat,large,empty-ns --json build/bench.json

# Write the golden output anew from the captures; look at the diff before committing it.
golden: $(VENV)/.tested-with
	$(RUN) tests.golden

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache

$(VENV)/.installed: pyproject.toml
	PYTHON=$(PYTHON) sh .ci/make-venv $(VENV)
	$(VENV)/bin/pip install --quiet --editable .
# As pip does with what it copies: else the first scan, and each one under PYTHONDONTWRITEBYTECODE, compiles all modules.
	$(RUN) compileall -q nsagent
	touch $@

$(VENV)/.tested-with: $(VENV)/.installed .ci/apt-packages
	sh .ci/install-apt-packages
	$(VENV)/bin/pip install --quiet --editable '.[all,dev]'
	touch $@
