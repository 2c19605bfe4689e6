# `make` alone prints the targets. Everything that a target needs it sets up itself.
DATASET ?= sample
MOVIE ?=
STACK ?= similar-titles

BIN := .venv/bin
# The functions' modules are named as Lambda finds them, from functions/; all others from here.
RUN = PYTHONPATH=functions $(BIN)/python -m
LOCK = $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --python-version 3.13 \
       --no-annotate --no-header

# A region for tools that want one, and no account.
NOWHERE = env -u AWS_PROFILE AWS_DEFAULT_REGION=eu-central-1

# A title may hold $, quotes and backticks: neither make nor the shell is to read them.
quoted = '$(subst ','\'',$(value $(1)))'

# What another project left in the shell would lead Python to other packages.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

.DEFAULT_GOAL := help
.PHONY: help setup demo local test test-yarn test-aws coverage drills bench bench-api bench-functions bench-yarn evaluate screenshots notebook pictures lint format environment types preflight deploy status rollback promote rebuild rerun redrive destroy lock clean

help: ## print the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1#/p' $(MAKEFILE_LIST) | awk -F'#' '{printf "make %-12s %s\n", $$1, $$2}'

setup: ## make .venv, .venv-sam and, where there is none, a Java; the other targets call it
	@python3 -m tools.bootstrap

demo: setup ## the whole pipeline on a local cloud: DATASET=sample|1m|10m|RELEASE|FOLDER MOVIE=ID|TITLE
	@$(RUN) local demo --dataset $(call quoted,DATASET) $(if $(value MOVIE),--movie $(call quoted,MOVIE))

local: setup ## a local cloud that stays up until Ctrl-C, with its page; DATASET=... drops one at once
	@$(RUN) local up $(if $(findstring command,$(origin DATASET)),--dataset $(call quoted,DATASET))

test: setup ## all tests
	@$(BIN)/python -m pytest

test-yarn: setup ## the step on a real YARN, as EMR submits it; needs Linux, Maven and a JDK 17
	@$(BIN)/python -m pytest -m yarn tests/yarn

test-aws: setup ## the pipeline in your AWS account, made, run and removed; it costs about 0.20 USD: SPEND=yes
	@SIMILAR_TITLES_SPEND=$(SPEND) $(BIN)/python -m pytest tests/aws -s -rs

coverage: setup ## what share of the code the unit and Spark tests run
	@$(BIN)/python -m pytest -q tests/unit tests/spark --cov --cov-report=term --durations=0 --durations-min=5

drills: setup ## break things on purpose and write docs/reliability.md; a quarter of an hour
	@$(RUN) tests.drills.report

bench: setup ## measure the job and write benchmarks/RESULTS.md: BENCH=--large for 10m and 32m
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-bench
	@$(BIN)/uv pip sync --quiet --require-hashes --python .venv-bench/bin/python requirements/dev.txt requirements/bench.txt
	@PYTHONPATH=functions .venv-bench/bin/python -m benchmarks.run $(BENCH)

screenshots: setup ## write the page's pictures on the generated sample to docs/images
	@$(RUN) local screenshots

bench-api: setup ## measure the API and write benchmarks/API.md
	@$(RUN) benchmarks.api

bench-functions: setup ## measure what each function needs and write benchmarks/FUNCTIONS.md
	@$(RUN) benchmarks.function_sizes

bench-yarn: setup ## measure the job on a real YARN and write benchmarks/YARN.md: SERVER=PATH-of-versitygw
	@$(RUN) benchmarks.yarn --server "$(SERVER)"

evaluate: setup ## measure how good the neighbours are and write docs/quality.md: DATASET=ml-1m|RELEASE|FOLDER
	@./similar-titles evaluate $(if $(findstring command,$(origin DATASET)),$(call quoted,DATASET),ml-1m)

notebook: setup notebook-environment ## open the notebook in JupyterLab: DATASET=... MOVIE=TITLE, as for make demo
	@PYTHONPATH=functions .venv-notebook/bin/python -m pictures.notebook open --dataset $(call quoted,DATASET) \
		$(if $(value MOVIE),--movie $(call quoted,MOVIE))

pictures: setup notebook-environment ## draw docs/images anew: demo, benchmark; render the notebook into docs/notebook.md
	@$(RUN) pictures.charts benchmark demo
	@PYTHONPATH=functions .venv-notebook/bin/python -m pictures.notebook render

