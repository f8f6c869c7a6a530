# `make train` and `make test` work on a fresh machine: they make .venv and install the project into it.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
PEERS_VENV := .venv-peers
PEERS_INSTALLED := $(PEERS_VENV)/.installed

.PHONY: train test test-slow lint format sweep table1 traffic-table traffic cartpole physics-table safe-alpha benchmark \
  bench-check benchmarks methods peers reliability rivals site docs-check notebooks package test-matrix clean

train: $(INSTALLED)
	$(RUN) -m gippo_jax.main --config=functions:ackley64 --workdir=runs/ackley64

# Each worker takes neighbours, which share what a module sets up.
test: $(INSTALLED)
	$(RUN) -m pytest -q -n auto --dist worksteal

test-slow: $(INSTALLED)
	$(RUN) -m pytest -q -m slow

lint: $(INSTALLED)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m pyright

format: $(INSTALLED)
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

# Three values of alpha with four seeds each, side by side, and what docs/sweeps.md says of them.
sweep: $(INSTALLED)
	$(RUN) -m gippo_jax sweep --config=functions:dejong1 --config.num_seeds=4 \
	  --grid="alpha.initial=1e-5,1e-4,1e-3" --workdir=runs/sweep_dejong1

# The paper's Table 1 and its figures: every number and picture of docs/results.md, and the README's.
table1: $(INSTALLED)
	$(RUN) -m experiments.table functions --preset=paper --out=runs/table1 --docs=docs
	$(RUN) -m experiments.figures functions --runs=runs/table1 --out=docs/images

# The safe rule's column of all tables; the other columns stay as they are.
safe-alpha: $(INSTALLED)
	$(RUN) -m experiments.table functions --preset=paper --algorithms=gippo_safe --out=runs/safe_functions \
	  --keep=docs/table_functions.json --docs=docs
	$(RUN) -m experiments.table traffic --preset=paper --algorithms=gippo_safe --out=runs/safe_traffic \
	  --keep=docs/table_traffic.json --docs=docs
	$(RUN) -m experiments.table physics --preset=cpu --algorithms=gippo_safe --out=runs/safe_physics \
	  --keep=docs/table_physics.json --docs=docs

# Trains the pace car among four vehicles on two lanes and writes the page that shows it.
traffic: $(INSTALLED)
	$(RUN) -m gippo_jax.main --config=traffic:pace_car_2 --workdir=runs/pace_car_2
	$(RUN) -m gippo_jax render --workdir=runs/pace_car_2 --out=runs/pace_car_2/rollout.html

# Trains the cart-pole swing-up by GI-PPO and writes the page that shows it.
cartpole: $(INSTALLED)
	$(RUN) -m gippo_jax.main --config=physics:cartpole --workdir=runs/cartpole
	$(RUN) -m gippo_jax render --workdir=runs/cartpole --out=runs/cartpole/rollout.html

# The physics table (within 90 minutes on two cores), its figures, and how the gradients behave.
physics-table: $(INSTALLED)
	$(RUN) -m experiments.table physics --preset=cpu --out=runs/table_physics --docs=docs
	$(RUN) -m experiments.figures physics --runs=runs/table_physics --out=docs/images
	$(RUN) -m experiments.measurements.cartpole_upright --runs=runs/table_physics --docs=docs
	$(RUN) -m experiments.gradients physics --docs=docs
	$(RUN) -m gippo_jax render --workdir=runs/table_physics/cartpole_gippo --out=docs/images/cartpole.gif
	$(RUN) -m gippo_jax render --workdir=runs/table_physics/ant_gippo --out=docs/images/ant.gif

# The paper's traffic table (about an hour on two cores), its figures, and the quality of the gradients.
traffic-table: $(INSTALLED)
	$(RUN) -m experiments.table traffic --preset=paper --out=runs/table_traffic --docs=docs
	$(RUN) -m experiments.figures traffic --runs=runs/table_traffic --out=docs/images
	$(RUN) -m experiments.gradients traffic --docs=docs
	$(RUN) -m gippo_jax render --workdir=runs/table_traffic/pace_car_2_gippo --out=docs/images/pace_car_2.gif
	$(RUN) -m gippo_jax render --workdir=runs/table_traffic/pace_car_2_gippo --out=docs/images/pace_car_2.png

# Every number and picture of docs/performance.md; with AUTHORS=FOLDER, a copy of github.com/SonSang/gippo, theirs, too.
benchmark: $(INSTALLED)
	$(RUN) -m experiments.benchmark all --docs=docs $(if $(AUTHORS),--authors=$(AUTHORS))

