"""Pictures of gradients: their growth with the horizon, and the determinants beside their variance."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from gippo_jax.experiments.tables.problems import PHYSICS
from gippo_jax.plain import Plain

# Okabe and Ito's colours, with line styles and markers for those who print in grey.
_STYLES = {
  "closed form": {"color": "#000000", "linestyle": "-", "marker": "o"},
  "spring": {"color": "#0072B2", "linestyle": "-", "marker": "s"},
  "generalized": {"color": "#D55E00", "linestyle": "--", "marker": "^"},
  "mjx": {"color": "#009E73", "linestyle": "-.", "marker": "D"},
  "positional": {"color": "#CC79A7", "linestyle": ":", "marker": "v"},
}
_DETERMINANTS = {"largest": "max", "mean": "mean", "smallest": "min"}
_DETERMINANT_COLORS = ("#D55E00", "#000000", "#0072B2")


def draw_horizons(rows: Sequence[Plain]) -> Figure:
  """Median norm (top) and variance (bottom) of the gradient by the first action against the horizon.

  Args:
    rows: of `measurements.gradient_horizon`, with `system` and `backend`.
  """
  rows = [row for row in rows if "failed" not in row]
  figure, columns = _columns(rows, height=5.6)
  for (upper, lower), system in zip(columns.T, _systems(rows), strict=True):
    for row in sorted(
      (row for row in rows if row["system"] == system), key=lambda row: list(_STYLES).index(row["backend"])
    ):
      for axis, metric in ((upper, "median_norm"), (lower, "variance")):
        values = np.asarray(row[metric], float)
        axis.plot(row["horizons"], values, label=row["backend"], markersize=4, **_STYLES[row["backend"]])
    for axis in (upper, lower):
      axis.set_yscale("log")
      axis.set_xticks([1, 16, 32, 48, 64])
    lower.set_xlabel("horizon (steps)")
  columns[0, 0].set_ylabel("gradient norm\n(median of the windows)")
  columns[1, 0].set_ylabel("gradient variance\n(trace of the covariance)")
  entries = {
    label: handle for axis in columns[0] for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
  }
  figure.legend(
    entries.values(), entries.keys(), loc="outside lower center", ncols=len(entries), frameon=False, fontsize="small"
  )
  return figure


def draw_determinants(rows: Sequence[Plain]) -> Figure:
  """Variance of the advantage gradient (top) and determinants (bottom) over epochs (the paper's Figure 4).

  Args:
    rows: of `measurements.gradient_determinant`, with `system`.
  """
  figure, columns = _columns(rows, height=5.0)
  by_system = {row["system"]: row for row in rows}
  for (upper, lower), system in zip(columns.T, _systems(rows), strict=True):
    row = by_system[system]
    variance = np.asarray(row["advantage_gradient_variance"], float)
    epochs = np.arange(1, len(variance) + 1)
    upper.plot(epochs, variance, color="#000000", linewidth=1.0)
    upper.set_yscale("log")
    for (label, name), color in zip(_DETERMINANTS.items(), _DETERMINANT_COLORS, strict=True):
      determinants = np.asarray(row[f"alpha_{name}_determinant"], float)
      lower.plot(epochs, determinants, color=color, linewidth=1.0, label=label)
    lower.set_xlabel("epoch")
  columns[0, 0].set_ylabel("variance of the\nadvantage gradient")
  columns[1, 0].set_ylabel("estimated determinant")
  handles, labels = columns[1, 0].get_legend_handles_labels()
  figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize="small")
  return figure


def _systems(rows: Sequence[Plain]) -> list[str]:
  present = {row["system"] for row in rows}
  return [system for system in PHYSICS if system in present]


def _columns(rows: Sequence[Plain], height: float) -> tuple[Figure, np.ndarray]:
  """A figure of two rows, a column for each system."""
  systems = _systems(rows)
  figure = Figure(figsize=(3.4 * len(systems) + 0.8, height), layout="constrained")
  axes = figure.subplots(2, len(systems), squeeze=False, sharex="col")
  for axis, system in zip(axes[0], systems, strict=True):
    axis.set_title(PHYSICS[system].label, fontsize="medium")
  for axis in axes.ravel():
    axis.grid(alpha=0.3)
  return figure, axes
