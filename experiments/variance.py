"""The variance laboratory: `python -m experiments.variance --docs=docs` measures and draws it (within a minute).

Reparameterised and score-function gradients of Gaussian expectations: closed forms beside measured variances on a
quadratic, Bayesian logistic and Poisson regression and a funnel, and how they grow with the dimension.
"""

import pathlib
import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gippo_jax.cli.console import console
from gippo_jax.errors import UserError
from gippo_jax.experiments.measurements import variance_models as models
from gippo_jax.experiments.measurements.variance_fitting import ESTIMATORS, ascend
from gippo_jax.experiments.measurements.variance_theory import Integrand, Quadratic, Variances, measure, taylor, theory
from gippo_jax.experiments.tables.documents import docs_folder, markdown_table, replace_block, save_figure
from gippo_jax.experiments.tables.figure_curves import STYLES
from gippo_jax.plain import Plain
from gippo_jax.runs.files import write_json
from gippo_jax.runs.lock import locked

_DIMENSIONS = (1, 4, 16, 64, 256)
_LABELS = {"pathwise": "reparameterised", "score": "score function", "controlled": "score, control variate"}
_STYLES = {"pathwise": STYLES["rp"], "score": STYLES["lr"], "controlled": STYLES["lrp"]}

_DOCUMENT = "methods_variance.md"

_OUT = flags.DEFINE_string("out", "runs/variance", "Folder for variance.json and the picture.")
_DOCS = flags.DEFINE_string("docs", None, "Documentation folder whose table and picture are renewed.")
_DRAWS = flags.DEFINE_integer("draws", 200_000, "Draws of a measurement.", lower_bound=1000)


def main(arguments: Sequence[str]) -> int:
  """Measures, writes and draws."""
  if len(arguments) > 1:
    raise UserError(f"python -m experiments.variance: {arguments[1]!r} is not allowed; allowed: flags, see --help")
  docs = docs_folder(_DOCS.value, _DOCUMENT, "variance")
  jax.config.update("jax_enable_x64", True)
  out = pathlib.Path(_OUT.value)
  with locked(out, "--out"):
    begin = time.perf_counter()
    rows, traces = measure_all(jax.random.key(0), _DRAWS.value)
    found: Plain = {
      "rows": rows,
      "dimensions": measure_dimensions(jax.random.key(1), _DRAWS.value),
      "traces": traces,
      "draws": _DRAWS.value,
      "versions": {"jax": jax.__version__},
    }
    found["seconds"] = time.perf_counter() - begin
    write_json(out / "variance.json", found)
    figure, text = draw(found), table(found)
    save_figure(figure, out, "variance")
    if docs:
      save_figure(figure, docs / "images", "variance")
      write_json(docs / "variance.json", found)
      replace_block(docs / _DOCUMENT, "variance", text)
    print(text)
    print(f"Files in {out}: variance.json, variance.png, variance.svg; {found['seconds']:.0f} s")
  return 0


def measure_all(key: jax.Array, num_draws: int) -> tuple[list[Plain], Plain]:
  """Rows of all problems, and the bounds of the Poisson regression's ascents."""
  keys = jax.random.split(key, 10)
  rows = []
  size = 5
  curvature = jax.random.normal(keys[0], (size, size))
  quadratic = Quadratic(jnp.asarray(3.0), jax.random.normal(keys[1], (size,)), curvature + curvature.T)
  mean, std = jnp.ones(size), jnp.exp(0.5 * jax.random.normal(keys[2], (size,)))
  rows.append(_row("quadratic, 5 dimensions", quadratic.integrand(mean), mean, std, keys[3], num_draws))

  for name, log_joint, size, fit_key in (
    ("logistic regression", models.logistic(models.draw_logistic(keys[4])), 10, keys[5]),
    ("Poisson regression", models.poisson(models.draw_poisson(keys[6])), 5, keys[7]),
    ("funnel", models.funnel, 10, keys[8]),
  ):
    start = jnp.zeros(size), jnp.full(size, jnp.exp(-1.0))
    fitted = ascend(log_joint, "pathwise", size, fit_key, num_steps=3000, num_draws=16)[:2]
    for place, (mean, std) in (("start", start), ("fitted", fitted)):
      for words, integrand in (("log p", log_joint), ("log p - log q", models.with_entropy(log_joint, mean, std))):
        rows.append(_row(f"{name}, {place}, {words}", integrand, mean, std, keys[9], num_draws))

  log_joint = models.poisson(models.draw_poisson(keys[6]))
  traces = {estimator: ascend(log_joint, estimator, 5, keys[7], num_steps=4000)[2].tolist() for estimator in ESTIMATORS}
  return rows, traces


