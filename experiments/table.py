"""The paper's tables again: `python -m experiments.table functions --preset=paper --out=DIR`.

Trains every (problem, algorithm) pair, all seeds of a pair in one compiled program, each pair in a folder of its own
with the files of a single run. Pairs that are finished are not run again; an interrupted one resumes. The table holds
every pair that the folder has.
"""

# A ConfigDict's fields are of any type to a type checker.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

import csv
import datetime
import json
import pathlib
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from absl import flags
from rich.console import Console

from gippo_jax.cli.console import chosen, console
from gippo_jax.errors import UserError
from gippo_jax.experiments.tables import text as table_text
from gippo_jax.experiments.tables.documents import has_block, replace_block
from gippo_jax.experiments.tables.family import Family, Preset
from gippo_jax.experiments.tables.problems import FAMILIES
from gippo_jax.experiments.tables.progress import TableProgress
from gippo_jax.experiments.tables.results import Cell, Results, cell_of, compare_with_paper, improvements, is_cell
from gippo_jax.parsing import Experiment, parse
from gippo_jax.plain import Plain
from gippo_jax.programs.devices import configure_jax
from gippo_jax.runs.files import write_json, write_text
from gippo_jax.runs.lock import locked
from gippo_jax.runs.summary import Summary
from gippo_jax.runs.workdir import Workdir

_PRESET = flags.DEFINE_string(
  "preset", "quick", "quick: a first look; paper: the paper's budget; physics also cpu: 90 minutes on two cores."
)
_ALGORITHMS = flags.DEFINE_list("algorithms", None, "Algorithms; all by default.")
_PROBLEMS = flags.DEFINE_list("problems", None, "Problems; all of the preset by default.")
_SEEDS = flags.DEFINE_integer("seeds", None, "Number of seeds; the preset's by default.", lower_bound=1)
_OUT = flags.DEFINE_string("out", None, "Folder for the runs and the table. Default: runs/table_FAMILY.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Remove what --out holds of another setup.")
_KEEP = flags.DEFINE_string(
  "keep", None, "A table.json of the same family and budget, whose cells stand where --out has none."
)
_DOCS = flags.DEFINE_string("docs", None, "Documentation folder whose table, and README's, are renewed.")


class Pair(NamedTuple):
  """One cell of the table, to be trained."""

  problem: str
  algorithm: str
  experiment: Experiment
  workdir: Workdir

  @property
  def name(self) -> str:
    """For people."""
    return f"{self.problem} {self.algorithm}"


def pairs_of(family: Family, preset: Preset, num_seeds: int | None, out: pathlib.Path) -> Iterator[Pair]:
  """The pairs of a table with their configurations and folders; `num_seeds` wins over the preset's."""
  for problem, budget in preset.items():
    for algorithm in family.algorithms:
      config = family.config_of(problem, algorithm)
      config.num_seeds = num_seeds or budget.num_seeds
      config.num_epochs = max(1, round(budget.share_of_epochs * config.num_epochs))
      config.update_from_flattened_dict(dict(budget.changes))
      yield Pair(problem, algorithm, parse(config), Workdir(out / f"{problem}_{algorithm}"))


def clear_other_setups(pairs: Sequence[Pair], family_name: str, out: pathlib.Path, overwrite: bool) -> None:
  """Makes sure that `out` holds nothing of another setup.

  Args:
    pairs: all that may lie in the folder, trained now or not.
    family_name: of the table.
    out: the folder.
    overwrite: remove such runs instead of refusing.

  Raises:
    UserError: when there are such runs and `overwrite` is not set.
  """
  reasons = []
  present = table_of(out)
  if present is not None and present.get("family") != family_name:
    reasons.append(f"{out} holds a table of another family, {present.get('family')!r}")
  for pair in pairs:
    try:
      pair.workdir.check(pair.experiment)
    except UserError as error:
      reasons.append(str(error).removeprefix("--workdir: ").split("; allowed")[0])
      if overwrite and pair.workdir.config.exists():  # what no run has made is not ours to remove
        with locked(pair.workdir.path, "--out"):
          shutil.rmtree(pair.workdir.path)
      elif overwrite:
        raise
  if reasons and not overwrite:
    raise UserError(f"--out: {reasons[0]}; allowed: another folder, or --overwrite to remove what is there")


