"""What the trainings with and without spectral normalisation come to: numbers, a table, and two pictures."""

import json
import pathlib
import time
from collections.abc import Sequence

import jax
import numpy as np
from matplotlib.figure import Figure

from gippo_jax.experiments.measurements.spectral import RANDOM_SYSTEMS
from gippo_jax.experiments.measurements.spectral_learning import (
  Case,
  config_of,
  learn,
  learned_surface,
  objective_of,
  pendulum,
  random_surface,
  relative_variance,
  roughness,
)
from gippo_jax.experiments.tables.documents import markdown_table
from gippo_jax.plain import Plain
from gippo_jax.runs.files import write_json
from gippo_jax.runs.statistics import Interval, bootstrap_interval

CASES = (Case(3, False), Case(3, True), Case(10, False), Case(10, True))
_HORIZONS = (3, 10, 30)
_RANDOM_HORIZONS = (3, 15)
_LOOKS = 15
_LAST_LOOKS = 3
_VARIANCE_STARTS = 256
_SURFACE_STARTS = 64
_STEPS_PER_EPOCH = 128


def measure_learning(folder: pathlib.Path, num_seeds: int, num_epochs: int, size: int, key: jax.Array) -> Plain:
  """Trains all cases, and looks at the objective around where the first seed of each ends.

  Args:
    folder: where each case is kept once it is done; one that is there is not trained again.
    num_seeds: trainings of a case.
    num_epochs: a multiple of 15.
    size: points along a surface's side.
    key: of all draws; the cases have the same ones.
  """
  train_key, look_key, random_key = jax.random.split(key, 3)
  settings = {"num_seeds": num_seeds, "num_epochs": num_epochs, "size": size, "jax": jax.__version__}
  rows = []
  for case in CASES:
    kept = folder / f"learning_{case.horizon}_{'normalised' if case.is_normalized else 'plain'}.json"
    row = json.loads(kept.read_text()) if kept.exists() else {}
    if row.get("settings") != settings:
      begin = time.perf_counter()
      row = _measure_case(case, num_seeds, num_epochs, size, train_key, look_key)
      row |= {"settings": settings, "seconds": time.perf_counter() - begin}
      write_json(kept, row)
    rows.append(row)
  surfaces = []
  for index in (0, len(RANDOM_SYSTEMS) - 1):
    for horizon in _RANDOM_HORIZONS:
      surface = random_surface(RANDOM_SYSTEMS[index], horizon, size, random_key)
      surfaces.append(
        {"system": RANDOM_SYSTEMS[index].label, "horizon": horizon}
        | {"surface": _rounded(surface), "roughness": roughness(surface)}
      )
  return {"rows": rows, "surfaces": surfaces} | settings


def _measure_case(
  case: Case, num_seeds: int, num_epochs: int, size: int, train_key: jax.Array, look_key: jax.Array
) -> Plain:
  env, config = pendulum(), config_of(case, num_epochs)
  states, found = learn(env, config, num_seeds, num_epochs, _LOOKS, train_key)
  first = jax.tree.map(lambda leaf: leaf[0], states)
  variances = {
    str(horizon): relative_variance(objective_of(env, config, first, horizon, _VARIANCE_STARTS, look_key))
    for horizon in _HORIZONS
  }
  surface = learned_surface(objective_of(env, config, first, case.horizon, _SURFACE_STARTS, look_key), size, look_key)
  return (
    {"horizon": case.horizon, "normalized": case.is_normalized, "label": case.label, "variances": variances}
    | {name: value.tolist() for name, value in found.items()}
    | {"surface": _rounded(surface), "roughness": roughness(surface)}
  )


def _rounded(surface: np.ndarray) -> list[list[float]]:
  return [[float(f"{value:.5g}") for value in row] for row in surface]


def last_returns(row: Plain) -> np.ndarray:
  """Mean of the last three evaluations of each seed."""
  return np.mean(np.asarray(row["return"])[:, -_LAST_LOOKS:], axis=1)


def _interval(scores: np.ndarray) -> Interval:
  found = bootstrap_interval(scores)
  assert found is not None
  return found


def table(found: Plain) -> str:
  """Trainings as a Markdown table."""
  header = [
    "RP-DP on the pendulum",
    "last return",
    "95 % interval",
    "seeds above -300",
    "loss of the model",
    "length of the actor's gradient",
    *(f"relative variance at h = {horizon}" for horizon in _HORIZONS),
    "roughness",
  ]
  lines = []
  for row in found["rows"]:
    returns = last_returns(row)
    interval = _interval(returns)
    lines.append(
      [
        row["label"],
        f"{returns.mean():.0f}",
        f"{interval.low:.0f} to {interval.high:.0f}",
        f"{int(np.sum(returns > -300.0))} of {len(returns)}",
        f"{np.mean(np.asarray(row['model_loss'])[:, -1]):.2g}",
        f"{np.mean(row['gradient_norm']):.2g}",
        *(f"{row['variances'][str(horizon)]:.2g}" for horizon in _HORIZONS),
        f"{row['roughness']:.2g}",
      ]
    )
  return markdown_table(header, lines)


def draw_curves(found: Plain) -> Figure:
  """Returns of the mean action against environment steps, with intervals; lengths of the gradients."""
  figure = Figure(figsize=(9.0, 3.6), layout="constrained")
  left, right = figure.subplots(1, 2)
  for index, row in enumerate(found["rows"]):
    style = {"color": f"C{index // 2}", "linestyle": "--" if row["normalized"] else "-", "label": row["label"]}
    returns = np.asarray(row["return"])
    looks = returns.shape[1]
    steps = np.arange(1, looks + 1) * found["num_epochs"] / looks * _STEPS_PER_EPOCH
    interval = _interval(returns)
    left.plot(steps, returns.mean(axis=0), **style)
    left.fill_between(steps, interval.low, interval.high, color=style["color"], alpha=0.15)
    right.plot(steps, np.mean(row["gradient_norm"], axis=0), **style)
  left.set(title="return of the mean action", xlabel="environment steps")
  right.set(title="length of the actor's gradient", xlabel="environment steps", yscale="log")
  for axis in (left, right):
    axis.grid(alpha=0.3)
  left.legend(fontsize="x-small")
  return figure


def draw_surfaces(found: Plain) -> Figure:
  """Objectives around the policies' parameters, random networks above, trained ones below."""
  panels: list[tuple[str, Sequence[Sequence[float]], float]] = [
    (f"{row['system'].partition(',')[0]}\nh = {row['horizon']}", row["surface"], row["roughness"])
    for row in found["surfaces"]
  ]
  panels += [(f"pendulum\n{row['label']}", row["surface"], row["roughness"]) for row in found["rows"]]
  figure = Figure(figsize=(12.0, 6.2), layout="constrained")
  for axis, (title, surface, rough) in zip(figure.subplots(2, 4).ravel(), panels, strict=True):
    image = axis.imshow(np.asarray(surface), origin="lower", extent=(-1, 1, -1, 1), cmap="viridis")
    figure.colorbar(image, ax=axis, shrink=0.8, format="%.2g")
    axis.set_title(f"{title}\nroughness {rough:.2g}", fontsize="small")
    axis.set(xticks=(-1, 0, 1), yticks=(-1, 0, 1))
  return figure
