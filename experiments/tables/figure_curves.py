"""Learning curves of all algorithms, and alpha over training (the paper's Figures 2 and 3)."""

import math
import pathlib
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gippo_jax.experiments.tables.curve import Curve
from gippo_jax.experiments.tables.family import Family, columns, in_order, label_of
from gippo_jax.experiments.tables.lines import Line, Lines, line_of
from gippo_jax.plain import Plain
from gippo_jax.runs.summary import read_summary

Runs = dict[str, dict[str, pathlib.Path]]

# Okabe and Ito's colours, told apart by colour-blind readers too, and dashes for those who print in grey: no two
# algorithms have either in common.
STYLES = {
  "lr": {"color": "#E69F00", "linestyle": ":"},
  "rp": {"color": "#56B4E9", "linestyle": "--"},
  "shac": {"color": "#0072B2", "linestyle": (0, (6, 2))},
  "ppo": {"color": "#009E73", "linestyle": "-."},
  "lrp": {"color": "#CC79A7", "linestyle": (0, (4, 1, 1, 1, 1, 1))},
  "pe": {"color": "#8C2D04", "linestyle": (0, (8, 2, 2, 2))},
  "tp": {"color": "#D55E00", "linestyle": (0, (1, 1, 4, 1))},
  "gippo": {"color": "#000000", "linestyle": "-"},
}
# Of algorithms that are not here, in the order in which they are drawn.
_FURTHER = (
  {"color": "#999999", "linestyle": (0, (2, 1))},
  {"color": "#F0E442", "linestyle": (0, (10, 2))},
  {"color": "#6A3D9A", "linestyle": (0, (5, 1, 1, 1))},
  {"color": "#B15928", "linestyle": (0, (3, 3))},
  {"color": "#E31A1C", "linestyle": (0, (12, 2, 2, 2))},
  {"color": "#1B7837", "linestyle": (0, (1, 2))},
  {"color": "#FF7F00", "linestyle": (0, (7, 1))},
  {"color": "#C51B7D", "linestyle": (0, (3, 1, 1, 1, 1, 1, 1, 1))},
)

# Of a legend's small letters.
_LETTERS_PER_INCH, _LETTERS_OF_A_HANDLE = 11.0, 8


def style_of(algorithm: str, others: Sequence[str] = ()) -> Plain:
  """Colour and dashes of an algorithm.

  Args:
    algorithm: its name.
    others: all that are drawn beside it, in their order.
  """
  unknown = [name for name in others if name not in STYLES]
  if algorithm in STYLES:
    return STYLES[algorithm]
  return _FURTHER[unknown.index(algorithm) % len(_FURTHER)] if algorithm in unknown else _FURTHER[0]


def runs_of(family: Family, folder: pathlib.Path, metric: str) -> Runs:
  """Folders of the runs that have ended and have a metric, by problem and algorithm, in the table's order.

  A run that was cut off, such as one whose cell the table takes from elsewhere, would stand beside the others by a part
  of its training.
  """
  found: Runs = {}
  for problem in family.problems:
    for algorithm in columns():
      rows = folder / f"{problem}_{algorithm}" / "metrics.jsonl"
      summary = read_summary(rows.with_name("summary.json"))
      ended = summary is not None and summary["status"] in ("finished", "diverged")
      if ended and rows.exists() and f'"{metric}":' in rows.read_text().split("\n", 1)[0]:
        found.setdefault(problem, {})[algorithm] = rows.parent
  return found


def lines_of(family: Family, runs: Runs, by_time: bool = False) -> Lines:
  """The runs' lines, as `draw_learning_curves` draws them.

  Args:
    family: of the problems.
    runs: folders by problem and algorithm.
    by_time: against the seconds of training instead of environment steps.
  """
  sign = -1.0 if family.minimises else 1.0
  return {
    problem: {algorithm: line_of(folder, sign, by_time) for algorithm, folder in of_problem.items()}
    for problem, of_problem in runs.items()
  }