def _row(name: str, f: Integrand, mean: jax.Array, std: jax.Array, key: jax.Array, num_draws: int) -> Plain:
  expected, measured = theory(taylor(f, mean), std), measure(f, mean, std, key, num_draws)
  return {"problem": name, "theory": _plain(expected), "measured": _plain(measured)}


def _plain(variances: Variances) -> Plain:
  return {
    name: {"mean": marginals.mean.tolist(), "std": marginals.std.tolist()}
    for name, marginals in variances._asdict().items()
  }


def measure_dimensions(key: jax.Array, num_draws: int) -> list[Plain]:
  """A separable quadratic, `f = sum_i (z_i + z_i^2 / 2)`, at the mean 0 and standard deviation 1."""
  rows = []
  for size in _DIMENSIONS:
    quadratic = Quadratic(jnp.zeros(()), jnp.ones(size), jnp.eye(size))
    mean, std = jnp.zeros(size), jnp.ones(size)
    measured = measure(quadratic.integrand(mean), mean, std, key, num_draws)
    expected = theory(quadratic, std)
    rows.append({"dimension": size, "theory": _plain(expected), "measured": _plain(measured)})
  return rows


def table(found: Plain) -> str:
  """Medians over the coordinates: measured, and the closed form of the second-order expansion in brackets."""
  header = ["variance by the mean, median over coordinates", *_LABELS.values()]
  rows = []
  for row in found["rows"]:
    cells = [
      f"{np.median(row['measured'][name]['mean']):.3g} ({np.median(row['theory'][name]['mean']):.3g})"
      for name in _LABELS
    ]
    rows.append([row["problem"], *cells])
  return markdown_table(header, rows)


def draw(found: Plain) -> Figure:
  """Measured beside theory, growth with the dimension, and the bound along an ascent."""
  figure = Figure(figsize=(12.0, 3.6), layout="constrained")
  left, middle, right = figure.subplots(1, 3)
  _draw_agreement(left, found["rows"][0])
  sizes = [row["dimension"] for row in found["dimensions"]]
  for name, label in _LABELS.items():
    measured = [np.median(row["measured"][name]["mean"]) for row in found["dimensions"]]
    expected = [np.median(row["theory"][name]["mean"]) for row in found["dimensions"]]
    middle.plot(sizes, expected, label=label, **_STYLES[name])
    middle.plot(sizes, measured, color=_STYLES[name]["color"], marker="o", markersize=4, linestyle="none")
  middle.set(
    title="separable quadratic", xscale="log", yscale="log", xlabel="dimensions", ylabel="variance by the mean"
  )
  best = max(max(trace) for trace in found["traces"].values())
  for name, label in _LABELS.items():
    smoothed = np.convolve(best - np.asarray(found["traces"][name]), np.full(50, 0.02), mode="valid")
    right.plot(smoothed, label=label, **_STYLES[name])
  right.set(title="Poisson regression", xlabel="step of Adam", ylabel="bound below the best seen", yscale="log")
  for axis in (left, middle, right):
    axis.grid(alpha=0.3)
    axis.legend(fontsize="x-small")
  return figure


def _draw_agreement(axis: Axes, row: Plain) -> None:
  """Every marginal variance of the quadratic, measured against the closed form."""
  everything = []
  for name, label in _LABELS.items():
    expected = np.concatenate([row["theory"][name][part] for part in ("mean", "std")])
    measured = np.concatenate([row["measured"][name][part] for part in ("mean", "std")])
    axis.plot(expected, measured, "o", color=_STYLES[name]["color"], markersize=4, label=label)
    everything += [*expected, *measured]
  ends = [min(everything), max(everything)]
  axis.plot(ends, ends, color="#999999", linewidth=0.8)
  axis.set(title="quadratic", xscale="log", yscale="log", xlabel="closed form", ylabel="measured variance")


if __name__ == "__main__":
  console(main)
