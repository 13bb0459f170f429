# `make demo` shows the main job, `make test` proves it; both set everything up by themselves.
.DEFAULT_GOAL := help
.PHONY: help set-up dev demo test coverage proofs torture e2e lint types template checkov calls docs docs-check bench mutants sbom audit build layer check clean

# The newest Python that works: a version manager's shim may be on PATH and yet refuse to run.
PYTHON := $(shell for python in python3.14 python3.13 python3.12 python3.11 python3 python; do \
	"$$python" -c 'import ssl, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& "$$python" -c 'import sys; print(sys.executable)' && break; done)
# The interpreter of Lambda's runtime, wherever a version manager keeps it.
PYTHON_3_13 := $(shell for python in python3.13 "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.13.*/bin/python3.13; do \
	"$$python" -c 'import ssl, sys; print(sys.executable)' 2>/dev/null && break; done)
UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)
export UV_PYTHON_DOWNLOADS = never
RUN = .venv/bin/python -m

help: ## these lines
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: set-up ## incidents played in an AWS account on this machine: no AWS, no Docker
	@.venv/bin/holdfast demo $(ARGS)

PROOFS = tests/faults tests/e2e/test_roles.py

test: dev ## the tests; ARGS="tests/unit/test_value.py" for some
	$(RUN) pytest -n auto $(addprefix --ignore=,$(PROOFS)) $(ARGS)

coverage: ## the tests, and which lines none of them runs
	@$(MAKE) test ARGS=--cov

proofs: dev ## faults at every call of every guardrail, and every right taken from every role: minutes more
	$(RUN) pytest -n auto $(PROOFS) $(ARGS)

e2e: dev .venv-sam/.installed .build/layer-lambda ## the deployed stack: SAM, and containers where Docker runs or may be installed
	$(RUN) pytest tests/e2e -m e2e -rs $(ARGS)

torture: dev ## the fault proofs, large: hours of events, deaths and attacks; writes docs/reliability.md (ARGS="-k …": some again)
	@$(if $(ARGS),,rm -f .build/torture.jsonl)
	HOLDFAST_TORTURE=1 $(RUN) pytest -n auto --no-header -rfE tests/faults $(ARGS)
	PYTHONPATH=tests $(RUN) faults.report

lint: dev ## style, also of the template
	$(RUN) ruff check
	$(RUN) ruff format --check

types: dev ## mypy, strict; every guardrail's module has the same name, so each is checked by itself
	$(RUN) mypy layers/holdfast cli/holdfast_cli tests
	for file in functions/*/*.py; do $(RUN) mypy "$$file" || exit 1; done

template: dev .build/template.json ## the template as written, and as CloudFormation will see it
	.venv/bin/cfn-lint template.yaml
	.venv/bin/cfn-lint .build/template.json

checkov: .venv-checkov/.installed .build/template.json ## checkov on the template; .checkov.yaml says what it skips
	.venv-checkov/bin/checkov --config-file .checkov.yaml --file .build/template.json

docs: dev ## writes the generated pages
	$(RUN) holdfast_cli.docs

calls: dev ## writes down which calls every incident makes, for the pages
	@echo '{}' > docs/calls.json
	HOLDFAST_CALLS=write $(RUN) pytest -q tests/integration/test_incidents.py -k calls

docs-check: dev ## fails when a generated page is stale
	$(RUN) holdfast_cli.docs --check

bench: dev ## speed, size and cost, beside others; writes docs/performance.md and docs/cost.md
	PYTHONPATH=tests UV="$(abspath $(UV))" $(RUN) bench $(ARGS)

mutants: dev .venv/.mutation ## breaks modules on purpose, to find what no test notices: MODULES="policy message"
	.venv/bin/python tests/mutation.py $(MODULES)

check: lint types template checkov docs-check coverage proofs demo e2e ## what CI does, but for the audit

sbom: .build/sbom.cdx.json ## what the layer is made of, as CycloneDX

audit: .venv/.installed ## known vulnerabilities of what is deployed, from api.osv.dev
	$(UV) audit --frozen --only-group lambda

build: sbom ## what `sam deploy` sends; needs the AWS SAM CLI and Python 3.13
	sam build

layer: .build/layer ## the functions' layer

clean: ## back to a fresh clone
	rm -rf .venv .venv-local-cloud .venv-sam .venv-lambda .venv-checkov .uv .build .aws-sam .mypy_cache .pytest_cache \
		.ruff_cache .hypothesis .coverage

set-up: .venv/.installed .venv-local-cloud/.installed .build/layer ## `holdfast`, in .venv/bin, and the local cloud
dev: .venv/.dev set-up

.uv/bin/uv: requirements-uv.txt
	@test -n "$(PYTHON)" || { echo "Holdfast needs Python 3.11 or newer with its venv module (Debian: apt-get install python3-venv)."; exit 1; }
	"$(PYTHON)" -m venv --clear .uv
	.uv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
	@touch $@

.venv/.installed: uv.lock pyproject.toml | $(UV)
	$(UV) sync --quiet --frozen --inexact --no-default-groups --python "$(PYTHON)"
	@touch $@

.venv/.mutation: .venv/.dev
	$(UV) sync --quiet --frozen --inexact --group mutation --python "$(PYTHON)"
	@touch $@

.venv/.dev: .venv/.installed
	$(UV) sync --quiet --frozen --inexact --python "$(PYTHON)"
	@touch $@

# The local cloud pins its own botocore, so it lives in an environment of its own.
.venv-local-cloud/.installed: uv.lock | $(UV)
	UV_PROJECT_ENVIRONMENT=.venv-local-cloud $(UV) sync --quiet --frozen --only-group local-cloud --python "$(PYTHON)"
	@touch $@

# So does checkov, which pins another boto3.
.venv-checkov/.installed: requirements-checkov.txt | $(UV)
	$(UV) venv --quiet --clear --python "$(PYTHON)" .venv-checkov
	$(UV) pip install --quiet --python .venv-checkov --require-hashes -r requirements-checkov.txt
	@touch $@

# SAM's command line pins its own boto3.
.venv-sam/.installed: requirements-sam.txt | $(UV)
	$(UV) venv --quiet --clear --python "$(PYTHON)" .venv-sam
	$(UV) pip install --quiet --require-hashes --python .venv-sam/bin/python -r $<
	@touch $@

# What Lambda's own Python runtime has, to run functions under its emulator and to build a stand-in for its image.
.venv-lambda/.installed: uv.lock | $(UV)
	UV_PROJECT_ENVIRONMENT=.venv-lambda $(UV) sync --quiet --frozen --only-group lambda-runtime --python "$(or $(PYTHON_3_13),$(PYTHON))"
	@touch $@

.build/sbom.cdx.json: uv.lock | $(UV) .build/layer
	$(UV) export --quiet --frozen --only-group lambda --format cyclonedx1.5 --output-file $@ > /dev/null

.build/template.json: template.yaml | .venv/.dev .build/layer
	@$(RUN) holdfast_cli.local_cloud.transform template.yaml > $@.new
	@mv $@.new $@

# Byte code is of one Python: the local cloud's, or Lambda's.
.build/layer: PYTHON_OF_LAYER = .venv/bin/python
.build/layer: | .venv/.installed
.build/layer-lambda: PYTHON_OF_LAYER = .venv-lambda/bin/python
.build/layer-lambda: | .venv-lambda/.installed
.build/layer .build/layer-lambda: $(addprefix layers/holdfast/,Makefile requirements.txt operations.json slim.py) \
		$(wildcard layers/holdfast/holdfast/*.py)
	@rm -rf $@
	@UV_LINK_MODE=copy $(MAKE) -s -C layers/holdfast build-Engine ARTIFACTS_DIR="$(CURDIR)/$@" PIP="$(abspath $(UV)) pip" \
		PYTHON="$(CURDIR)/$(PYTHON_OF_LAYER)"
	@touch $@
