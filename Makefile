# `make` alone prints the targets. Every target sets up what it needs.
DATASET ?= sample
MOVIE ?=
STACK ?= similar-titles

BIN := .venv/bin
# Lambda imports the functions' modules from functions/; all other modules are imported from here.
RUN = PYTHONPATH=functions $(BIN)/python -m
LOCK = $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --python-version 3.13 \
       --no-annotate --no-header

# A region for tools that require one, and no account.
NOWHERE = env -u AWS_PROFILE AWS_DEFAULT_REGION=eu-central-1

# Titles contain $, quotes and backticks, which neither make nor the shell may interpret.
quoted = '$(subst ','\'',$(value $(1)))'

# Variables of another Python project in this shell would change where Python finds packages.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV

.DEFAULT_GOAL := help
.PHONY: help demo local notebook preflight deploy status rollback promote rebuild rerun redrive environment client destroy setup check test test-yarn test-aws drills lint types format lock clean coverage bench bench-api bench-functions bench-yarn evaluate screenshots pictures notebook-environment

help: ## print this list
	@awk -F':.*## ' '/^##@ / {printf "%s%s\n", separator, substr($$0, 5); separator = "\n"} \
		/^[a-z-]+:.*## / && !/^help:/ {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Try it

demo: setup ## run the whole pipeline locally: DATASET=sample|1m|10m|RELEASE|FOLDER MOVIE=ID|TITLE
	@$(RUN) local demo --dataset $(call quoted,DATASET) $(if $(value MOVIE),--movie $(call quoted,MOVIE))

local: setup ## keep a local cloud and its page up until Ctrl-C; DATASET=... drops a data set at once
	@$(RUN) local up $(if $(findstring command,$(origin DATASET)),--dataset $(call quoted,DATASET))

notebook: setup notebook-environment ## open the notebook in JupyterLab: DATASET=... MOVIE=TITLE, as for make demo
	@PYTHONPATH=functions .venv-notebook/bin/python -m pictures.notebook open --dataset $(call quoted,DATASET) \
		$(if $(value MOVIE),--movie $(call quoted,MOVIE))

##@ Operate

preflight: setup ## check that your AWS account is ready to deploy: STACK=similar-titles ZONE=us-east-1a
	@./similar-titles preflight --stack "$(STACK)" $(if $(ZONE),--zone "$(ZONE)")

deploy: setup ## build and deploy to your AWS account: STACK=similar-titles
	@PATH="$(CURDIR)/.venv-sam/bin:$$PATH" SAM_CLI_TELEMETRY=0 .venv-sam/bin/sam build
	@PATH="$(CURDIR)/.venv-sam/bin:$$PATH" SAM_CLI_TELEMETRY=0 .venv-sam/bin/sam deploy --stack-name "$(STACK)"
	@$(RUN) tools.job_archive --upload "$(STACK)"

status: setup ## show the latest runs, and what costs money while idle: STACK=similar-titles
	@./similar-titles status --stack "$(STACK)"

rollback: setup ## return to the run that was live before, at once: STACK=similar-titles
	@./similar-titles rollback --stack "$(STACK)"

promote: setup ## make a superseded or held-back run live: RUN=ID STACK=similar-titles
	@./similar-titles promote $(call quoted,RUN) --stack "$(STACK)"

diff: setup ## compare two runs: RUN=ID WITH=ID STACK=similar-titles
	@./similar-titles diff $(call quoted,RUN) $(call quoted,WITH) --stack "$(STACK)"

rebuild: setup ## load the live run's result into the index again: STACK=similar-titles
	@./similar-titles rebuild --stack "$(STACK)"

rerun: setup ## repeat a run on a new cluster, with the same input and code: RUN=ID
	@./similar-titles rerun $(call quoted,RUN) --stack "$(STACK)"

redrive: setup ## move dead-letter messages back to their queues: STACK=similar-titles
	@./similar-titles redrive --stack "$(STACK)"

environment: setup ## build the archive of the job's native dependencies; STACK=NAME uploads it
	@$(RUN) tools.job_archive $(if $(findstring command,$(origin STACK)),--upload "$(STACK)")

client: setup ## make a typed Python client of the API, a wheel in dist/
	@$(RUN) tools.client

destroy: setup ## delete a stack after confirmation; DATA=delete also deletes its data
	@./similar-titles destroy --stack "$(STACK)" $(if $(filter delete,$(DATA)),--with-data)

##@ Develop

setup: ## create .venv and .venv-sam, and a Java if the machine has none; all targets call it
	@python3 -m tools.setup.bootstrap

check: setup types ## check with ruff and mypy, and run the unit tests on all cores: while you work
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/python -m pytest -q -n auto tests/unit

