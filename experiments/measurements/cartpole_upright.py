"""Which trained cart-poles hold the pole up: `python -m experiments.measurements.cartpole_upright`.

An episode holds it up that ends within 0.3 rad of upright at less than 1 rad/s; a seed does that does so in at least
90 % of 128 episodes by the mean action. The runs are those of `experiments.table physics`.
"""

import pathlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from absl import flags

from gippo_jax.cli.console import console
from gippo_jax.errors import UserError
from gippo_jax.experiments.tables.documents import markdown_table, replace_block
from gippo_jax.experiments.tables.family import label_of
from gippo_jax.experiments.tables.problems import FAMILIES
from gippo_jax.programs.devices import configure_jax
from gippo_jax.programs.evaluation import run_episodes
from gippo_jax.runs.environments import make_environment
from gippo_jax.runs.files import write_json
from gippo_jax.runs.stored import load_policy, open_run
from gippo_jax.runs.workdir import Workdir

_RUNS = flags.DEFINE_string("runs", "runs/table_physics", "Folder of the physics table's runs.")
_DOCS = flags.DEFINE_string(
  "docs", None, "Documentation folder whose results.md and cartpole_upright.json are renewed."
)

PROBLEMS = ("cartpole", "cartpole_spring")
NUM_EPISODES = 128
LARGEST_ANGLE, LARGEST_SPEED, LEAST_SHARE = 0.3, 1.0, 0.9


def share_upright(observations: jax.Array) -> jax.Array:
  """Share of the observations `x, x', sin(angle), cos(angle), angle'`, `[N, 5]`, in which the pole stands."""
  _, _, sine, cosine, angular_velocity = jnp.moveaxis(observations, -1, 0)
  angle = jnp.arctan2(sine, cosine)
  return jnp.mean((jnp.abs(angle) < LARGEST_ANGLE) & (jnp.abs(angular_velocity) < LARGEST_SPEED))


def measure(path: pathlib.Path) -> dict[str, list[float]]:
  """Shares of a run's last and best policies, seed by seed."""
  summary = Workdir(path).finished_summary()
  if summary is None:
    raise UserError(f"--runs: {path} holds no finished run; allowed: the --out of python -m experiments.table physics")
  return {name: [_share(path, seed, name == "best") for seed in summary["seeds"]] for name in ("last", "best")}


def _share(path: pathlib.Path, seed: int, best: bool) -> float:
  env = make_environment(open_run(path).experiment.env)
  policy = load_policy(path, seed, "best" if best else "final")
  run = jax.jit(lambda policy, key: run_episodes(policy, env, key, NUM_EPISODES))
  _, observations = run(policy, jax.random.key(seed))
  return float(share_upright(observations))


def cells(label: str, shares: dict[str, list[float]]) -> list[str]:
  """A run as a row: how many seeds of how many hold the pole up."""
  return [label, *(f"{sum(share >= LEAST_SHARE for share in of)} of {len(of)}" for of in shares.values())]


def main(arguments: Sequence[str]) -> int:
  """Measures all cart-pole runs, prints the table, writes the files."""
  if len(arguments) > 1:
    raise UserError("usage: python -m experiments.measurements.cartpole_upright [--runs=FOLDER] [--docs=docs]")
  configure_jax(1)
  family, results = FAMILIES["physics"], {}
  for problem in PROBLEMS:
    for algorithm in family.algorithms:
      results[f"{problem}_{algorithm}"] = measure(pathlib.Path(_RUNS.value) / f"{problem}_{algorithm}")
  rows = [
    cells(f"{family.problems[problem].label}, {label_of(algorithm)}", results[f"{problem}_{algorithm}"])
    for problem in PROBLEMS
    for algorithm in family.algorithms
  ]
  table = markdown_table(("cart-pole, algorithm", "last policy", "best policy"), rows)
  print(table)
  if _DOCS.value:
    docs = pathlib.Path(_DOCS.value)
    write_json(docs / "cartpole_upright.json", results)
    replace_block(docs / "results.md", "upright", table)
  return 0


if __name__ == "__main__":
  console(main)
