# The door: every target says what it does. `make` alone lists them.
#
# Each needs only Python 3.11 or later with venv (Debian: apt-get install python3-venv); npm brings the
# viewer (Debian: apt-get install npm). Virtual environments are made here, in .venv-*, once.

ARGS   ?=
SECONDS ?= 60
VENV   ?= .venv-dev
RUN     = .venv-run
NOVNC   = consolekit/web/novnc/core/rfb.js
SOURCES = pyproject.toml hatch_build.py package.json package-lock.json

# Where noVNC is missing and npm is there now, the package is installed once more to fetch it.
REFETCH = $(if $(wildcard $(NOVNC)),,$(if $(shell command -v npm 2>/dev/null),again))

# The first Python of these that is new enough and can make virtual environments.
PYTHONS = $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3
define find_python
found=; \
for python in $(PYTHONS); do \
  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
    found=old-enough; \
    if "$$python" -c 'import ensurepip, venv' 2>/dev/null; then found=$$python; break; fi; \
  fi; \
done; \
case "$$found" in \
  "") echo "No Python 3.11 or later was found. Debian 12 and later: apt-get install python3 python3-venv;" \
        "elsewhere: make ... PYTHON=/path/to/python3.11" >&2; exit 1;; \
  old-enough) echo "Python is there, its venv module is not. Debian: apt-get install python3-venv" >&2; exit 1;; \
esac
endef

.PHONY: help demo test check docs fuzz clean again
.DEFAULT_GOAL := help

help:
	@echo "make demo    a moving console in your browser, from nothing (ARGS=--no-browser: print the URL only)"
	@echo "make test    the tests (ARGS='-k name' goes to pytest); what is not installed is skipped and named"
	@echo "make check   formatting, lint, types, layers"
	@echo "make fuzz    the property tests, twenty times as many examples, then atheris (SECONDS=60 for each target)"
	@echo "make docs    the documentation, into docs/_build/html"
	@echo "make clean   remove what the others made"

demo: $(RUN)/.installed
	@test -f $(NOVNC) || printf '%s\n' \
	  "" \
	  "NO VIEWER: noVNC is not installed, so the page will open and show no console." \
	  "Cure: apt-get install npm, then make demo again. Everything else works." \
	  "" >&2
	@exec $(RUN)/bin/consolekit demo $(ARGS)

test: $(VENV)/.test
	@echo "==> Running the tests (CONSOLEKIT_REQUIRE_ALL=1 makes a missing part a failure)"
	@exec $(VENV)/bin/python -m pytest $(ARGS)

check: $(VENV)/.test $(VENV)/.lint
	@echo "==> Lint, formatting, types, layers"
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" basedpyright --verifytypes consolekit --ignoreexternal
	$(VENV)/bin/lint-imports --cache-dir $(VENV)/import-linter

# Not stopped by the first that fails: what the other half finds is worth as much.
fuzz: $(VENV)/.test $(VENV)/.fuzz
	@echo "==> Property tests with the profile deep (ARGS='-k name' goes to pytest)"
	@CONSOLEKIT_HYPOTHESIS=deep $(VENV)/bin/python -m pytest -q --timeout=3600 -m hypothesis \
	  tests/property tests/unit $(ARGS); property=$$?; \
	echo "==> Fuzz targets, $(SECONDS) s each"; \
	$(VENV)/bin/python fuzz/run.py --seconds $(SECONDS) && exit $$property

docs: $(VENV)/.docs
	@echo "==> Building the documentation; a warning is an error"
	$(VENV)/bin/sphinx-build -W -n --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

clean:
	@echo "==> Removing virtual environments, caches and what was built"
	rm -rf .venv-run .venv-dev .fuzz docs/_build build dist test-results consolekit/web/novnc node_modules
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -path './.venv*' -prune -o -name __pycache__ -prune -exec rm -rf {} +

# Made anew only if it cannot be used: another python3 on PATH must not be laid over the one in it.
define make_venv
$(1)/bin/python -m pip --version >/dev/null 2>&1 || { \
  $(find_python); \
  echo "==> Making $(1) with $$found (the first time only)"; \
  "$$found" -m venv --clear $(1); \
}
endef
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check

$(RUN)/.installed: $(SOURCES) $(REFETCH)
	@$(call make_venv,$(RUN))
	@echo "==> Installing consolekit into $(RUN)"
	@$(RUN)/bin/python $(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/.installed: $(SOURCES) $(REFETCH)
	@$(call make_venv,$(VENV))
	@echo "==> Installing consolekit into $(VENV)"
	@$(VENV)/bin/python $(PIP_INSTALL) --upgrade 'pip>=25.1'
	@$(VENV)/bin/python $(PIP_INSTALL) --editable .
	@touch $@

# The dependency groups of pyproject.toml: test, lint, docs, fuzz.
$(VENV)/.test $(VENV)/.lint $(VENV)/.docs $(VENV)/.fuzz: $(VENV)/.%: $(VENV)/.installed
	@echo "==> Installing what '$*' needs into $(VENV)"
	@$(VENV)/bin/python $(PIP_INSTALL) --group $*
	@touch $@
