"""Other packages' trainers beside ours: `python -m experiments.peers --preset=cpu --out=DIR --docs=docs`.

Runs Brax's PPO and APG, rejax's PPO, and ours, on the same environments, one after the other, each in a process of its
own: the peers need another version of JAX, in a virtual environment that `make peers` makes. Finished seeds are
not run again. Speeds are the machine's; nothing else should run on it.
"""

import pathlib
import sys
from collections.abc import Sequence

from absl import flags

from gippo_jax.cli.console import chosen, console
from gippo_jax.errors import UserError
from gippo_jax.experiments.peers import text
from gippo_jax.experiments.peers.children import ChildError, require_interpreter
from gippo_jax.experiments.peers.figure import draw_returns
from gippo_jax.experiments.peers.problems import PRESETS, PROBLEMS, TRAINERS
from gippo_jax.experiments.peers.results import read_runs
from gippo_jax.experiments.peers.training import train
from gippo_jax.experiments.tables.documents import replace_block, save_figure
from gippo_jax.runs.files import write_json, write_text
from gippo_jax.runs.lock import locked

_PRESET = flags.DEFINE_string("preset", "quick", "quick: a first look; cpu: what docs/peers.md shows.")
_PROBLEMS = flags.DEFINE_list("problems", None, "Problems; all by default.")
_TRAINERS = flags.DEFINE_list("trainers", None, "Trainers; all of a problem by default.")
_SEEDS = flags.DEFINE_integer("seeds", None, "Number of seeds; the preset's by default.", lower_bound=1)
_OUT = flags.DEFINE_string("out", None, "Folder for the results. Default: runs/peers_PRESET.")
_PYTHON = flags.DEFINE_string("peers_python", ".venv-peers/bin/python", "The peers' interpreter.")
_DOCS = flags.DEFINE_string("docs", None, "Documentation folder whose peers.md, peers.json and picture are renewed.")


def main(arguments: Sequence[str]) -> int:
  """Trains what is missing, writes and prints the tables."""
  if arguments[1:]:
    raise UserError(f"python -m experiments.peers: {arguments[1]!r} is not a flag; allowed: flags, see --help")
  (preset,) = chosen([_PRESET.value], list(PRESETS), "preset")
  problems = chosen(_PROBLEMS.value, list(PROBLEMS), "problems")
  trainers = chosen(_TRAINERS.value, list(TRAINERS), "trainers")
  out = pathlib.Path(_OUT.value or f"runs/peers_{preset}")
  pairs = [(problem, name) for problem in problems for name in PROBLEMS[problem].trainers if name in trainers]
  if not all(TRAINERS[name].is_ours for _, name in pairs):
    require_interpreter(_PYTHON.value)
  failures = []
  with locked(out, "--out"):
    for problem, trainer in pairs:
      budget = PRESETS[preset][problem]
      try:
        train(problem, trainer, budget, _SEEDS.value or budget.num_seeds, _PYTHON.value, out)
      except ChildError as error:
        failures.append(f"{problem} {trainer}: {error}")
        print(f"error: {failures[-1]}", file=sys.stderr, flush=True)
    _write(out)
  return 1 if failures else 0


def _write(out: pathlib.Path) -> None:
  """Writes and prints the tables of what is finished, and renews --docs."""
  runs = read_runs(out)
  if not runs:
    return
  table = text.markdown(runs)
  write_text(out / "peers.md", table)
  print(table, end="")
  if _DOCS.value:
    docs = pathlib.Path(_DOCS.value)
    replace_block(docs / "peers.md", "peers", table)
    every = [run._asdict() for trainers in runs.values() for seeds in trainers.values() for run in seeds]
    write_json(docs / "peers.json", every)
    save_figure(draw_returns(runs), docs / "images", "peers_returns")


if __name__ == "__main__":
  console(main)
