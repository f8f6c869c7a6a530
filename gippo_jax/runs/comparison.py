"""Several runs or tables beside each other: scores of their seeds, intervals, and who beats whom."""

import json
import pathlib
from typing import NamedTuple

import numpy as np

from gippo_jax.errors import UserError
from gippo_jax.plain import Plain
from gippo_jax.runs.files import write_csv
from gippo_jax.runs.metrics_version import require_one_version, version_of
from gippo_jax.runs.plotting import curve_rows
from gippo_jax.runs.rows import read_rows
from gippo_jax.runs.statistics import bootstrap_interval, interquartile_mean, probability_of_improvement
from gippo_jax.runs.workdir import Workdir

SCORES = ("best_return", "final_return", "evaluation_return", "best_evaluation_return")


class Contender(NamedTuple):
  """One run, or one cell of a table.

  Attributes:
    label: for readers.
    task: environment and parameters, or the table's problem; scores of different ones are not to be compared.
    scores: of the seeds that have one, `[seeds]`.
    lost: seeds that have none, or diverged.
    curve: environment steps `[L]` and returns `[seeds, L]`; `None` for a table's cell.
    metrics_version: what the scores mean.
  """

  label: str
  task: str
  scores: np.ndarray
  lost: int
  curve: tuple[np.ndarray, np.ndarray] | None
  metrics_version: int


def read_contenders(paths: list[str], score: str) -> list[Contender]:
  """Runs and tables in folders or files.

  Args:
    paths: folders of runs, folders with a `table.json`, or such files.
    score: one of `SCORES`.

  Raises:
    UserError: for a path that holds neither, and for scores that do not mean the same.
  """
  contenders: list[Contender] = []
  for text in paths:
    path = pathlib.Path(text).expanduser()
    table = path if path.suffix == ".json" else path / "table.json"
    contenders += _of_table(table, score) if table.is_file() else [_of_run(path, score)]
  labels = [contender.label for contender in contenders]
  contenders = [
    each._replace(label=each.label if labels.count(each.label) == 1 else f"{each.label} ({index + 1})")
    for index, each in enumerate(contenders)
  ]
  require_one_version({each.label: each.metrics_version for each in contenders}, "compare")
  return contenders


def compare(contenders: list[Contender]) -> list[Plain]:
  """A row for each.

  Args:
    contenders: of one task, or of several.

  Returns:
    Plain data: mean, inter-quartile mean (IQM), 95 % bootstrap interval of the mean, seeds, lost seeds, and for every
    other contender of the same task the probability that a run of this one beats a run of that one.
  """
  rows = []
  for one in contenders:
    interval = bootstrap_interval(one.scores) if one.scores.size else None
    others = {
      other.label: probability_of_improvement(one.scores, other.scores)
      for other in contenders
      if other is not one and other.task == one.task and one.scores.size and other.scores.size
    }
    rows.append(
      {
        "label": one.label,
        "task": one.task,
        "mean": float(one.scores.mean()) if one.scores.size else None,
        "iqm": float(interquartile_mean(one.scores)) if one.scores.size else None,
        "interval_95": list(interval) if interval else None,
        "seeds": int(one.scores.size),
        "lost": one.lost,
        "probability_of_improvement": others,
      }
    )
  return rows


def markdown(rows: list[Plain], score: str) -> str:
  """The rows as a table; after it who beats whom."""
  lines = [f"| {score} | mean | IQM | 95 % interval | seeds | lost |", "|---|---|---|---|---|---|"]
  for row in rows:
    interval = "" if row["interval_95"] is None else " to ".join(map(_number, row["interval_95"]))
    cells = [row["label"], _number(row["mean"]), _number(row["iqm"]), interval, row["seeds"], row["lost"]]
    lines.append(f"| {' | '.join(map(str, cells))} |")
  for row in rows:
    beats = ", ".join(f"{label} {value:.2f}" for label, value in row["probability_of_improvement"].items())
    if beats:
      lines += ["", f"Probability that a run of {row['label']} beats one of: {beats}."]
  return "\n".join(lines) + "\n"