def table_of(out: pathlib.Path) -> Plain | None:
  """The table that `out` holds, as written by `write`; `None` when there is none that can be read."""
  try:
    table = json.loads((out / "table.json").read_text())
  except (OSError, ValueError):
    return None
  return table if isinstance(table, dict) else None


def train(pair: Pair, progress: TableProgress) -> Summary:
  """Trains a pair, or reads it when it is finished.

  Returns:
    The run's summary.
  """
  finished = pair.workdir.finished_summary(pair.experiment.config.num_epochs)
  if finished:
    return finished
  from gippo_jax.runs.environments import make_environment
  from gippo_jax.runs.runner import run

  return run(pair.experiment, make_environment(pair.experiment.env), pair.workdir, progress.of_run(pair.name))


def collect(family: Family, pairs: Sequence[Pair]) -> Results:
  """Cells of all pairs that are finished."""
  results: Results = {}
  for pair in pairs:
    summary = pair.workdir.finished_summary(pair.experiment.config.num_epochs)
    if summary:
      made = datetime.date.fromtimestamp(pair.workdir.summary.stat().st_mtime)
      cell = cell_of(summary, family.problems[pair.problem].paper.get(pair.algorithm), str(made))
      results.setdefault(pair.problem, {})[pair.algorithm] = cell
  return results


def add_kept(results: Results, kept: Results, pairs: Sequence[Pair]) -> Results:
  """The results, and cells of an earlier table where there are none and the budget was the same."""
  added: Results = {}
  for pair in pairs:
    cell = results.get(pair.problem, {}).get(pair.algorithm)
    if cell is None:
      cell = kept.get(pair.problem, {}).get(pair.algorithm)
      budget = (pair.experiment.config.num_epochs, pair.experiment.run.num_seeds)
      if cell is None or (cell["epochs"], len(cell["best_returns"])) != budget:
        continue
    added.setdefault(pair.problem, {})[pair.algorithm] = cell
  return added


def kept_results(family_name: str) -> Results:
  """The cells of --keep.

  Raises:
    UserError: when it is no table of the family.
  """
  if _KEEP.value is None:
    return {}
  path = pathlib.Path(_KEEP.value)
  try:
    table = json.loads(path.read_text())
    results = table["results"] if table["family"] == family_name else None
    if results and all(is_cell(cell) for cells in results.values() for cell in cells.values()):
      return results
  except (OSError, ValueError, KeyError, TypeError, AttributeError):
    pass
  raise UserError(f"--keep: {path} is not allowed; allowed: a table.json of the family {family_name!r}")


def write(family_name: str, results: Results, caption: str, out: pathlib.Path) -> None:
  """Writes `table.json`, `table.md` and `table.csv`."""
  family = FAMILIES[family_name]
  rows = compare_with_paper(family, results)
  write_json(
    out / "table.json",
    {
      "family": family_name,
      "caption": caption,
      "results": results,
      "rows": rows,
      "improvements": improvements(results),
    },
  )
  write_text(out / "table.md", f"{caption}\n\n{table_text.markdown(family, results)}")
  with (out / "table.csv").open("w", newline="") as file:
    csv.writer(file).writerows(table_text.csv_rows(results))


def renew_documents(family_name: str, results: Results, caption: str, out: pathlib.Path, docs: pathlib.Path) -> None:
  """Puts the table into its document, and into the README if it has room for it; keeps `table.json` in `docs`."""
  family = FAMILIES[family_name]
  shutil.copyfile(out / "table.json", docs / f"table_{family_name}.json")
  block = f"table {family_name}"
  replace_block(docs / family.document, block, f"{caption}\n\n{table_text.markdown(family, results)}")
  readme = docs.parent / "README.md"
  if has_block(readme, block):
    replace_block(readme, block, table_text.short_markdown(family, results))


