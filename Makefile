.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
INTEROP := .venv-interop
SEEDS ?= 1
BIOME := @biomejs/biome@2.6.8
GRAPHVIZ := @hpcc-js/wasm-graphviz-cli@1.11.2
RUN := PATH="$(CURDIR)/$(VENV)/bin:$$PATH"
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet --no-compile --constraint constraints.txt
PROFILES := $(or $(XDG_CONFIG_HOME),$(HOME)/.config)/snakemake

# pip would compile all modules of all packages; Python compiles those that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-fast test-slurm check package lock audit docs interop rulegraph benchmark profile clean

help:       ## This list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/'

demo: $(VENV)/run.stamp       ## Environment, then the whole workflow on a synthetic atlas
	@$(RUN) cacl run --configfile config/config.yaml

test: $(VENV)/dev.stamp       ## Environment, then all tests
	$(RUN) OMP_WAIT_POLICY=PASSIVE pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=25 \
	  --cov=cacl --cov-report=term:skip-covered --cov-fail-under=90

test-fast: $(VENV)/dev.stamp  ## Environment, then unit tests: no Slurm, no browser, no workflow run
	$(RUN) pytest -n 2 --dist loadfile -m 'not slow and not slurm and not browser and not interop'

test-slurm: $(VENV)/dev.stamp  ## Only the tests that start a real one-node Slurm
	$(RUN) pytest tests/workflow/slurm

check: $(VENV)/dev.stamp      ## Formatting, types, import order, lint
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports
	$(RUN) bandit --quiet --configfile pyproject.toml --recursive cacl benchmarks workflow
	$(RUN) snakefmt --check workflow
	$(RUN) snakemake --lint
	$(RUN) hadolint containers/Dockerfile
	@command -v npx >/dev/null || { echo "Biome needs npx: apt-get install nodejs npm"; exit 1; }
	npm_config_cache=$(VENV)/npm npx --yes $(BIOME) ci --error-on-warnings

package: $(VENV)/dev.stamp    ## Build dist/ (wheel, source distribution) and check it
	rm -rf dist
	$(RUN) python -m hatchling build
	$(RUN) twine check --strict dist/*
	$(RUN) check-wheel-contents dist/*.whl

lock: $(VENV)/dev.stamp       ## Write requirements.lock: dependencies with hashes for a container
	$(RUN) UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile pyproject.toml --quiet --upgrade \
	  --constraint constraints.txt --generate-hashes --no-annotate --default-index https://pypi.org/simple \
	  --python-version 3.11 --python-platform x86_64-manylinux_2_28 --output-file requirements.lock

audit: $(VENV)/dev.stamp      ## Look up known vulnerabilities of requirements.lock
	$(RUN) python .ci/audit.py

docs: $(VENV)/dev.stamp       ## Write the files made from cacl/config.py; build the site into .site
	$(RUN) cacl docs
	$(RUN) NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

rulegraph: $(VENV)/dev.stamp  ## Draw docs/rulegraph.svg from the workflow's rules
	@command -v npx >/dev/null || { echo "Graphviz needs npx: apt-get install nodejs npm"; exit 1; }
	$(RUN) PYTHONHASHSEED=0 snakemake --rulegraph dot --forceall --quiet all >$(VENV)/rulegraph.dot
	npm_config_cache=$(VENV)/npm npx --yes $(GRAPHVIZ) -T svg $(VENV)/rulegraph.dot >docs/rulegraph.svg

interop: $(INTEROP)/interop.stamp  ## Open a census in napari, scanpy, R, LibreOffice and others; write the table
	@for program in Rscript soffice xvfb-run; do command -v $$program >/dev/null || \
	  { echo "$$program is missing; CONTRIBUTING.md lists the Debian packages"; exit 1; }; done
	PATH="$(CURDIR)/$(INTEROP)/bin:$$PATH" python -m benchmarks.interop.interop

benchmark: $(VENV)/run.stamp  ## Compare methods against true masks; SEEDS=3 pools three runs
	$(RUN) $(if $(filter 1,$(SEEDS)),snakemake --quiet host reason -- benchmark,\
	  python -m benchmarks.quality.quality --seeds $(SEEDS))

profile:    ## Make `snakemake --profile slurm-gpu` work from any folder
	mkdir -p "$(PROFILES)"
	ln -sfn "$(CURDIR)/profiles/slurm-gpu" "$(PROFILES)/slurm-gpu"

clean:      ## Remove products; keep acquired images
	rm -rf results logs .snakemake

$(VENV)/run.stamp: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Installing into $(VENV) (some minutes the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --editable .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp
	$(PIP) --editable '.[dev]'
	@touch $@

# Sees the packages of $(VENV) through a .pth file, so that napari and its test plugin stay out of it.
$(INTEROP)/interop.stamp: $(VENV)/dev.stamp
	$(PYTHON) -m venv --clear $(INTEROP)
	$(INTEROP)/bin/python .ci/share_packages.py $(VENV)
	$(INTEROP)/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt \
	  --editable '.[interop]'
	@touch $@
