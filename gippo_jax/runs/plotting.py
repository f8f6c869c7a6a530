"""The picture of a run: return and, where there is one, alpha against environment steps; its numbers as a table."""

import pathlib

import numpy as np

from gippo_jax.plain import Plain
from gippo_jax.runs.files import write_csv


def plot_learning_curve(rows: list[Plain], title: str, path: pathlib.Path) -> None:
  """Draws `learning_curve.png`, and writes its numbers beside it, `learning_curve.csv`.

  The line is the mean over seeds, the band their range. Where every return is negative and they span more than two
  decades (a function being minimised), the distance to 0 is drawn on a logarithmic axis.

  Args:
    rows: of `metrics.jsonl`.
    title: of the picture.
    path: the file to write.
  """
  from matplotlib.figure import Figure  # without pyplot: no global state, no display

  # A return is what one looks for: where no episode has finished, its place says so.
  panels = ["return", *(name for name in ("alpha",) if any(row.get(name) is not None for row in rows))]
  figure = Figure(figsize=(5.2 * len(panels), 3.6), layout="constrained")
  axes = figure.subplots(1, len(panels), squeeze=False)[0]
  num_seeds = len({row["seed"] for row in rows})
  numbers: list[Plain] = []
  for axis, name in zip(axes, panels, strict=False):
    steps, values = _by_step(rows, name)
    if not steps.size:
      axis.text(0.5, 0.5, "no episode has finished", ha="center", va="center", transform=axis.transAxes)
      axis.set_axis_off()
      continue
    numbers += curve_rows({"quantity": name}, 1000.0 * steps, values)
    label, logarithmic = name, name == "alpha"
    if name == "return" and np.all(values < 0) and np.max(-values) > 100 * np.min(-values):
      values, label, logarithmic = -values, "-return (lower is better)", True
    axis.plot(steps, np.nanmean(values, axis=1), color="#0072B2", linewidth=1.5, label=f"mean of {num_seeds} seeds")
    if num_seeds > 1:
      low, high = np.nanmin(values, axis=1), np.nanmax(values, axis=1)
      axis.fill_between(steps, low, high, color="#0072B2", alpha=0.2, linewidth=0, label="range")
      axis.legend(frameon=False)
    if logarithmic:
      axis.set_yscale("log")
    axis.set_xlabel("thousand environment steps per seed")
    axis.set_ylabel("mean return of the last 100 episodes" if label == "return" else label)
    axis.grid(alpha=0.3)
  figure.suptitle(title, fontsize="medium")
  write_csv(path.with_suffix(".csv"), numbers)
  temporary = path.with_name(path.name + ".tmp")
  figure.savefig(temporary, dpi=120, format="png")
  temporary.replace(path)


def curve_rows(names: Plain, steps: np.ndarray, values: np.ndarray) -> list[Plain]:
  """A curve as rows of a table: mean, least and largest value over the seeds that are left at each step.

  Args:
    names: columns that say which curve it is.
    steps: environment steps of each seed, `[T]`.
    values: `[T, seeds]`, NaN for a seed that was given up.
  """
  return [
    names | {"steps": round(step), "mean": row.mean(), "low": row.min(), "high": row.max(), "seeds": row.size}
    for step, row in zip(steps.tolist(), (each[~np.isnan(each)] for each in values), strict=True)
    if row.size
  ]


def _by_step(rows: list[Plain], name: str) -> tuple[np.ndarray, np.ndarray]:
  """Thousands of steps, and values `[steps, seeds]`.

  Epochs in which a value is missing for a seed are left out, unless the seed was given up before: then it is NaN.
  """
  by_step: dict[int, dict[int, float]] = {}
  last_step: dict[int, int] = {}
  for row in rows:
    if row.get(name) is not None:
      by_step.setdefault(row["steps"], {})[row["seed"]] = row[name]
      last_step[row["seed"]] = row["steps"]
  expected = {step: sum(last >= step for last in last_step.values()) for step in by_step}
  steps = sorted(step for step, values in by_step.items() if len(values) == expected[step])
  values = [[by_step[step].get(seed, np.nan) for seed in last_step] for step in steps]
  return np.asarray(steps) / 1000.0, np.asarray(values, float)
