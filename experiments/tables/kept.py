"""Cells of earlier tables, which need not be trained again."""

import json
import pathlib
from collections.abc import Iterable, Mapping

from gippo_jax.errors import UserError
from gippo_jax.experiments.tables.family import Family
from gippo_jax.experiments.tables.problems import FAMILIES
from gippo_jax.experiments.tables.results import Results, is_cell
from gippo_jax.parsing import Experiment
from gippo_jax.runs.metrics_version import CURRENT, require_one_version, version_of


def kept_results(family: Family, paths: Iterable[pathlib.Path]) -> Results:
  """The cells of a family's problems in earlier tables, of any family; the first table that has one counts.

  Args:
    family: whose problems are looked for; a problem is its preset and task, whatever a family calls it.
    paths: of the tables, as `experiments.table` writes them.

  Raises:
    UserError: where one is no table, or has no problem of the family, or metrics that were counted otherwise.
  """
  kept: Results = {}
  for path in paths:
    found = _cells_of(path)
    names = [name for name, problem in family.problems.items() if problem.argument in found]
    if not names:
      raise UserError(
        f"--keep: {path} is not allowed; allowed: a table.json with a problem of {', '.join(family.problems)}"
      )
    versions = {
      f"{name} {column} in {path}": version_of(cell) for name in found for column, cell in found[name].items()
    }
    require_one_version({"this table": CURRENT, **versions}, "--keep")
    for name in names:
      kept[name] = found[family.problems[name].argument] | kept.get(name, {})
  return kept


def _cells_of(path: pathlib.Path) -> Results:
  """A table's cells by the argument of their problem."""
  try:
    table = json.loads(path.read_text())
    problems, results = FAMILIES[table["family"]].problems, table["results"]
    if results and all(is_cell(cell) for cells in results.values() for cell in cells.values()):
      return {problems[name].argument: cells for name, cells in results.items()}
  except (OSError, ValueError, KeyError, TypeError, AttributeError):
    pass
  raise UserError(f"--keep: {path} is not allowed; allowed: a table.json that experiments.table wrote")


def add_kept(results: Results, kept: Results, experiments: Mapping[tuple[str, str], Experiment]) -> Results:
  """The results, and kept cells where there are none and the epochs and the number of seeds are the same.

  Args:
    results: of this table.
    kept: of earlier ones.
    experiments: of every cell that the table may have, by problem and column, in its order.
  """
  added: Results = {}
  for (problem, column), experiment in experiments.items():
    cell = results.get(problem, {}).get(column)
    if cell is None:
      cell = kept.get(problem, {}).get(column)
      config = experiment.config
      if cell is None or (cell["epochs"], len(cell["best_returns"])) != (config.num_epochs, experiment.run.num_seeds):
        continue
      cell = {"steps": config.num_epochs * config.num_envs * config.horizon, **cell}
    added.setdefault(problem, {})[column] = cell
  return added
