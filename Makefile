# Every target installs what it needs first. Needs git, make and Python 3.11 or later; apt for the test peers.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Programs that tests run against: a browser, a database server, independent telephony peers.
PEERS := chromium fonts-dejavu-core postgresql sip-tester
# Two cores carry three workers well: most of a test's time is waiting for a program.
WORKERS ?= 3

.PHONY: demo test check bench soak lock peers install clean

demo: install
	$(BIN)/switchroom demo

test: install peers
	$(BIN)/pytest -n $(WORKERS) --dist load --maxschedchunk 1 -m "not soak"

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture
	$(BIN)/pylint --disable=all --enable=duplicate-code --recursive=y bot checks

bench: install peers
	$(BIN)/python tests/bench/run.py

soak: install peers
	$(BIN)/pytest -m soak

install: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "switchroom needs Python 3.11 or later; set PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	touch $@

# Without root or apt the peers are left out, and the tests that need one are skipped by name.
peers:
	@missing=; for peer in $(PEERS); do dpkg -s $$peer >/dev/null 2>&1 || missing="$$missing $$peer"; done; \
	if [ -z "$$missing" ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing test peers:$$missing"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$missing >/dev/null; \
	else echo "test peers not installed, their tests are skipped:$$missing"; fi

lock:
	$(BIN)/uv pip compile --universal --generate-hashes --group dev pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis var
