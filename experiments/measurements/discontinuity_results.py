"""What the descents on problems with jumps end at: measured, as tables and as a picture."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gippo_jax.envs.discontinuities import BallOverWall, MomentumTransfer
from gippo_jax.experiments.measurements.discontinuity_chaos import chaos_table, draw_chaos, measure_chaos
from gippo_jax.experiments.measurements.discontinuity_problems import (
  NUM_SAMPLES,
  Asked,
  Setting,
  asked,
  rules_of_cost,
  smoothed_optimum,
)
from gippo_jax.experiments.tables.documents import markdown_table
from gippo_jax.experiments.tables.figure_curves import STYLES
from gippo_jax.plain import Plain

# Of the picture, by the first words of a rule's name.
_STYLES = {
  "first order": STYLES["rp"],
  "zeroth order": STYLES["lr"],
  "inverse variance": STYLES["ppo"],
  "AoBG": STYLES["tp"],
  "DDCG": STYLES["gippo"],
}
_DRAWN_POINTS = 100


def measure_ends(problems: dict[str, Setting], runs: Sequence[Asked], key: jax.Array) -> list[Plain]:
  """A row for each run on a problem of one angle: the ends' absolute values, and the mean cost along the way."""
  rows: list[Plain] = []
  for index, run in enumerate(runs):
    found = problems[run.problem].descend(run.estimator, run.num_samples, jax.random.fold_in(key, index))
    ends = np.abs(np.asarray(found.points[:, 0], float))
    rows.append(
      {
        "problem": run.problem,
        "samples": run.num_samples,
        "rule": run.label,
        "end": float(ends.mean()),
        "deviation": float(ends.std(ddof=1)),
        "median": float(np.median(ends)),
        "weight": float(np.mean(found.weights)),
        "asked": run.end,
        "asked_weight": run.weight,
        "plotted": run.plotted,
      }
    )
  return rows


def measure_costs(problems: dict[str, Setting], names: Sequence[str], key: jax.Array) -> list[Plain]:
  """A row for each rule on the problems that are judged by their cost."""
  rows: list[Plain] = []
  for name in names:
    for index, (label, rule) in enumerate(rules_of_cost(name).items()):
      found = problems[name].descend(rule, NUM_SAMPLES[name], jax.random.fold_in(key, index))
      costs = np.asarray(found.costs, float)
      steps = np.unique(np.linspace(0, costs.shape[1] - 1, _DRAWN_POINTS).astype(int))
      rows.append(
        {
          "problem": name,
          "rule": label,
          "begin": float(costs[:, 0].mean()),
          "cost": float(costs[:, -1].mean()),
          "deviation": float(costs[:, -1].std(ddof=1)) if len(costs) > 1 else None,
          "weight": float(np.mean(found.weights)),
          "steps": steps.tolist(),
          "curve": costs[:, steps].mean(axis=0).tolist(),
        }
      )
  return rows


def optima() -> Plain:
  """The best angles of the two smoothed problems of one angle, rad."""
  return {"ball": smoothed_optimum(BallOverWall(), 0.1), "momentum": smoothed_optimum(MomentumTransfer(), 0.02)}


def measure(problems: dict[str, Setting], costs: Sequence[str], key: jax.Array) -> Plain:
  """All of it."""
  ends_key, costs_key = jax.random.split(key)
  chaos_key = jax.random.fold_in(key, 2)
  return {
    "optima": optima(),
    "ends": measure_ends(problems, asked(), ends_key),
    "costs": measure_costs(problems, costs, costs_key),
    "chaos": measure_chaos(chaos_key),
    "versions": {"jax": jax.__version__},
  }


def agrees(row: Plain) -> bool:
  """Whether an end is within two deviations of a trial of the one that is asked for."""
  return row["asked"] is not None and abs(row["end"] - row["asked"]) <= 2.0 * row["deviation"]


