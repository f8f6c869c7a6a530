"""Pictures of the benchmark's tables, from their rows."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gippo_jax.experiments.speed import peers
from gippo_jax.plain import Plain

# Okabe and Ito's colours.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
_MARKERS = ("o", "s", "^", "D", "v", "P")
_INCHES_PER_BAR = 0.21


class Bars(NamedTuple):
  """Bars of one colour, one for each label of a chart.

  Attributes:
    name: for the legend; empty where nothing is to be told apart.
    values: their lengths; NaN leaves one out.
    spread: the least and the most of each, if it was measured.
  """

  name: str
  values: Sequence[float]
  spread: Sequence[tuple[float, float]] | None = None


def _bar_chart(labels: Sequence[str], bars: Sequence[Bars], title: str, stacked: bool = False) -> Figure:
  """Horizontal bars, the first label on top; those of one label below each other, or end to end if `stacked`."""
  beside = 1 if stacked else len(bars)
  height = 1.1 + _INCHES_PER_BAR * len(labels) * (beside + (0.1 if stacked else 0.6))
  figure = Figure(figsize=(7.6, height), layout="constrained")
  axis = figure.subplots()
  places = np.arange(len(labels), dtype=float)
  thickness = 0.8 / beside
  begins = np.zeros(len(labels))
  for index, (each, colour) in enumerate(zip(bars, _COLOURS, strict=False)):
    values = np.asarray(each.values, float)
    offset = 0.0 if stacked else (index - (beside - 1) / 2) * thickness
    axis.barh(places + offset, values, thickness, left=begins, label=each.name or None, color=colour)
    if stacked:
      begins += values
      continue
    ends = values
    if each.spread is not None:
      least, most = np.asarray(each.spread, float).T
      axis.errorbar(values, places + offset, xerr=(values - least, most - values), fmt="none", ecolor="#444444")
      ends = most
    for place, end, value in zip(places + offset, ends, values, strict=True):
      if np.isfinite(value):
        axis.annotate(_short(value), (end, place), (3, 0), textcoords="offset points", va="center", fontsize="x-small")
  if stacked:
    for place, end in zip(places, begins, strict=True):
      axis.annotate(_short(end), (end, place), (3, 0), textcoords="offset points", va="center", fontsize="x-small")
  axis.set_yticks(places, labels, fontsize="small")
  axis.invert_yaxis()
  axis.set_xlabel(title)
  axis.xaxis.set_major_formatter(_short_tick)
  axis.margins(x=0.1, y=0.02)
  axis.grid(axis="x", alpha=0.3)
  axis.set_axisbelow(True)
  if any(each.name for each in bars):
    figure.legend(loc="outside lower center", ncols=len(bars), frameon=False, fontsize="small")
  return figure


def _short(value: float) -> str:
  return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _short_tick(value: float, _: object) -> str:
  return f"{value:,.0f}" if value >= 1000 else f"{value:g}"


def _functions(rows: Sequence[Plain]) -> Figure:
  compared = [row for row in rows if row["times_faster"] is not None]
  if not compared:  # measured without the authors' code
    return _trainings(rows)
  values = [row["times_faster"] for row in compared]
  title = "seconds of the authors' PyTorch over those of the training here"
  return _bar_chart([row["label"] for row in compared], [Bars("", values)], title)


def _trainings(rows: Sequence[Plain]) -> Figure:
  values = [row["run_seconds"] for row in rows]
  spread = [(row["least_run_seconds"], row["most_run_seconds"]) for row in rows]
  return _bar_chart([row["label"] for row in rows], [Bars("", values, spread)], "seconds of training")


def _compile(rows: Sequence[Plain]) -> Figure:
  named = {
    "cold_compile_seconds": "compilation, cold",
    "warm_compile_seconds": "compilation, warm",
    "warm_start_seconds": "command up to the first epoch, warm",
  }
  bars = [Bars(name, [row[field] for row in rows]) for field, name in named.items()]
  return _bar_chart([row["label"] for row in rows], bars, "seconds")


def _sweep(rows: Sequence[Plain]) -> Figure:
  values = [row["run_seconds"] / row["num_seeds"] for row in rows]
  return _bar_chart([row["label"] for row in rows], [Bars("", values)], "seconds of training, per seed and setting")


def _traffic(rows: Sequence[Plain]) -> Figure:
  # The fewest environments, as in the table.
  speeds = [row["speeds"][min(row["speeds"], key=int)] for row in rows]
  bars = [
    Bars(name, [speed[f"{program}_steps_per_second"] for speed in speeds])
    for program, name in (("forward", "forward"), ("gradient", "with gradient"))
  ]
  return _bar_chart([f"scenario {row['scenario']}" for row in rows], bars, "environment steps per second")


def _physics(rows: Sequence[Plain]) -> Figure:
  named = {
    "mapped": "bare gradient by jax.vmap",
    "bare": "bare gradient",
    "trainer": "the trainer's gradient",
    "stored": "the trainer's, nothing recomputed",
  }
  bars = [
    Bars(name, [row["steps_per_second"].get(program, np.nan) / row["steps_per_second"]["bare"] for row in rows])
    for program, name in named.items()
  ]
  return _bar_chart([row["problem"] for row in rows], bars, "steps/s over those of the bare gradient")


def _ppo(rows: Sequence[Plain]) -> Figure:
  labels, ours, theirs = [], [], []
  for row in rows:
    names = [peers.TRAINERS_AT_EQUAL_WORK[trainer].label for trainer in row["pair"]]
    labels.append(f"{peers.PROBLEMS[row['problem']].label}\n{names[0]}\n{names[1]}")
    for found, index in ((ours, 0), (theirs, 1)):
      found.append((row["steps_per_second"][index], tuple(row["spread"][index])))
  bars = [
    Bars(name, [value for value, _ in found], [spread for _, spread in found])
    for name, found in (("ours", ours), ("theirs", theirs))
  ]
  return _bar_chart(labels, bars, "environment steps per second, median, and the least and the most")


def _roofline(rows: Sequence[Plain]) -> Figure:
  measured = [row for row in rows if "share" in row]
  named = {"products": "products", "elementwise": "other arithmetic", "transcendental": "exponentials"}
  bars = [
    Bars(name, [100.0 * row["least_seconds"][kind] / row["seconds"] for row in measured])
    for kind, name in named.items()
  ]
  labels = [f"{row['problem']}, {row['algorithm']}" for row in measured]
  return _bar_chart(labels, bars, "time of the work at the machine's rates, in % of the epoch's", stacked=True)


def _scaling(rows: Sequence[Plain]) -> Figure:
  panels = {
    "De Jong-1, seeds": ("num_members", "seeds"),
    "cart-pole, environments": ("num_envs", "environments"),
    "cart-pole, horizon": ("horizon", "steps of a window"),
  }
  figure = Figure(figsize=(8.4, 3.0), layout="constrained")
  for axis, (what, (field, name)) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
    found = sorted((row[field], row["steps_per_second"]) for row in rows if row["what"] == what)
    axis.plot(*zip(*found, strict=True), marker=_MARKERS[0], color=_COLOURS[0])
    _doublings(axis, what.partition(",")[0], name)
    axis.set_ylim(0.0, 1.1 * max(steps for _, steps in found))
    axis.yaxis.set_major_formatter(_short_tick)
  figure.supylabel("steps/s of all seeds", fontsize="small")
  return figure


def _accelerator(rows: Sequence[Plain]) -> Figure:
  figure = Figure(figsize=(6.4, 4.0), layout="constrained")
  axis = figure.subplots()
  problems = list(dict.fromkeys(row["what"] for row in rows))
  for what, colour, marker in zip(problems, _COLOURS, _MARKERS, strict=False):
    found = [row for row in rows if row["what"] == what and row["precision"] == "highest"]
    environments = np.array([row["num_members"] * row["num_envs"] for row in found], float)
    seconds = np.sort([row["epoch_seconds"] for row in found], axis=1)
    steps = environments * [row["horizon"] for row in found]
    middle, slowest, fastest = (steps / each for each in (np.median(seconds, 1), seconds[:, -1], seconds[:, 0]))
    bars = (middle - slowest, fastest - middle)
    axis.errorbar(environments, middle, yerr=bars, label=what, color=colour, marker=marker, capsize=2)
  _doublings(axis, "", "environments of all seeds")
  axis.set_yscale("log")
  axis.set_ylabel("steps/s of all seeds")
  axis.legend(frameon=False, fontsize="small")
  return figure


def _doublings(axis: Axes, title: str, name: str) -> None:
  axis.set_xscale("log", base=2)
  axis.xaxis.set_major_formatter(_short_tick)
  axis.set_title(title, fontsize="medium")
  axis.set_xlabel(name)
  axis.grid(alpha=0.3)


# By part of the benchmark.
PICTURES: dict[str, Callable[[Sequence[Plain]], Figure]] = {
  "functions": _functions,
  "trainings": _trainings,
  "compile": _compile,
  "sweep": _sweep,
  "traffic": _traffic,
  "physics": _physics,
  "ppo": _ppo,
  "roofline": _roofline,
  "scaling": _scaling,
  "accelerator": _accelerator,
}
