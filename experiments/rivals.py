"""The rivals on the cart-pole beside SHAC: what they return, and what an epoch of theirs costs.

  python -m experiments.rivals --runs=runs/rivals --docs=docs

reads the runs `runs/rivals/ALGORITHM` (`make rivals` trains them), times epochs, and renews the table of
docs/rivals.md.
"""

import json
import pathlib
from collections.abc import Sequence

from absl import flags

from gippo_jax.cli.console import console
from gippo_jax.errors import UserError
from gippo_jax.experiments.measurements.rivals import ALGORITHMS, row_of, seconds_per_epoch
from gippo_jax.experiments.tables.documents import markdown_table, replace_block
from gippo_jax.programs.devices import configure_jax
from gippo_jax.runs.files import write_json

_RUNS = flags.DEFINE_string("runs", "runs/rivals", "Folder of the runs, a folder of an algorithm's name each.")
_DOCS = flags.DEFINE_string("docs", None, "Documentation folder whose table is renewed.")
_ROUNDS = flags.DEFINE_integer("rounds", 8, "Rounds of timings, of which the best counts.", lower_bound=1)


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
