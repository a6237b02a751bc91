# Every goal works as the first command after a clone; `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help run down status test test-unit test-debian13 chaos-debian13 lint audit fuzz fmt generate migrate lock bench chaos images clean rabbitmq prometheus faketime validators

BIN := .venv/bin
INSTALL := sh ringback/local/install.sh
LOCK_OPTIONS := uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header \
	--python-version 3.11
LOCK := $(LOCK_OPTIONS) pyproject.toml

help: ## list what make can do
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/local.stamp rabbitmq prometheus ## run all of Ringback here until Ctrl-C; data stays in .ringback/
	@exec $(BIN)/ringback up

down: .venv/local.stamp ## stop what `make run` started in another terminal
	@$(BIN)/ringback down

status: .venv/local.stamp ## say what runs
	@$(BIN)/ringback status

test: .venv/dev.stamp rabbitmq prometheus faketime validators ## run every test, on a RabbitMQ and a PostgreSQL of their own
	@$(BIN)/pytest -n 2 --dist loadfile $(PYTEST_ARGS)

test-unit: .venv/dev.stamp ## run the tests that need neither RabbitMQ nor PostgreSQL
	@$(BIN)/pytest -m "not nodes" $(PYTEST_ARGS)

test-debian13: ## run every test on Debian 13, with RabbitMQ 4.0 and PostgreSQL 17 (needs root and debootstrap)
	@sh tests/debian13/run.sh make test PYTEST_ARGS="$(PYTEST_ARGS)"

chaos-debian13: ## run the chaos suite there
	@sh tests/debian13/run.sh make chaos CHAOS_ARGS="$(CHAOS_ARGS)"

fuzz: .venv/dev.stamp rabbitmq ## try what strangers may send, a thousand times longer than the tests do
	@HYPOTHESIS_PROFILE=long $(BIN)/pytest -q $(FUZZ_ARGS) $$(grep -rl --include='test_*.py' hypothesis tests)

lint: .venv/dev.stamp ## check style, formatting and types
	@$(BIN)/ruff check -q .
	@$(BIN)/ruff format -q --check .
	@$(BIN)/mypy
	@if [ -d tests ]; then $(BIN)/mypy --explicit-package-bases tests; fi

audit: .venv/dev.stamp ## ask for known weaknesses of dependencies, and warn of images past their end
	@$(BIN)/python -m audit $(AUDIT_ARGS)

fmt: .venv/dev.stamp ## put the code into its format
	@$(BIN)/ruff check -q --fix-only .
	@$(BIN)/ruff format -q .

generate: .venv/dev.stamp ## make anew what is made from the contract: code, docs/telemetry.md, dashboards, manifests
	@sh protos/generate.sh
	@$(BIN)/python -m ringback.contract.telemetry > docs/.telemetry.md
	@mv docs/.telemetry.md docs/telemetry.md
	@$(BIN)/python -m deploy.grafana.generate
	@$(BIN)/python -m deploy.k8s.generate

migrate: .venv/local.stamp ## bring the database of RINGBACK_DATABASE_URL to this version
	@$(BIN)/ringback migrate

bench: .venv/dev.stamp rabbitmq ## measure; the results go to benchmarks/results/
	@$(BIN)/python -m benchmarks

chaos: .venv/dev.stamp rabbitmq faketime ## break everything under a load, and show that nothing is lost
	@$(BIN)/python -m chaos run $(CHAOS_ARGS)

images: .venv/dev.stamp ## build the container images (IMAGES_ARGS="--builder buildah" without Docker)
	@$(BIN)/python -m deploy.docker.images $(IMAGES_ARGS)

lock: ## pin the dependencies again, with hashes (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 1; }
	@$(LOCK) -o requirements/run.txt
	@$(LOCK) --extra local -o requirements/local.txt
	@$(LOCK) --extra local --extra dev -o requirements/dev.txt
	@$(LOCK_OPTIONS) --group scan -o requirements/scan.txt
	@$(LOCK_OPTIONS) --group build --constraint requirements/local.txt -o requirements/build.txt

clean: ## stop what runs; remove .ringback/ with its data, .venv/ and caches
	@if [ -x $(BIN)/ringback ]; then $(BIN)/ringback down; fi
	@rm -rf .ringback .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A broker somewhere else needs no RabbitMQ here.
rabbitmq:
	@[ -n "$$RINGBACK_AMQP_URL" ] || $(INSTALL) rabbitmq

prometheus:
	@$(INSTALL) prometheus

faketime:
	@$(INSTALL) faketime

validators: .venv/dev.stamp
	@$(INSTALL) validators
	@$(INSTALL) scanner

.venv/%.stamp: requirements/%.txt pyproject.toml
	@$(INSTALL) $*
