# Every target works as the first command after a clone; `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help run down status test test-slow test-all test-unit test-newest test-debian13 chaos-debian13 lint audit fuzz fmt generate migrate lock bench chaos docs images release smoke smoke-compose smoke-kind clean rabbitmq postgresql prometheus faketime chromium peers validators clients

BIN := .venv/bin
PYTEST := $(BIN)/pytest -n 3 --dist worksteal
# Tests start hundreds of processes. Without bytecode, each would compile whatever it imports.
test test-slow test-unit: export PYTHONDONTWRITEBYTECODE :=
INSTALL := sh ringback/local/install.sh
LOCK_OPTIONS := uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header \
	--python-version 3.11
LOCK := $(LOCK_OPTIONS) pyproject.toml
# What is installed has the versions that are tested.
TESTED := --constraint requirements/dev.txt

help: ## list what make can do
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/local.stamp rabbitmq prometheus ## run all of Ringback on this machine until Ctrl-C; its data is in .ringback/
	@exec $(BIN)/ringback up

down: .venv/local.stamp ## stop what `make run` started in another terminal
	@$(BIN)/ringback down

status: .venv/local.stamp ## list the running processes, the queues and the deliveries
	@$(BIN)/ringback status

test: .venv/dev.stamp rabbitmq prometheus faketime chromium ## run the tests, with their own RabbitMQ and PostgreSQL (5 to 7 minutes on two cores)
	@$(PYTEST) -m "not slow" $(PYTEST_ARGS)

test-slow: .venv/dev.stamp rabbitmq prometheus faketime chromium validators clients ## run the slow tests: short chaos, manifests, images, real retry delays (about 12 minutes)
	@$(PYTEST) -m slow $(PYTEST_ARGS)

test-all: ## run every test: `make test`, then `make test-slow`
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory test-slow

test-unit: .venv/dev.stamp ## run the tests that need neither RabbitMQ nor PostgreSQL
	@$(BIN)/pytest -m "not nodes" $(PYTEST_ARGS)

# What uses private names of libraries, and what these adapters must do.
NEWEST_TESTS := tests/unit/test_private_apis.py tests/unit/gateway/http tests/unit/gateway/storage \
	tests/integration/gateway/test_broker_unavailable.py tests/integration/gateway/test_publisher.py \
	tests/integration/processor/test_transactions.py tests/integration/runtime/test_postgres.py \
	tests/unit/runtime/test_tracing.py tests/unit/runtime/test_trace_file.py \
	tests/unit/runtime/test_trace_sampler.py tests/integration/runtime/test_tracing.py

test-newest: .venv/dev.stamp rabbitmq ## test the adapters to libraries with the newest versions, in .venv/newest
	@$(BIN)/python -m venv --clear .venv/newest
	@$(BIN)/python tests/newest_requirements.py > .venv/newest/requirements.txt
	@.venv/newest/bin/pip install -q -r .venv/newest/requirements.txt
	@.venv/newest/bin/pip list --format freeze | grep -E '^(aio-pika|aiohttp|aiormq|asyncpg|opentelemetry-sdk)='
	@.venv/newest/bin/python -m pytest -q -n 2 $(PYTEST_ARGS) $(NEWEST_TESTS)

test-debian13: ## run every test on Debian 13, with RabbitMQ 4.0 and PostgreSQL 17 (needs root and debootstrap)
	@sh tests/debian13/run.sh make test-all PYTEST_ARGS="$(PYTEST_ARGS)"

chaos-debian13: ## run the chaos suite on Debian 13
	@sh tests/debian13/run.sh make chaos CHAOS_ARGS="$(CHAOS_ARGS)"

fuzz: .venv/dev.stamp rabbitmq ## try every property test with 10,000 examples
	@HYPOTHESIS_PROFILE=long $(BIN)/pytest -q $(FUZZ_ARGS) $$(grep -rl --include='test_*.py' hypothesis tests)

lint: .venv/dev.stamp ## check style, formatting and types
	@$(BIN)/ruff check -q .
	@$(BIN)/ruff format -q --check .
	@$(BIN)/mypy
	@if [ -d tests ]; then $(BIN)/mypy --explicit-package-bases tests; fi

audit: .venv/dev.stamp ## check dependencies for known vulnerabilities, and images for their end of support
	@$(BIN)/python -m audit $(AUDIT_ARGS)

fmt: .venv/dev.stamp ## format the code
	@$(BIN)/ruff check -q --fix-only .
	@$(BIN)/ruff format -q .

