# make train, make test: from a bare machine with Python 3.11. The other targets: test-long, install, check, bench, soak;
# docs builds the site; dist builds what an index takes, dist-check installs it under each of PYTHONS and runs it;
# test-peers and peers: an environment with other libraries' replays, trackers and Optuna.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

SMALL := .venv-without-torch
RELEASE := .venv-dist
DOCS := .venv-docs
PYTHONS := 3.11 3.12 3.13
PEERS := .venv-peers
PEER_PACKAGES := stable-baselines3 cpprb torchrl sb3-extra-buffers wandb mlflow-skinny optuna

.PHONY: train test test-long test-without-torch test-peers peers check bench soak docs dist dist-check install clean

train: $(STAMP)
	$(BIN)/edgerl train --env atari/qbert --budget 0.07GB --device jetson_nano --steps 6000 --freeze-at 3000

test: $(STAMP)
	$(BIN)/python -m pytest

test-long: $(STAMP)
	$(BIN)/python -m pytest -m long

test-without-torch: $(SMALL)/.installed
	$(SMALL)/bin/python -m pytest -m without_torch -n0 tests/test_without_torch.py

test-peers: $(PEERS)/.installed
	$(PEERS)/bin/python -m pytest -n0 tests/test_sb3.py tests/test_trackers.py

peers: $(PEERS)/.installed

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

soak: $(STAMP)
	$(BIN)/python benchmarks/soak.py
	$(BIN)/python benchmarks/flatness.py

bench: $(STAMP)
	$(BIN)/python benchmarks/train_throughput.py
	$(BIN)/python benchmarks/curl_updates.py
	$(BIN)/python benchmarks/freeze_memory.py

docs: $(DOCS)/.installed
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict --quiet

dist: $(RELEASE)/.installed
	$(RELEASE)/bin/python tools/build_distributions.py

dist-check: dist
	$(RELEASE)/bin/python tools/check_distributions.py $(PYTHONS)

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt tools/system_libraries.sh edgerl_run/__init__.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "edgerl needs Python 3.11 or newer; $(PYTHON) is older (make PYTHON=python3.11 ...)" >&2; exit 1; }
	@sh tools/system_libraries.sh
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[torch,atari,dmc,gym,report,video,slurm,ray,test]'
	@touch $@

$(SMALL)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(SMALL)
	$(SMALL)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[atari,report]' \
		hypothesis pytest pytest-xdist
	@touch $@

$(RELEASE)/.installed: constraints.txt Makefile
	$(PYTHON) -m venv $(RELEASE)
	$(RELEASE)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		build check-wheel-contents 'setuptools>=77' twine
	@touch $@

$(PEERS)/.installed: pyproject.toml constraints.txt constraints-peers.txt Makefile
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -c constraints-peers.txt \
		-e '.[torch,atari,gym]' $(PEER_PACKAGES) hypothesis pytest pytest-xdist
	@touch $@

$(DOCS)/.installed: constraints.txt Makefile
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		mkdocs-material 'mkdocstrings[python]' ruff
	@touch $@

clean:
	rm -rf $(VENV) $(SMALL) $(RELEASE) $(PEERS) $(DOCS) build dist site *.egg-info