def draw(contenders: list[Contender], path: pathlib.Path) -> None:
  """The curves of all runs in one figure, a panel for each task: mean over seeds, and their range.

  Args:
    contenders: those without a curve are left out.
    path: the file to write; its ending says which kind of picture. The numbers lie beside it, with the ending `.csv`.
  """
  from matplotlib.figure import Figure  # without pyplot: no global state, no display

  drawn = [each for each in contenders if each.curve is not None]
  tasks = list(dict.fromkeys(each.task for each in drawn))
  figure = Figure(figsize=(6.0 * max(len(tasks), 1), 4.0), layout="constrained")
  for axis, task in zip(figure.subplots(1, max(len(tasks), 1), squeeze=False)[0], tasks, strict=False):
    of_task = [each for each in drawn if each.task == task]
    ends = [values for each in of_task for values in (each.curve or ((), ()))[1]]
    everything = np.concatenate([np.ravel(values) for values in ends]) if ends else np.zeros(0)
    finite = everything[np.isfinite(everything)]
    is_distance = finite.size > 0 and np.all(finite < 0) and np.max(-finite) > 100 * np.min(-finite)
    for index, each in enumerate(of_task):
      assert each.curve is not None
      steps, values = each.curve
      values = -values if is_distance else values
      style = {"color": _COLORS[index % len(_COLORS)], "linestyle": _DASHES[index // len(_COLORS) % len(_DASHES)]}
      axis.plot(steps / 1000.0, values.mean(axis=0), label=each.label, linewidth=1.5, **style)
      if len(values) > 1:
        low, high = values.min(axis=0), values.max(axis=0)
        axis.fill_between(steps / 1000.0, low, high, color=style["color"], alpha=0.15, linewidth=0)
    axis.set_title(task, fontsize="medium")
    axis.set_xlabel("thousand environment steps per seed")
    axis.set_ylabel("-mean return of the last 100 episodes" if is_distance else "mean return of the last 100 episodes")
    if is_distance:
      axis.set_yscale("log")
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize="small")
  figure.savefig(path, dpi=120)
  curves = [
    curve_rows({"task": each.task, "run": each.label}, each.curve[0], each.curve[1].T) for each in drawn if each.curve
  ]
  write_csv(path.with_suffix(".csv"), [row for rows in curves for row in rows])


# Okabe and Ito's colours, which colour-blind readers tell apart.
_COLORS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DASHES = ("-", "--", ":", "-.")


def _of_run(path: pathlib.Path, score: str) -> Contender:
  workdir = Workdir(path)
  summary = workdir.read_summary()
  if summary is None:
    raise UserError(f"compare: {path} holds neither a run that has ended nor a table; allowed: such folders")
  values = summary[score]
  scores = [
    value
    for value, diverged in zip(values, summary["diverged"], strict=True)
    if value is not None and np.isfinite(value) and not diverged
  ]
  task = " ".join(str(value) for value in summary["environment"].values())
  label = f"{path.resolve().name} ({summary['algorithm']})"
  scores, lost = np.asarray(scores, float), len(values) - len(scores)
  return Contender(label, task, scores, lost, _curve(workdir), workdir.metrics_version())


def _curve(workdir: Workdir) -> tuple[np.ndarray, np.ndarray] | None:
  """Of the epochs in which every seed has a return."""
  by_step: dict[int, dict[int, float]] = {}
  rows = read_rows(workdir)
  for row in rows:
    if row.get("return") is not None:
      by_step.setdefault(row["steps"], {})[row["seed"]] = row["return"]
  seeds = sorted({row["seed"] for row in rows})
  steps = [step for step in sorted(by_step) if len(by_step[step]) == len(seeds)]
  if not steps:
    return None
  return np.asarray(steps), np.asarray([[by_step[step][seed] for step in steps] for seed in seeds])


def _of_table(path: pathlib.Path, score: str) -> list[Contender]:
  try:
    results = json.loads(path.read_text())["results"]
    cells = [(problem, name, cell) for problem, row in results.items() for name, cell in row.items()]
    contenders = []
    for problem, name, cell in cells:
      values = cell[f"{score}s"]
      scores = [value for value in values if value is not None and np.isfinite(value)]
      label = f"{path.parent.name}: {problem} {name}"
      lost, version = len(values) - len(scores), version_of(cell)
      contenders.append(Contender(label, problem, np.asarray(scores, float), lost, None, version))
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
    raise UserError(f"compare: {path} is not a table with {score}: {error}; allowed: table.json of a table") from None
  return contenders


def _number(value: float | None) -> str:
  return "" if value is None else f"{value:.5g}"