test: setup ## run all tests
	@$(BIN)/python -m pytest -q -n auto tests/unit
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --ignore=tests/unit

test-yarn: setup ## run the step on a real YARN, as EMR submits it; needs Linux, Maven and a JDK 17
	@$(BIN)/python -m pytest -m yarn tests/yarn

test-aws: setup ## deploy, run and remove the pipeline in your AWS account for about 0.20 USD: SPEND=yes
	@SIMILAR_TITLES_SPEND=$(SPEND) $(BIN)/python -m pytest tests/aws -s -rs

drills: setup ## inject faults and write docs/reliability.md; takes half an hour
	@$(RUN) tests.drills.report

lint: setup types ## check with ruff, mypy, sam validate, cfn-lint and checkov
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(NOWHERE) SAM_CLI_TELEMETRY=0 .venv-sam/bin/sam validate --lint
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-lint
	@$(BIN)/uv pip sync --quiet --require-hashes --python .venv-lint/bin/python requirements/lint.txt
	@$(NOWHERE) .venv-lint/bin/cfn-lint --append-rules cfn_lint_serverless.rules --template template.yaml
	@.venv-lint/bin/checkov --file template.yaml

types: setup ## check the types of the whole tree with mypy
	@$(BIN)/mypy

format: setup ## format the code with ruff
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

lock: setup ## lock the newest versions that requirements/*.in allow
	@$(LOCK) --upgrade requirements/dev.in -o requirements/dev.txt
	@$(LOCK) --upgrade requirements/sam.in -o requirements/sam.txt
	@$(LOCK) --upgrade requirements/lint.in -o requirements/lint.txt
	@$(LOCK) --upgrade requirements/awscli.in -o requirements/awscli.txt
	@$(LOCK) --upgrade requirements/client.in -o requirements/client.txt
	@$(LOCK) --upgrade requirements/java.in -o requirements/java.txt
	@$(LOCK) --upgrade requirements/job.in -c requirements/dev.txt -o requirements/job.txt
	@$(LOCK) --upgrade requirements/bench.in -c requirements/dev.txt -o requirements/bench.txt
	@$(LOCK) --upgrade requirements/notebook.in -c requirements/dev.txt -o requirements/notebook.txt
	@$(LOCK) --upgrade requirements/functions.in -c requirements/dev.txt -o functions/requirements.txt
	@$(RUN) tools.job_archive --adopt
	@$(RUN) tools.setup.hadoop --adopt

clean: ## delete what was built or generated, but not environments and data sets
	@rm -rf .aws-sam .local .mypy_cache .pytest_cache .ruff_cache .hypothesis spark-warehouse metastore_db derby.log
	@find . -name __pycache__ -not -path './.venv*' -type d -prune -exec rm -rf {} +

##@ Measure

coverage: setup ## measure the coverage of the unit and Spark tests
	@$(BIN)/python -m pytest -q tests/unit tests/spark --cov --cov-report=term --durations=0 --durations-min=5

bench: setup ## measure the job and write benchmarks/RESULTS.md; BENCH=--large adds 10m and 32m
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-bench
	@$(BIN)/uv pip sync --quiet --require-hashes --python .venv-bench/bin/python requirements/dev.txt requirements/bench.txt
	@PYTHONPATH=functions .venv-bench/bin/python -m benchmarks.run $(BENCH)

bench-api: setup ## measure the API and write benchmarks/API.md
	@$(RUN) benchmarks.api

bench-functions: setup ## measure the memory and CPU of the functions and write benchmarks/FUNCTIONS.md
	@$(RUN) benchmarks.function_sizes

bench-yarn: setup ## measure the job on a real YARN and write benchmarks/YARN.md: SERVER=PATH-of-versitygw
	@$(RUN) benchmarks.yarn --server "$(SERVER)"

evaluate: setup ## measure the quality of the neighbours and write docs/quality.md: DATASET=ml-1m|RELEASE|FOLDER JUDGEMENTS=FILE
	@./similar-titles evaluate $(if $(findstring command,$(origin DATASET)),$(call quoted,DATASET),ml-1m) $(if $(value JUDGEMENTS),--judgements $(call quoted,JUDGEMENTS))

screenshots: setup ## write the page's screenshots to docs/images
	@$(RUN) pictures.screenshots

pictures: setup notebook-environment ## draw docs/images and render the notebook to docs/notebook.md
	@$(RUN) pictures.charts benchmark demo
	@PYTHONPATH=functions .venv-notebook/bin/python -m pictures.notebook render

notebook-environment: setup
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-notebook
	@$(BIN)/uv pip sync --quiet --require-hashes --python .venv-notebook/bin/python requirements/dev.txt requirements/notebook.txt