.PHONY: notebook-environment
notebook-environment: setup
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-notebook
	@$(BIN)/uv pip sync --quiet --require-hashes --python .venv-notebook/bin/python requirements/dev.txt requirements/notebook.txt

types: setup ## mypy, strict, over the whole tree
	@$(BIN)/mypy

lint: setup types ## ruff, mypy; sam validate, cfn-lint for serverless and checkov of template.yaml
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(NOWHERE) SAM_CLI_TELEMETRY=0 .venv-sam/bin/sam validate --lint
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-lint
	@$(BIN)/uv pip sync --quiet --require-hashes --python .venv-lint/bin/python requirements/lint.txt
	@$(NOWHERE) .venv-lint/bin/cfn-lint --append-rules cfn_lint_serverless.rules --template template.yaml
	@.venv-lint/bin/checkov --framework cloudformation --skip-download --quiet --compact --file template.yaml

format: setup ## let ruff format the code
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

environment: setup ## build the archive of the job's native dependencies; with STACK=NAME put it there
	@$(RUN) tools.job_archive $(if $(findstring command,$(origin STACK)),--upload "$(STACK)")

preflight: setup ## check what a first deploy needs of your AWS account: STACK=similar-titles ZONE=us-east-1a
	@./similar-titles preflight --stack "$(STACK)" $(if $(ZONE),--zone "$(ZONE)")

deploy: setup ## build and deploy to your AWS account: STACK=similar-titles
	@PATH="$(CURDIR)/.venv-sam/bin:$$PATH" SAM_CLI_TELEMETRY=0 .venv-sam/bin/sam build
	@PATH="$(CURDIR)/.venv-sam/bin:$$PATH" SAM_CLI_TELEMETRY=0 .venv-sam/bin/sam deploy --stack-name "$(STACK)"
	@$(RUN) tools.job_archive --upload "$(STACK)"

status: setup ## show the latest runs, and what costs while nothing runs: STACK=similar-titles
	@./similar-titles status --stack "$(STACK)"

rollback: setup ## answer from the run before the live one, at once: STACK=similar-titles
	@./similar-titles rollback --stack "$(STACK)"

promote: setup ## make a superseded or held-back run live: RUN=ID STACK=similar-titles
	@./similar-titles promote $(call quoted,RUN) --stack "$(STACK)"

rebuild: setup ## load the live run's result into the index once more: STACK=similar-titles
	@./similar-titles rebuild --stack "$(STACK)"

rerun: setup ## launch a run's cluster once more, on the same input and code: RUN=ID
	@./similar-titles rerun $(call quoted,RUN) --stack "$(STACK)"

redrive: setup ## send what failed for good to its queue again: STACK=similar-titles
	@./similar-titles redrive --stack "$(STACK)"

destroy: setup ## delete a deployed stack, asking first; DATA=delete takes its data, too
	@./similar-titles destroy --stack "$(STACK)" $(if $(filter delete,$(DATA)),--with-data)

lock: setup ## lock the newest versions that requirements/*.in allow
	@$(LOCK) --upgrade requirements/dev.in -o requirements/dev.txt
	@$(LOCK) --upgrade requirements/sam.in -o requirements/sam.txt
	@$(LOCK) --upgrade requirements/lint.in -o requirements/lint.txt
	@$(LOCK) --upgrade requirements/java.in -o requirements/java.txt
	@$(LOCK) --upgrade requirements/job.in -c requirements/dev.txt -o requirements/job.txt
	@$(LOCK) --upgrade requirements/bench.in -c requirements/dev.txt -o requirements/bench.txt
	@$(LOCK) --upgrade requirements/notebook.in -c requirements/dev.txt -o requirements/notebook.txt
	@$(LOCK) --upgrade requirements/functions.in -c requirements/dev.txt -o functions/requirements.txt
	@$(RUN) tools.job_archive --adopt
	@$(RUN) tools.hadoop --adopt

clean: ## remove what was built or generated; environments and downloaded data stay
	@rm -rf .aws-sam .local .mypy_cache .pytest_cache .ruff_cache .hypothesis spark-warehouse metastore_db derby.log
	@find . -name __pycache__ -not -path './.venv*' -type d -prune -exec rm -rf {} +
