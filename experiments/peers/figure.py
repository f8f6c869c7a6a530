"""Returns against environment steps and against seconds, every problem a row."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gippo_jax.experiments.peers.problems import PROBLEMS, TRAINERS
from gippo_jax.experiments.peers.results import Run
from gippo_jax.plain import Plain
from gippo_jax.runs.statistics import bootstrap_interval

# Okabe and Ito's colours, as in the other figures: ours with full lines, peers dashed.
STYLES: dict[str, Plain] = {
  "ppo": {"color": "#009E73", "linestyle": "-"},
  "ppo_equal": {"color": "#56B4E9", "linestyle": "-"},
  "shac": {"color": "#0072B2", "linestyle": "-"},
  "brax_ppo": {"color": "#E69F00", "linestyle": "--"},
  "brax_ppo_ours": {"color": "#D55E00", "linestyle": "-."},
  "brax_apg": {"color": "#CC79A7", "linestyle": (0, (8, 2, 2, 2))},
  "brax_apg_ours": {"color": "#6A3D9A", "linestyle": (0, (6, 2))},
  "rejax_ppo": {"color": "#999999", "linestyle": ":"},
  "rejax_ppo_ours": {"color": "#000000", "linestyle": (0, (4, 1, 1, 1, 1, 1))},
}


def draw_returns(runs: dict[str, dict[str, list[Run]]]) -> Figure:
  """Mean over the seeds and its 95 % bootstrap interval; costs on a logarithmic scale.

  Args:
    runs: finished seeds by problem and trainer.
  """
  figure = Figure(figsize=(9.0, 3.1 * len(runs) + 0.8), layout="constrained")
  axes = figure.subplots(len(runs), 2, squeeze=False)
  entries = {}
  for row, (problem, trainers) in zip(axes, runs.items(), strict=True):
    by_steps, by_seconds = row
    for trainer, seeds in trainers.items():
      _draw(by_steps, np.asarray(seeds[0].steps) / 1000.0, trainer, seeds)
      _draw(by_seconds, np.mean([run.clock for run in seeds], axis=0), trainer, seeds)
    highest = max(max(run.returns) for seeds in trainers.values() for run in seeds)
    for axis, label in ((by_steps, "thousand environment steps"), (by_seconds, "CPU seconds of training")):
      axis.set_title(PROBLEMS[problem].label, fontsize="medium")
      axis.set_xlabel(label)
      axis.grid(alpha=0.3)
      if highest < 0.0:
        axis.set_yscale("symlog", linthresh=-highest)
      if PROBLEMS[problem].threshold is not None:
        axis.axhline(PROBLEMS[problem].threshold, color="#000000", linewidth=0.6, linestyle=":")
      handles, labels = axis.get_legend_handles_labels()
      entries |= dict(zip(labels, handles, strict=True))
  figure.supylabel("return of the mean action", fontsize="small")
  figure.legend(
    entries.values(),
    entries.keys(),
    title="line: mean over the seeds; band: 95 % bootstrap interval of the mean; dotted: threshold",
    loc="outside lower center",
    ncols=4,
    frameon=False,
    fontsize="small",
    title_fontsize="small",
  )
  return figure


def _draw(axis: Axes, x: np.ndarray, trainer: str, seeds: list[Run]) -> None:
  values = np.asarray([run.returns for run in seeds])
  style = STYLES[trainer]
  axis.plot(x, values.mean(axis=0), linewidth=1.4, label=TRAINERS[trainer].label, **style)
  interval = bootstrap_interval(values)
  if interval:
    axis.fill_between(x, interval.low, interval.high, color=style["color"], alpha=0.15, linewidth=0)