generate: .venv/dev.stamp ## regenerate what comes from the contract: code, reference pages, dashboards, manifests
	@sh protos/generate.sh
	@$(BIN)/python -m ringback.contract.telemetry.as_markdown > docs/.telemetry.md
	@mv docs/.telemetry.md docs/telemetry.md
	@$(BIN)/ringback endpoints schema > docs/.endpoints.schema.json
	@mv docs/.endpoints.schema.json docs/endpoints.schema.json
	@$(BIN)/python -m protos.asyncapi.document > docs/.asyncapi.yaml
	@mv docs/.asyncapi.yaml docs/asyncapi.yaml
	@$(BIN)/python -m docs.site.reference docs
	@$(BIN)/python -m deploy.grafana.generate
	@$(BIN)/python -m deploy.k8s.generate

migrate: .venv/local.stamp ## migrate the database of RINGBACK_DATABASE_URL to this version
	@$(BIN)/ringback migrate

bench: .venv/dev.stamp rabbitmq peers ## compare Ringback's speed with other systems (an hour; QUICK=1 takes 5 minutes)
	@$(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(BENCH_ARGS)

chaos: .venv/dev.stamp rabbitmq faketime ## break every part under load, and check that nothing is lost
	@$(BIN)/python -m chaos run $(CHAOS_ARGS)

images: .venv/dev.stamp ## build the container images (IMAGES_ARGS="--builder buildah" without Docker)
	@$(BIN)/python -m deploy.docker.images $(IMAGES_ARGS)

release: .venv/dev.stamp ## check everything that a tag needs, and build wheel and sdist into dist/
	@$(BIN)/python -m deploy.release

docs: .venv/local.stamp ## build the site of the documentation into site/, strict about links
	@$(INSTALL) docs
	@$(BIN)/python -m docs.site.stage .pages
	@.venv/docs/bin/zensical build --strict --clean

smoke: .venv/dev.stamp ## send webhooks to a running Ringback, and wait until they are completed (SMOKE_ARGS)
	@$(BIN)/python -m deploy.docker.smoke $(SMOKE_ARGS)

smoke-compose: .venv/dev.stamp ## start compose.yaml, check it with webhooks, Prometheus and Grafana, and remove it
	@sh tests/compose/run.sh

smoke-kind: .venv/dev.stamp ## apply the dev overlay to a new kind cluster, and replace its gateways under load
	@sh tests/kind/run.sh

lock: ## pin the dependencies again, with hashes (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 1; }
	@$(LOCK) --extra local --group build --group dev -o requirements/dev.txt
	@$(LOCK) --extra local --group build $(TESTED) -o requirements/local.txt
	@$(LOCK) --extra server $(TESTED) -o requirements/run.txt
	@$(LOCK) $(TESTED) -o requirements/base.txt
	@$(LOCK_OPTIONS) --group scan -o requirements/scan.txt
	@$(LOCK_OPTIONS) --group vapi -o requirements/vapi.txt
	@$(LOCK_OPTIONS) --group docs -o requirements/docs.txt
	@$(LOCK_OPTIONS) --group build $(TESTED) -o requirements/build.txt
	@$(LOCK_OPTIONS) benchmarks/peers/requirements.in -o benchmarks/peers/requirements.txt

clean: ## stop everything; remove .ringback/ with its data, .venv/ and caches
	@if [ -x $(BIN)/ringback ]; then $(BIN)/ringback down; fi
	@rm -rf .ringback .venv .cache .pages site .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# RINGBACK_AMQP_URL names another broker, and RINGBACK_RABBITMQ_IMAGE a container; then no RabbitMQ
# is installed. RABBITMQ=package installs the distribution's, also where Docker runs.
rabbitmq:
	@[ -n "$$RINGBACK_AMQP_URL$$RINGBACK_RABBITMQ_IMAGE" ] || $(INSTALL) rabbitmq $(RABBITMQ)

postgresql: ## install the PostgreSQL of RINGBACK_POSTGRESQL_BIN=/usr/lib/postgresql/16/bin for the tests
	@$(INSTALL) postgresql

prometheus:
	@$(INSTALL) prometheus

faketime:
	@$(INSTALL) faketime

chromium:
	@$(INSTALL) chromium

peers: .venv/dev.stamp
	@$(INSTALL) peers

clients: .venv/dev.stamp
	@$(INSTALL) clients

validators: .venv/dev.stamp
	@$(INSTALL) validators
	@$(INSTALL) scanner
	@$(INSTALL) vapi
	@$(INSTALL) docs

.venv/%.stamp: requirements/%.txt pyproject.toml
	@$(INSTALL) $*