def main(arguments: Sequence[str]) -> int:
  """Trains what is missing, writes and prints the table."""
  if len(arguments) != 2 or arguments[1] not in FAMILIES:
    given = " ".join(arguments[1:]) or "nothing"
    raise UserError(f"python -m experiments.table: {given!r} is no family of problems; allowed: {', '.join(FAMILIES)}")
  family_name = arguments[1]
  family = FAMILIES[family_name]
  (preset_name,) = chosen([_PRESET.value], list(family.presets), "preset")
  preset = family.presets[preset_name]
  problems = chosen(_PROBLEMS.value, list(preset), "problems")
  algorithms = chosen(_ALGORITHMS.value, list(family.algorithms), "algorithms")
  out = pathlib.Path(_OUT.value or f"runs/table_{family_name}")

  kept = kept_results(family_name)
  every = list(pairs_of(family, preset, _SEEDS.value, out))
  with locked(out, "--out"):
    return _make(family_name, preset_name, every, kept, problems, algorithms, out)


def _make(
  family_name: str,
  preset_name: str,
  every: list[Pair],
  kept: Results,
  problems: list[str],
  algorithms: list[str],
  out: pathlib.Path,
) -> int:
  family = FAMILIES[family_name]
  clear_other_setups(every, family_name, out, _OVERWRITE.value)
  to_train = [pair for pair in every if pair.problem in problems and pair.algorithm in algorithms]
  configure_jax(max(pair.experiment.run.num_seeds for pair in to_train))
  screen = Console(width=None if sys.stdout.isatty() else 160)
  with TableProgress(screen, len(to_train)) as progress:
    for pair in to_train:
      summary = train(pair, progress)
      if summary["status"] == "interrupted":
        screen.print("Interrupted; the same command goes on from here.")
        return 130
      cell = cell_of(summary, family.problems[pair.problem].paper.get(pair.algorithm))
      progress.advance(
        f"{pair.name}: {table_text.number(cell['mean'])}{table_text.papers(cell, ' (paper {})')}, "
        f"{cell['seconds']:.0f} s"
      )

  results = add_kept(collect(family, every), kept, every)
  beside = (
    "mean actions of the best and of the last policy, environment steps of a seed, seconds of training all seeds side "
    "by side + seconds of compilation, and what others publish"
    if any(problem.published for problem in family.problems.values())
    else f"and the paper's number; {_counts(results, lambda cell: cell['epochs'])} epochs"
  )
  caption = (
    f"Mean of the best returns of {_counts(results, lambda cell: len(cell['best_returns']))} seeds with its 95 % "
    f"bootstrap interval, inter-quartile mean (IQM), {beside}; the best mean of a row in bold. Made on "
    f"{_days(results)} by `python -m experiments.table {family_name} --preset={preset_name}`."
  )
  write(family_name, results, caption, out)
  screen.print(table_text.terminal(family, results))
  screen.print(f"Files in {out}: table.json, table.md, table.csv, and a folder for each pair.")
  if _DOCS.value:
    renew_documents(family_name, results, caption, out, pathlib.Path(_DOCS.value))
  return 0


def _counts(results: Results, count_of: Callable[[Cell], int]) -> str:
  """A number that is the same throughout, or problem by problem."""
  by_problem = {problem: sorted({count_of(cell) for cell in cells.values()}) for problem, cells in results.items()}
  if len({tuple(counts) for counts in by_problem.values()}) <= 1:
    return " or ".join(str(count) for counts in list(by_problem.values())[:1] for count in counts)
  return ", ".join(f"{' or '.join(map(str, counts))} ({problem})" for problem, counts in by_problem.items())


def _days(results: Results) -> str:
  days = sorted({cell["made"] for cells in results.values() for cell in cells.values()})
  return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"


if __name__ == "__main__":
  console(main)
