"""PIPPS learns to swing a pole up on a model of its own: `python -m experiments.pipps --docs=docs`.

Each seed of each estimator has a file in --out; a finished one is not learned again.
"""

import pathlib
from collections.abc import Sequence

import jax
from absl import flags

from gippo_jax.cli.console import chosen, console
from gippo_jax.errors import UserError
from gippo_jax.experiments.pipps.imagination import ESTIMATORS
from gippo_jax.experiments.pipps.learning import Settings
from gippo_jax.experiments.pipps.records import learned
from gippo_jax.experiments.pipps.report import best_of, show, write_documents, write_report
from gippo_jax.experiments.tables.documents import docs_folder
from gippo_jax.runs.lock import locked

_DEFAULT = Settings()
_ESTIMATORS = flags.DEFINE_list("estimators", ["tp"], f"Of the gradient: {', '.join(ESTIMATORS)}.")
_SEEDS = flags.DEFINE_integer("seeds", 5, "Number of seeds.", lower_bound=1)
_TRIALS = flags.DEFINE_integer("trials", _DEFAULT.num_trials, "Trials at most, after a random one.", lower_bound=1)
_PARTICLES = flags.DEFINE_integer("particles", _DEFAULT.num_particles, "Particles of a cloud, even.")
_HORIZON = flags.DEFINE_integer("horizon", _DEFAULT.horizon, "Steps of a tenth of a second.")
_UPDATES = flags.DEFINE_integer("updates", _DEFAULT.num_updates, "Of the policy in a trial.", lower_bound=1)
_OUT = flags.DEFINE_string("out", "runs/pipps", "Folder for the runs, the table, the picture and the page.")
_DOCS = flags.DEFINE_string("docs", None, "Documentation folder whose table and pictures are renewed.")

_DOCUMENT = "methods_pipps.md"


def main(arguments: Sequence[str]) -> int:
  """Learns what is missing, writes and prints the table."""
  if len(arguments) > 1:
    raise UserError(f"python -m experiments.pipps: {arguments[1]!r} is not allowed; allowed: flags, see --help")
  estimators = chosen(_ESTIMATORS.value, list(ESTIMATORS), "estimators")
  _require_sizes(_PARTICLES.value, _HORIZON.value)
  docs = docs_folder(_DOCS.value, _DOCUMENT, "pipps")
  jax.config.update("jax_enable_x64", True)
  out = pathlib.Path(_OUT.value)
  with locked(out, "--out"):
    records = []
    for estimator in estimators:
      settings = Settings(estimator, _TRIALS.value, _PARTICLES.value, _HORIZON.value, _UPDATES.value)
      records += [learned(settings, seed, out, lambda line: print(line, flush=True)) for seed in range(_SEEDS.value)]
    trajectory = show(best_of(records))
    print(write_report(records, trajectory, out), end="")
    if docs:
      write_documents(records, trajectory, docs, _DOCUMENT)
  return 0


def _require_sizes(num_particles: int, horizon: int) -> None:
  if num_particles < 6 or num_particles % 2:
    raise UserError(
      f"--particles: {num_particles} is not allowed; allowed: even numbers of at least 6, for two halves and for the "
      "covariance of four entries"
    )
  if horizon < 2:
    raise UserError(f"--horizon: {horizon} is not allowed; allowed: at least 2, for something to propagate")


if __name__ == "__main__":
  console(main)
