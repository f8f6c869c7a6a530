"""The rivals on the cart-pole beside SHAC: what they return, and what an epoch of theirs costs.

  python -m experiments.rivals --runs=runs/rivals --docs=docs

reads the runs `runs/rivals/ALGORITHM` (`make rivals` trains them), times epochs, and renews the table of
docs/rivals.md.
"""

import json
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence

import jax
from absl import flags

from gippo_jax import envs
from gippo_jax.cli.console import console
from gippo_jax.config import traced
from gippo_jax.errors import UserError
from gippo_jax.experiments.configs import physics
from gippo_jax.experiments.tables.documents import markdown_table, replace_block
from gippo_jax.learning.state import TrainingState
from gippo_jax.parsing import parse
from gippo_jax.plain import Plain
from gippo_jax.programs.devices import configure_jax
from gippo_jax.programs.epochs import make_epochs
from gippo_jax.registry import find
from gippo_jax.runs.files import write_json

ALGORITHMS = ("shac", "rpo", "dva", "ahac", "sapo", "ivw_h", "aobg", "ddcg")

_RUNS = flags.DEFINE_string("runs", "runs/rivals", "Folder of the runs, a folder of an algorithm's name each.")
_DOCS = flags.DEFINE_string("docs", None, "Documentation folder whose table is renewed.")
_ROUNDS = flags.DEFINE_integer("rounds", 8, "Rounds of timings, of which the best counts.", lower_bound=1)


def epochs_of(algorithm: str) -> tuple[Callable[[TrainingState], TrainingState], TrainingState]:
  """A compiled epoch of the preset, and the state before the first."""
  experiment = parse(physics.get_config(f"cartpole,{algorithm}"))
  config = traced(experiment.config)
  epochs = make_epochs(envs.make(**experiment.env), config)
  update = jax.jit(lambda state: epochs.update(state, config)[0])
  return update, jax.block_until_ready(update(jax.jit(epochs.init)(jax.random.key(0), config)))


def seconds_per_epoch(algorithms: Sequence[str], num_rounds: int) -> dict[str, float]:
  """Best processor time of ten epochs of each, over ten, s; the algorithms take turns.

  The processor's time and not the clock's: it is the same whatever else the machine does. AHAC's epochs are those of
  a training's start, as all are.
  """
  ready = {algorithm: epochs_of(algorithm) for algorithm in algorithms}
  best = dict.fromkeys(algorithms, float("inf"))
  for _ in range(num_rounds):
    for algorithm, (update, state) in ready.items():
      begin = time.process_time()
      for _ in range(10):
        state = update(state)
      jax.block_until_ready(state)
      best[algorithm] = min(best[algorithm], (time.process_time() - begin) / 10)
  return best


def row_of(algorithm: str, summary: Mapping[str, Plain], seconds: Mapping[str, float]) -> list[str]:
  """A run as a row: returns of the last and of the best policies, seed by seed, and the cost of an epoch."""

  def numbers(name: str) -> str:
    return ", ".join(f"{value:.0f}" for value in summary[name])  # type: ignore[union-attr]

  cost = seconds[algorithm] / seconds["shac"]
  return [find(algorithm).label, numbers("evaluation_return"), numbers("best_evaluation_return"), f"{cost:.2f}"]


def main(arguments: Sequence[str]) -> int:
  """Reads the runs, times epochs, prints the table, writes the files."""
  if len(arguments) > 1:
    raise UserError(f"python -m experiments.rivals: {arguments[1]!r} is not allowed; allowed: flags, see --help")
  configure_jax(1)
  summaries = {}
  for algorithm in ALGORITHMS:
    path = pathlib.Path(_RUNS.value) / algorithm / "summary.json"
    if not path.exists():
      raise UserError(f"--runs: {path} is missing; `make rivals` trains it")
    summaries[algorithm] = json.loads(path.read_text())
  seconds = seconds_per_epoch(ALGORITHMS, _ROUNDS.value)
  columns = ("algorithm", "last policies", "best policies", "epoch over SHAC's")
  table = markdown_table(columns, [row_of(name, summary, seconds) for name, summary in summaries.items()])
  print(table)
  if _DOCS.value:
    docs = pathlib.Path(_DOCS.value)
    kept = ("seeds", "epochs", "evaluation_return", "best_evaluation_return", "status")
    results = {
      name: {**{key: summary[key] for key in kept}, "seconds_per_epoch": seconds[name]}
      for name, summary in summaries.items()
    }
    write_json(docs / "rivals.json", results)
    replace_block(docs / "rivals.md", "rivals", table)
  return 0


if __name__ == "__main__":
  console(main)
