# Everything a person or CI runs. Needs Python 3.11 or newer, pip, make; `make` lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test chaos reliability soak security lint docs pictures generate bench lock sbom audit images clean

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | \
		while IFS='|' read -r name text; do printf '%-16s %s\n' "$$name" "$$text"; done

setup: $(STAMP) ## Create .venv and install everything into it

demo: $(STAMP) ## Real events through the whole stack to a grid (ARGS="--once" ends then)
	@$(BIN)/freshgrid demo $(ARGS)

test: $(STAMP) ## Run the tests (ARGS="-k name" for some)
	@$(BIN)/pytest --numprocesses 2 --dist loadfile $(ARGS)

chaos: $(STAMP) ## Break everything while events flow (ARGS="--short --broker each --seed 2")
	@$(BIN)/python -m tests.chaos $(ARGS)

reliability: $(STAMP) ## Break things FAULTS=300 times, send BAD=1000000 bad records, write docs/reliability.md
	@$(BIN)/python -m tests.chaos.reliability --faults $(or $(FAULTS),300) --bad-input $(or $(BAD),1000000) $(ARGS)

soak: $(STAMP) ## Half of the peak rate for MINUTES=30, a fault a minute; adds to docs/reliability.md
	@$(BIN)/python -m tests.chaos.soak --minutes $(or $(MINUTES),30) $(ARGS)

security: $(STAMP) ## Try to get past keys, scopes and limits of a running ranker, and print the numbers
	@$(BIN)/python -m tests.security $(ARGS)

lint: $(STAMP) ## Style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP) ## The documentation as a site, in site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict -f infra/docs_site/mkdocs.yml
	@echo "open site/index.html"

pictures: $(STAMP) ## Take the pictures of the docs in Chromium (ARGS="map" for some); look at each
	@$(BIN)/python docs/take_pictures.py $(ARGS)

generate: $(STAMP) ## Write what is generated: schemas, pages of IGQL, actions and HTTP, clients, dashboard
	@$(BIN)/python docs/schemas/generate.py
	@$(BIN)/python docs/generate_actions.py
	@$(BIN)/python docs/generate_builder.py
	@$(BIN)/python docs/generate_transport.py
	@$(BIN)/python docs/generate_igql.py
	@$(BIN)/python docs/generate_scaling.py
	@$(BIN)/python docs/generate_dashboard.py
	@$(BIN)/python docs/generate_http.py
	@$(BIN)/python docs/generate_clients.py

bench: $(STAMP) ## Measure: NAME=freshness (without NAME: list them)
	@$(BIN)/freshgrid bench $(if $(NAME),$(NAME) --json,--list) $(ARGS)

lock: $(STAMP) ## Write the dependencies of the image anew, with their hashes
	@$(BIN)/uv pip compile pyproject.toml infra/compose/build.in --extra map --extra archive --upgrade --generate-hashes --no-emit-index-url --no-header \
		--no-annotate --python-version 3.12 --python-platform x86_64-manylinux_2_28 --quiet \
		-o infra/compose/requirements.lock

sbom: $(STAMP) ## What the image is made of, as CycloneDX, in dist/
	@mkdir -p dist
	@$(BIN)/uv tool run --from cyclonedx-bom cyclonedx-py requirements infra/compose/requirements.lock \
		--pyproject pyproject.toml --output-reproducible -o dist/freshgrid.cdx.json
	@echo "dist/freshgrid.cdx.json"

audit: $(STAMP) ## Ask PyPI for known holes in what the image is made of
	@$(BIN)/python -m tests.audit $(ARGS)

images: $(STAMP) ## Ask the registry whether each image's tag still has the digest that we name
	@$(BIN)/python -m tests.images $(ARGS)

clean: ## Remove .venv, caches and artifacts
	rm -rf $(VENV) artifacts dist site .cache .*_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

# A Python without the parts for venv's own pip (Debian splits them off) lends the new one its pip.
# uv installs in seconds what pip installs in minutes; where it cannot be had, pip does it.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Freshgrid needs Python 3.11 or newer, and $(PYTHON) is" \
			"$$($(PYTHON) -V 2>&1 || true); name another one: make PYTHON=python3.12" >&2; \
		exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) 2>/dev/null || \
		$(PYTHON) -m venv --clear --without-pip $(VENV)
	@set -e; \
	if $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		pip="$(BIN)/python -m pip"; \
	else \
		pip="$(PYTHON) -m pip --python $(BIN)/python"; \
	fi; \
	$$pip install --quiet --disable-pip-version-check uv || \
		echo "uv cannot be had; installing with pip, which takes longer" >&2; \
	{ test -x $(BIN)/uv && $(BIN)/uv pip install --python $(BIN)/python -e '.[dev]'; } || \
		$$pip install --disable-pip-version-check -e '.[dev]'
	@touch $@
