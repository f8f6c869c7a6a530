"""Speed of the physics path: `python -m experiments.measurements.physics_speed [--out=FILE.json] [--docs=docs]`.

Steps per second, in float32, of windows of 32 steps of 64 environments with time limit and automatic reset:

- the bare gradient: of the summed rewards by all actions, without a policy;
- the trainer's rollout with the gradient of every advantage by its action (policy, critic, normalisation included),
  with the environment's steps recomputed in the backward pass (`rematerialize`, on in the physics configurations) and
  without;
- the trainer's rollout alone.

Each is the best of several timings, the programs taking turns; what compiling costs, and the memory of the backward
passes, stand beside.
"""

import datetime
import pathlib
from collections.abc import Sequence

import jax
from absl import flags
from rich.console import Console
from rich.table import Table

from gippo_jax.cli.console import console
from gippo_jax.errors import UserError
from gippo_jax.experiments.measurements.window_speed import COLUMNS, cells, measure
from gippo_jax.experiments.tables.documents import markdown_table, replace_block
from gippo_jax.programs.devices import num_cores
from gippo_jax.runs.files import write_json

_OUT = flags.DEFINE_string("out", None, "File for the figures as JSON.")
_DOCS = flags.DEFINE_string(
  "docs", None, "Documentation folder whose performance.md and physics_speed.json are renewed."
)

_PROBLEMS = ("cartpole", "hopper", "ant")


def main(arguments: Sequence[str]) -> int:
  """Measures all problems, prints the table, writes the files."""
  if len(arguments) > 1:
    raise UserError("usage: python -m experiments.measurements.physics_speed [--out=FILE.json] [--docs=docs]")
  rows = [measure(problem) for problem in _PROBLEMS]
  table = Table(*COLUMNS)
  for row in rows:
    table.add_row(*cells(row))
  Console(width=140).print(table)
  if _OUT.value:
    write_json(pathlib.Path(_OUT.value), rows)
  if _DOCS.value:
    docs = pathlib.Path(_DOCS.value)
    write_json(docs / "physics_speed.json", rows)
    device = jax.devices()[0].device_kind
    machine = f"{num_cores()} cores, {device}, jax {jax.__version__}, {datetime.date.today()}."
    text = f"{markdown_table(COLUMNS, map(cells, rows))}\n{machine}\n"
    replace_block(docs / "performance.md", "physics speed", text)
  return 0


if __name__ == "__main__":
  console(main)
