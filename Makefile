# One command per job, the same on a desk and in CI. `make` alone lists them.

SHELL := /bin/bash
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --quiet -c constraints.txt
DEBIAN_PACKAGES := ffmpeg redis-server chromium rtmpdump gstreamer1.0-tools gstreamer1.0-plugins-base \
	gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav \
	gstreamer1.0-nice gir1.2-gst-plugins-base-1.0 gir1.2-gst-plugins-bad-1.0 python3-gi
NODE_PACKAGES := nodejs npm
TEST_PROGRAMS := ffmpeg ffprobe redis-server chromium rtmpdump gst-launch-1.0 node npm
# WebRTC in GStreamer is more than its programs. Debian's gi is for Debian's Python.
GSTREAMER_ELEMENTS := nicesink webrtcbin
IMPORT_GSTREAMER := /usr/bin/python3 -c 'import gi; gi.require_version("GstWebRTC", "1.0")'
FAST := not slow and not interop and not browser and not fuzz
# By file, because what a module's fixtures make takes long; in order, or files of few but long tests come last.
# One more than CI has cores, as many tests wait for other processes.
BY_FILE := --dist loadfile --no-loadscope-reorder
IN_PARALLEL := -n 3 $(BY_FILE)
# Browsers play in real time: nothing else runs beside them.
BROWSERS := -n 2 $(BY_FILE)

.PHONY: help run demo test test-fast test-setup lint fuzz bench lock settings clean

help:
	@echo "make run        install and start the server with embedded defaults"
	@echo "make demo       the same, with a test pattern published to the room demo"
	@echo "make test       set up, lint, types, import rules and every test"
	@echo "make test-fast  lint and the tests that need seconds"
	@echo "make fuzz       look for inputs that break a parser, a minute for each"
	@echo "make bench      a one-minute load test of this machine"
	@echo "make lock       resolve the dependencies anew into constraints.txt"
	@echo "make settings   regenerate docs/settings.md"

run: $(VENV)/.installed
	@exec $(BIN)/mediaserver serve

demo: $(VENV)/.installed
	@exec $(BIN)/mediaserver demo

# What fails in one part keeps none of the others from running: one run tells of everything.
test: test-setup lint
	@failed=0; \
	$(BIN)/python -m pytest -q $(IN_PARALLEL) -m "$(FAST)" || failed=1; \
	$(BIN)/python -m pytest -q $(IN_PARALLEL) -m "(slow or interop or fuzz) and not browser" || failed=1; \
	$(BIN)/python -m pytest -q $(BROWSERS) -m browser || failed=1; \
	exit $$failed

test-fast: $(VENV)/.dev lint
	$(BIN)/python -m pytest -q $(IN_PARALLEL) -m "$(FAST)" -x

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config setup.cfg

# Longer than `make test` does, and from another seed every time.
fuzz: $(VENV)/.dev
	FUZZ_SECONDS=$${FUZZ_SECONDS:-60} $(BIN)/python -m pytest -q -n 2 -m fuzz

bench: $(VENV)/.dev
	$(BIN)/python -m bench quick

lock: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/pip-compile --quiet --all-extras --strip-extras --no-header --no-emit-find-links --upgrade \
		--output-file constraints.txt setup.cfg

settings: $(VENV)/.installed
	$(BIN)/mediaserver settings-reference > docs/settings.md

# As root on Debian the programs are installed; elsewhere the missing ones are named and the tests do not start.
# Node from elsewhere (NodeSource's brings npm along) would conflict with Debian's, so it is left alone.
test-setup: $(VENV)/.dev
	@missing=; for p in $(TEST_PROGRAMS); do command -v $$p >/dev/null || missing="$$missing $$p"; done; \
	for e in $(GSTREAMER_ELEMENTS); do gst-inspect-1.0 $$e >/dev/null 2>&1 || missing="$$missing $$e"; done; \
	$(IMPORT_GSTREAMER) 2>/dev/null || missing="$$missing python3-gi"; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing:$$missing"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
			$(DEBIAN_PACKAGES) $$(command -v npm >/dev/null || echo $(NODE_PACKAGES)) >/dev/null || exit 1; \
	elif [ -n "$$missing" ]; then \
		echo "make test needs these:$$missing" >&2; \
		echo "on Debian: apt-get install $(DEBIAN_PACKAGES) $(NODE_PACKAGES)" >&2; exit 1; \
	fi
	@cd tests/e2e && { [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --silent --no-audit --no-fund; }

$(VENV)/bin/python:
	@[ -n "$(PYTHON)" ] || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing mediaserver and what it needs into $(VENV) (the first time takes a minute)"
	@$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	@echo "installing what the tests need into $(VENV)"
	@$(PIP) --editable ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
