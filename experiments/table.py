"""The paper's tables again: `python -m experiments.table functions --preset=paper --out=DIR`.

Trains every (problem, algorithm) pair, all seeds of a pair in one compiled program, each pair in a folder of its own
with the files of a single run. Pairs that are finished are not run again; an interrupted one resumes. The table holds
every pair that the folder has. Processes may train different pairs into one folder side by side; `--notrain` makes the
table of what is there.
"""

# A ConfigDict's fields are of any type to a type checker.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

import csv
import datetime
import json
import pathlib
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from absl import flags
from rich.console import Console

from gippo_jax.cli.console import chosen, console
from gippo_jax.errors import UserError
from gippo_jax.experiments.tables import comparison_text
from gippo_jax.experiments.tables import text as table_text
from gippo_jax.experiments.tables.captions import caption_of
from gippo_jax.experiments.tables.documents import has_block, replace_block
from gippo_jax.experiments.tables.family import Family, Preset
from gippo_jax.experiments.tables.kept import add_kept, kept_results
from gippo_jax.experiments.tables.problems import FAMILIES
from gippo_jax.experiments.tables.progress import TableProgress
from gippo_jax.experiments.tables.results import Results, cell_of, compare_with_paper, improvements
from gippo_jax.parsing import Experiment, parse
from gippo_jax.plain import Plain
from gippo_jax.programs.devices import configure_jax
from gippo_jax.runs.files import write_json, write_text
from gippo_jax.runs.lock import locked
from gippo_jax.runs.summary import Summary
from gippo_jax.runs.workdir import Workdir

# Seconds that a process waits while others, which train beside it into the same folder, write the table.
_PATIENCE = 600.0

_PRESET = flags.DEFINE_string(
  "preset",
  "quick",
  "quick: a first look; paper: the paper's budget; some families have others, cpu for what two cores do.",
)
_ALGORITHMS = flags.DEFINE_list("algorithms", None, "Algorithms; all by default.")
_PROBLEMS = flags.DEFINE_list("problems", None, "Problems; all of the preset by default.")
_SEEDS = flags.DEFINE_integer("seeds", None, "Number of seeds; the preset's by default.", lower_bound=1)
_OUT = flags.DEFINE_string("out", None, "Folder for the runs and the table. Default: runs/table_FAMILY.")
_TRAIN = flags.DEFINE_bool("train", True, "Train what is missing; --notrain makes the table of what --out holds.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Remove what --out holds of another setup.")
_KEEP = flags.DEFINE_list(
  "keep", [], "Earlier tables, table.json of any family: their cells of the same budget stand where --out has none."
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
  write_text(out / "table.md", f"{caption}\n\n{markdown(family, results)}")
  with (out / "table.csv").open("w", newline="") as file:
    csv.writer(file).writerows(table_text.csv_rows(results))


def markdown(family: Family, results: Results) -> str:
  """The table for documents."""
  return (comparison_text if family.compares else table_text).markdown(family, results)


def renew_documents(family_name: str, results: Results, caption: str, out: pathlib.Path, docs: pathlib.Path) -> None:
  """Puts the table into its document, and into the README if it has room for it; keeps `table.json` in `docs`."""
  family = FAMILIES[family_name]
  shutil.copyfile(out / "table.json", docs / f"table_{family_name}.json")
  block = f"table {family_name}"
  replace_block(docs / family.document, block, f"{caption}\n\n{markdown(family, results)}")
  readme = docs.parent / "README.md"
  if has_block(readme, block):
    replace_block(readme, block, table_text.short_markdown(family, results))


def main(arguments: Sequence[str]) -> int:
  """Trains what is missing, writes and prints the table."""
  if len(arguments) != 2 or arguments[1] not in FAMILIES:
    given = " ".join(arguments[1:]) or "nothing"
    raise UserError(
      f"python -m experiments.table: {given!r} is not a family of problems; allowed: {', '.join(FAMILIES)}"
    )
  family_name = arguments[1]
  family = FAMILIES[family_name]
  (preset_name,) = chosen([_PRESET.value], list(family.presets), "preset")
  preset = family.presets[preset_name]
  problems = chosen(_PROBLEMS.value, list(preset), "problems")
  algorithms = chosen(_ALGORITHMS.value, list(family.algorithms), "algorithms")
  out = pathlib.Path(_OUT.value or f"runs/table_{family_name}")

  kept = kept_results(family, [pathlib.Path(name) for name in _KEEP.value])
  every = list(pairs_of(family, preset, _SEEDS.value, out))
  clear_other_setups(every, family_name, out, _OVERWRITE.value)
  screen = Console(width=None if sys.stdout.isatty() else 160)
  to_train = [pair for pair in every if _TRAIN.value and pair.problem in problems and pair.algorithm in algorithms]
  if not _train_all(family, to_train, screen):
    screen.print("Interrupted; the same command goes on from here.")
    return 130
  with locked(out, "--out", patience=_PATIENCE):
    results = add_kept(
      collect(family, every), kept, {(pair.problem, pair.algorithm): pair.experiment for pair in every}
    )
    if not results:
      raise UserError(f"--out: {out} has no finished run; allowed: a folder that has, or no --notrain")
    caption = caption_of(family, results, f"python -m experiments.table {family_name} --preset={preset_name}")
    write(family_name, results, caption, out)
    if _DOCS.value:
      renew_documents(family_name, results, caption, out, pathlib.Path(_DOCS.value))
  screen.print(table_text.terminal(family, results))
  screen.print(f"Files in {out}: table.json, table.md, table.csv, and a folder for each pair.")
  return 0


def _train_all(family: Family, pairs: Sequence[Pair], screen: Console) -> bool:
  """Trains what is missing of the pairs; whether it got to the end."""
  configure_jax(max((pair.experiment.run.num_seeds for pair in pairs), default=1))
  with TableProgress(screen, len(pairs)) as progress:
    for pair in pairs:
      summary = train(pair, progress)
      if summary["status"] == "interrupted":
        return False
      cell = cell_of(summary, family.problems[pair.problem].paper.get(pair.algorithm))
      progress.advance(
        f"{pair.name}: {table_text.number(cell['mean'])}{table_text.papers(cell, ' (paper {})')}, "
        f"{cell['seconds']:.0f} s"
      )
  return True


if __name__ == "__main__":
  console(main)