def draw_learning_curves(family: Family, lines: Lines, by_time: bool = False) -> Figure:
  """A panel for each problem: mean over the seeds and its 95 % bootstrap interval against environment steps.

  Distances to an optimum are drawn on a logarithmic scale, and so are returns that are all negative (costs): one run
  that fails would press the others onto a line. The best number that others publish is a grey line.

  Args:
    family: of the problems.
    lines: by problem and algorithm.
    by_time: whether they are against the seconds of training instead.
  """
  figure, panels = _panels(family, list(lines))
  # Of all panels: what is missing in one must not change the others' colours there.
  drawn = in_order({algorithm for of_problem in lines.values() for algorithm in of_problem})
  for problem, axis in panels.items():
    for algorithm in in_order(lines[problem]):
      _draw(axis, lines[problem][algorithm], label_of(algorithm), style_of(algorithm, drawn))
    published = max(family.problems[problem].published, key=lambda each: each.value, default=None)
    if published:
      axis.axhline(published.value, color="#999999", linewidth=1.0)
      label = f"{published.method}, {published.steps / 1e6:g} M steps"
      axis.annotate(label, (0.02, published.value), xycoords=("axes fraction", "data"), fontsize="x-small", va="top")
    highest = np.nanmax([line.highest for line in lines[problem].values()])
    if family.minimises:
      axis.set_yscale("log")
    elif highest < 0.0:
      axis.set_yscale("symlog", linthresh=-highest)
      axis.set_ylim(top=highest)
    axis.set_xlabel("seconds of training all seeds" if by_time else "thousand environment steps")
  label = "distance to the optimum (-return), lower is better" if family.minimises else "return"
  figure.supylabel(f"{label}\n(mean of the last 100 episodes)", fontsize="small")
  add_legend(
    figure,
    panels,
    "line: mean over the seeds; band: 95 % bootstrap interval of the mean; mark at the end: mean of every seed's best "
    f"epoch{'' if family.compares else ', the number of the table'}",  # a table of rivals has the last policies'
  )
  return figure


def draw_alpha(family: Family, runs: Runs) -> Figure:
  """A panel for each problem: alpha of GI-PPO against epochs, every seed and the geometric mean.

  Args:
    family: of the problems.
    runs: folders by problem and algorithm, of those that have an alpha.
  """
  figure, panels = _panels(family, list(runs))
  for problem, axis in panels.items():
    for folder in runs[problem].values():
      curve = Curve(folder, "alpha")
      for index, values in enumerate(curve.values):
        axis.plot(curve.epochs, values, color="#56B4E9", linewidth=0.8, label="a seed" if index == 0 else None)
      mean = np.exp(np.nanmean(np.log(curve.values), axis=0))
      axis.plot(curve.epochs, mean, color="#000000", linewidth=1.5, label="geometric mean")
    axis.set_yscale("log")
    axis.set_xlabel("epoch")
  figure.supylabel("alpha (step of the actions per unit of advantage gradient)", fontsize="small")
  add_legend(figure, panels, "GI-PPO")
  return figure


def _draw(axis: Axes, line: Line, label: str, style: Plain) -> None:
  if line.x.size:
    axis.plot(line.x, line.mean, linewidth=1.4, label=label, **style)
  if line.band.size:
    axis.fill_between(*line.band, color=style["color"], alpha=0.2, linewidth=0)
  if line.best:
    axis.plot([line.best[0]], [line.best[1]], marker="<", markersize=5, color=style["color"], linestyle="none")


def _panels(family: Family, problems: Sequence[str]) -> tuple[Figure, dict[str, Axes]]:
  columns = min(len(problems), 2)
  rows = -(-len(problems) // columns)
  figure = Figure(figsize=(4.4 * columns, 3.1 * rows + 0.6), layout="constrained")
  axes = figure.subplots(rows, columns, squeeze=False).ravel()
  for axis in axes[len(problems) :]:
    axis.set_visible(False)
  panels = dict(zip(problems, axes, strict=False))
  for problem, axis in panels.items():
    axis.set_title(family.problems[problem].label, fontsize="medium")
    axis.grid(alpha=0.3)
  return figure, panels


def add_legend(figure: Figure, panels: dict[str, Axes], title: str) -> None:
  """A legend of all panels' lines below the figure, in as many rows as its width asks for."""
  entries = {}
  for axis in panels.values():
    handles, labels = axis.get_legend_handles_labels()
    entries |= dict(zip(labels, handles, strict=True))
  letters = sum(len(label) + _LETTERS_OF_A_HANDLE for label in entries)
  rows = math.ceil(letters / (_LETTERS_PER_INCH * figure.get_figwidth()))
  figure.legend(
    entries.values(),
    entries.keys(),
    title=title,
    loc="outside lower center",
    ncols=math.ceil(len(entries) / rows),
    frameon=False,
    fontsize="small",
    title_fontsize="small",
  )
