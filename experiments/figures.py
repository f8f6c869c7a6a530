"""The paper's figures again: `python -m experiments.figures functions --out=DIR`, as PNG, SVG and, in numbers, CSV.

`alpha_policies` needs no training; `learning_curves` and `alpha` are drawn from the runs of a table
(`python -m experiments.table functions`), which are looked for in `--runs`.
"""

import json
import pathlib
from collections.abc import Sequence

from absl import flags

from gippo_jax.cli.console import console
from gippo_jax.errors import UserError
from gippo_jax.experiments.tables.documents import save_figure
from gippo_jax.experiments.tables.figure_alpha_policies import draw_alpha_policies
from gippo_jax.experiments.tables.figure_curves import draw_alpha, draw_learning_curves, lines_of, runs_of
from gippo_jax.experiments.tables.figure_profiles import draw_profiles
from gippo_jax.experiments.tables.lines import kept_lines, together
from gippo_jax.experiments.tables.problems import FAMILIES
from gippo_jax.experiments.tables.results import Results
from gippo_jax.runs.metrics_version import require_one_version
from gippo_jax.runs.workdir import Workdir

_OUT = flags.DEFINE_string("out", "runs/figures", "Folder for the pictures.")
_RUNS = flags.DEFINE_string(
  "runs", None, "Folder of the table whose runs are drawn. Default: --out if it holds one, else runs/table_FAMILY."
)
_KEEP = flags.DEFINE_string(
  "keep", None, "Folder of earlier pictures: their learning curves, by the .csv beside each, where --runs has none."
)

# Pictures of learning curves, and whether they are against seconds.
_CURVES = {"learning_curves": False, "learning_curves_seconds": True}


def main(arguments: Sequence[str]) -> int:
  """Draws all figures of a family."""
  if len(arguments) != 2 or arguments[1] not in FAMILIES:
    given = " ".join(arguments[1:]) or "nothing"
    raise UserError(
      f"python -m experiments.figures: {given!r} is not a family of problems; allowed: {', '.join(FAMILIES)}"
    )
  family_name, family = arguments[1], FAMILIES[arguments[1]]
  out = pathlib.Path(_OUT.value)
  default = out if (out / "table.json").exists() else pathlib.Path(f"runs/table_{family_name}")
  runs = pathlib.Path(_RUNS.value or default)
  prefix = f"{family_name}_"
  drawn = []
  if family_name == "functions":
    save_figure(draw_alpha_policies(), out, f"{prefix}alpha_policies")
    drawn.append("alpha_policies")
  curves = runs_of(family, runs, "return")
  if not curves:
    raise UserError(
      f"--runs: {runs} holds no runs of {family_name}; allowed: the folder of a table, made by "
      f"python -m experiments.table {family_name} --out={runs}"
    )
  folders = [folder for of_problem in curves.values() for folder in of_problem.values()]
  require_one_version({folder.name: Workdir(folder).metrics_version() for folder in folders}, "--runs")
  for name, by_time in _CURVES.items():
    if by_time and family_name != "benchmarks":
      continue
    lines = lines_of(family, curves, by_time)
    if _KEEP.value:
      lines = together(family, lines, kept_lines(family, pathlib.Path(_KEEP.value) / f"{prefix}{name}.csv"))
    save_figure(draw_learning_curves(family, lines, by_time), out, f"{prefix}{name}")
    drawn.append(name)
  if family.compares:
    save_figure(draw_profiles(_results_of(runs)), out, f"{prefix}profiles")
    drawn.append("profiles")
  with_alpha = runs_of(family, runs, "alpha")
  if with_alpha and family_name not in ("benchmarks", "rivals"):  # there alpha is one row's
    save_figure(draw_alpha(family, with_alpha), out, f"{prefix}alpha")
    drawn.append("alpha")
  print(f"{', '.join(drawn)} (png, svg, csv) in {out}")
  return 0


def _results_of(runs: pathlib.Path) -> Results:
  try:
    return json.loads((runs / "table.json").read_text())["results"]
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise UserError(f"--runs: {runs / 'table.json'} cannot be read: {error}; allowed: the folder of a table") from None


if __name__ == "__main__":
  console(main)