# Which ratios of speeds have drifted from the committed ones; writes nothing.
bench-check: $(INSTALLED)
	$(RUN) -m experiments.benchmark all --check=docs/benchmark.json

# The field's shared benchmarks: docs/benchmarks.md. MuJoCo Playground takes 470 MB.
benchmarks: $(INSTALLED)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,playground]"
	$(RUN) -m experiments.table benchmarks --preset=cpu --out=runs/benchmarks --docs=docs
	$(RUN) -m experiments.figures benchmarks --runs=runs/benchmarks --out=docs/images

# Pictures and tables of docs/methods_*.md.
methods: $(INSTALLED)
	$(RUN) -m experiments.chaos --docs=docs
	$(RUN) -m experiments.pipps --docs=docs
	$(RUN) -m experiments.variance --docs=docs
	$(RUN) -m experiments.optimism --docs=docs
	$(RUN) -m experiments.table optimism --preset=paper --out=runs/table_optimism --keep=docs/table_traffic.json --docs=docs
	$(RUN) -m experiments.figures optimism --runs=runs/table_optimism --out=docs/images
	$(RUN) -m experiments.spectral --docs=docs
	$(RUN) -m experiments.spectral --learning --docs=docs
	$(RUN) -m experiments.table learned_models --preset=cpu --out=runs/table_learned_models --docs=docs
	$(RUN) -m experiments.figures learned_models --runs=runs/table_learned_models --out=docs/images

# Gradients at jumps (docs/discontinuities.md); GI-PPO's relatives on the cart-pole, two seeds each, then all of them on
# the closed-form problems (docs/rivals.md).
rivals: $(INSTALLED)
	$(RUN) -m experiments.discontinuities --docs=docs
	for algorithm in shac rpo dva ahac sapo ivw_h aobg ddcg; do \
	  $(RUN) -m gippo_jax train --config=physics:cartpole,$$algorithm --config.num_seeds=2 \
	    --workdir=runs/rivals/$$algorithm || exit 1; \
	done
	$(RUN) -m experiments.rivals --runs=runs/rivals --docs=docs
	$(RUN) -m experiments.table rivals --preset=closed_form --out=runs/rivals_table --docs=docs
	$(RUN) -m experiments.figures rivals --runs=runs/rivals_table --out=docs/images

# Other packages' trainers beside ours: every number of docs/peers.md.
peers: $(INSTALLED) $(PEERS_INSTALLED)
	$(RUN) -m experiments.peers --preset=cpu --peers_python=$(PEERS_VENV)/bin/python --out=runs/peers --docs=docs

# The documentation as a site, build/site/index.html; a warning is an error.
site: $(INSTALLED)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	rm -rf docs/generated
	$(VENV)/bin/sphinx-build --quiet --fail-on-warning docs build/site

# Links, pictures, files and commands of the documentation; the commands marked to run are run, in about half an hour on one core.
docs-check: $(INSTALLED)
	$(RUN) -m tests.documents --run

# The notebooks, executed, as build/notebooks/*.ipynb and .html.
notebooks: $(INSTALLED)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[notebooks]"
	mkdir -p build/notebooks
	for notebook in notebooks/*.md; do \
	  name=build/notebooks/$$(basename $$notebook .md); \
	  $(VENV)/bin/jupytext --quiet --to ipynb --execute --run-path build/notebooks --output $$name.ipynb $$notebook || exit 1; \
	  $(VENV)/bin/jupyter nbconvert --log-level=WARN --to html $$name.ipynb || exit 1; \
	done

# Wheel and source distribution in dist/, tried in an empty environment (docs/releasing.md).
package: $(INSTALLED)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[release]"
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff
	$(RUN) -m tests.packaging build install use

# The long proofs of docs/reliability.md: kills, damaged files, full disks, overlaps, and 200,000 epochs.
reliability: $(INSTALLED)
	$(RUN) -m experiments.reliability --out=runs/reliability --docs=docs

# The quick part of the tests on the oldest, the tested and the newest versions, on every Python that is installed.
test-matrix: $(INSTALLED)
	$(RUN) -m tests.matrix --docs=docs

clean:
	rm -rf $(VENV) $(PEERS_VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

# The peers need an older JAX than ours, and so an environment of their own.
$(PEERS_INSTALLED): experiments/peers/requirements.txt
	$(PYTHON) -m venv $(PEERS_VENV)
	$(PEERS_VENV)/bin/pip install --quiet --disable-pip-version-check -r experiments/peers/requirements.txt
	touch $@