def tables(found: Plain, problems: dict[str, Setting]) -> str:
  """The three tables in Markdown."""
  ends = [
    [
      problems[row["problem"]].label,
      str(row["samples"]),
      row["rule"],
      f"{row['end']:.4f} +- {row['deviation']:.4f} ({row['median']:.4f})",
      _number(row["asked"]) if row["asked"] is None or agrees(row) else f"{_number(row['asked'])}, beyond",
      _number(row["plotted"]),
      f"{row['weight']:.2f}",
      "" if row["asked_weight"] is None else f"{row['asked_weight']:.2f}",
    ]
    for row in found["ends"]
  ]
  costs = [
    [
      problems[row["problem"]].label,
      row["rule"],
      f"{row['begin']:.1f}",
      f"{row['cost']:.1f}" + ("" if row["deviation"] is None else f" +- {row['deviation']:.1f}"),
      f"{row['weight']:.2f}",
    ]
    for row in found["costs"]
  ]
  best = ", ".join(f"{problems[name].label} {angle:.4f}" for name, angle in found["optima"].items())
  return (
    f"Best angles under the noise, by quadrature: {best}.\n\n"
    + markdown_table(
      ["problem", "samples", "rule", "end (median)", "known", "in the paper's plot", "weight", "known weight"], ends
    )
    + "\n"
    + markdown_table(["problem", "rule", "cost at first", "cost at the end", "weight"], costs)
    + "\n"
    + chaos_table(found["chaos"])
  )


def _number(value: float | None) -> str:
  return "" if value is None else f"{value:.4f}"


def draw(found: Plain, problems: dict[str, Setting]) -> Figure:
  """The two costs of one angle with the ends, the costs of the others along the descent, and variances under chaos."""
  names = list(dict.fromkeys(row["problem"] for row in found["costs"]))
  num_panels = 3 + len(names)
  figure = Figure(figsize=(4.2 * -(-num_panels // 2), 6.8), layout="constrained")
  panels = figure.subplots(2, -(-num_panels // 2), squeeze=False).ravel()
  for axis in panels[num_panels:]:
    axis.set_visible(False)
  _draw_angle(panels[0], found, "ball", BallOverWall(), 1000, problems)
  _draw_angle(panels[1], found, "momentum_small", MomentumTransfer(), 50, problems)
  draw_chaos(panels[num_panels - 1], found["chaos"])
  for axis, name in zip(panels[2:], names, strict=False):
    for row in found["costs"]:
      if row["problem"] == name and row["rule"].partition(", c")[2] in ("", " = 0.3"):
        axis.plot(row["steps"], row["curve"], label=row["rule"], **style_of(row["rule"]))
    axis.set(xlabel="step", ylabel="cost without noise")
    axis.set_title(problems[name].label, fontsize="small")
    axis.grid(alpha=0.3)
    axis.legend(fontsize="x-small")
  return figure


def style_of(rule: str) -> Plain:
  """Colour and dashes of a rule."""
  return next(style for name, style in _STYLES.items() if rule.startswith(name))


def _draw_angle(
  axis: Axes,
  found: Plain,
  name: str,
  env: BallOverWall | MomentumTransfer,
  num_samples: int,
  problems: dict[str, Setting],
) -> None:
  angles = np.linspace(0.0, 1.2, 600)
  costs = np.asarray(jax.vmap(env.cost)(jnp.asarray(angles)))
  axis.plot(angles, costs, color="#999999", linewidth=1.0, label="cost")
  axis.axvline(
    found["optima"][name.removesuffix("_small")], color="#999999", linestyle=":", label="best under the noise"
  )
  rows = [row for row in found["ends"] if row["problem"] == name and row["samples"] == num_samples]
  for index, row in enumerate(rows):
    height = costs.min() + (index + 1.0) / (len(rows) + 1.0) * (costs.max() - costs.min())
    color = style_of(row["rule"])["color"]
    axis.errorbar(row["end"], height, xerr=row["deviation"], marker="o", markersize=4, color=color, capsize=3)
    axis.annotate(row["rule"], (row["end"], height), (4, 3), textcoords="offset points", fontsize="xx-small")
  axis.set(xlabel="angle (rad)", ylabel="cost")
  axis.set_title(f"{problems[name].label}: ends, {num_samples} samples", fontsize="small")
  axis.legend(fontsize="x-small")
