# Everything a newcomer needs: `make reproduce` and `make test` set up `.venv` by themselves, once.
PYTHON ?= python3
RUN := .venv/bin/python

.PHONY: help reproduce demo test docs bench bench-gpu soak lint format lock clean

help:
	@echo "make reproduce   run both chapters on embedded phantoms (minutes, CPU)"
	@echo "make demo        show in a browser what the models of make reproduce do; RESULTS=DIR for others"
	@echo "make test        run every test; make test DATA=DIR also those on real images"
	@echo "make docs        build the site; open build/docs/index.html"
	@echo "make soak        kill, interrupt and corrupt everything at random, and compare (long)"
	@echo "make bench       time everything beside its peers; writes docs/benchmarks.md (long)"
	@echo "make lint        check style and types"
	@echo "make format      rewrite to the style"
	@echo "make lock        write requirements.txt anew from setup.py (needs uv)"

reproduce: .venv/installed
	@$(RUN) -m experiments.reproduce

test: .venv/installed
	@$(RUN) -m pytest -n auto --maxprocesses 4 --dist worksteal $(if $(DATA),--data=$(DATA)) tests

demo: .venv/installed
	@$(RUN) -m experiments.demo $(if $(RESULTS),--results $(RESULTS))

docs: .venv/installed
	@$(RUN) -m sphinx --fail-on-warning --keep-going --nitpicky --quiet docs build/docs
	@echo "Open build/docs/index.html"

bench: .venv/installed
	@$(RUN) -m pip install --quiet --disable-pip-version-check --editable .[bench]
	@$(RUN) -m benchmarks

bench-gpu: .venv/installed
	@$(RUN) -m pip install --quiet --disable-pip-version-check --editable .[bench] 'jax[cuda12]'
	@KERAS_BACKEND=jax $(RUN) -m benchmarks.gpu

soak: .venv/installed
	@$(RUN) -m tests.soak --kills 20
	@$(RUN) -m tests.fuzz --runs 2000

lint: .venv/installed
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

format: .venv/installed
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

lock:
	uv pip compile setup.py --extra demo --extra docs --extra experiments --extra notebooks --extra test --universal --python-version 3.11 --upgrade \
	  --no-header --no-annotate --no-emit-index-url --output-file requirements.txt

clean:
	rm -rf .venv

.venv/installed: requirements.txt setup.py
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "error: TensorFlow needs Python 3.11 to 3.13; say make PYTHON=python3.12, or another"; exit 2; }
	@echo "Setting up .venv (once; about 2 GB, a few minutes) ..."
	@$(PYTHON) -m venv .venv
	@$(RUN) -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --use-pep517 --editable .
	@$(RUN) -c 'import cv2' || \
	  { echo "error: OpenCV lacks a system library; on Debian: apt install libgl1 libglib2.0-0"; exit 2; }
	@touch $@
