"""Performance profiles of a table whose algorithms are compared with each other."""

from matplotlib.figure import Figure

from gippo_jax.experiments.tables.comparison import THRESHOLDS, profiles
from gippo_jax.experiments.tables.family import in_order, label_of
from gippo_jax.experiments.tables.figure_curves import style_of
from gippo_jax.experiments.tables.results import Results


def draw_profiles(results: Results) -> Figure:
  """Share of runs against the least score, on each problem's scale; the band is the 95 % bootstrap interval."""
  found = profiles(results)
  names = in_order(found)
  figure = Figure(figsize=(7.0, 4.2), layout="constrained")
  axis = figure.subplots()
  for name in names:
    style = style_of(name, names)
    axis.plot(THRESHOLDS, found[name].share, label=label_of(name), linewidth=1.6, **style)
    interval = found[name].interval
    if interval is not None:
      axis.fill_between(THRESHOLDS, interval.low, interval.high, color=style["color"], alpha=0.08, linewidth=0)
  axis.set(
    xlabel="least score, on a scale with a tenth of a problem's runs below 0 and a tenth above 1",
    ylabel="share of the runs that reach it",
    ylim=(-0.02, 1.02),
  )
  axis.grid(alpha=0.3)
  figure.legend(loc="outside right center", frameon=False, fontsize="small")
  return figure
