"""Where derivatives explode: `python -m experiments.chaos --docs=docs` measures and draws it (a minute or two).

Variance of backpropagation (RP), the likelihood ratio (LR) and total propagation (TP) on a network of two units against
its gain, and on the cart-pole of PIPPS against the horizon.
"""

import pathlib
import time
from collections.abc import Sequence

import jax
import numpy as np
from absl import flags
from matplotlib.figure import Figure

from gippo_jax.cli.console import console
from gippo_jax.errors import UserError
from gippo_jax.experiments.measurements.chaos import landscape, measure_cartpole, measure_two_units
from gippo_jax.experiments.tables.documents import docs_folder, markdown_table, replace_block, save_figure
from gippo_jax.experiments.tables.figure_curves import STYLES
from gippo_jax.plain import Plain
from gippo_jax.runs.files import write_json
from gippo_jax.runs.lock import locked

_BETAS = (1.8, 2.0, 2.2, 2.4, 2.6, 2.8)
_HORIZONS = (5, 10, 20, 30)
_NOISE_SCALES = (1.0, 0.1)
# Of six random policies the one under which the pole swings over, and derivatives explode.
_POLICY = 2
_POLICIES = range(6)
_HORIZON_OF_POLICIES = 10

_DOCUMENT = "methods_total_propagation.md"

_OUT = flags.DEFINE_string("out", "runs/chaos", "Folder for chaos.json, the table and the picture.")
_DOCS = flags.DEFINE_string("docs", None, "Documentation folder whose table and picture are renewed.")
_PARTICLES = flags.DEFINE_integer("particles", None, "Particles; 1000 on the two units and 300 on the cart-pole.")
_HORIZON = flags.DEFINE_list("horizons", None, "Steps of the cart-pole; 5, 10, 20 and 30.")


def main(arguments: Sequence[str]) -> int:
  """Measures, writes and draws."""
  if len(arguments) > 1:
    raise UserError(f"python -m experiments.chaos: {arguments[1]!r} is not allowed; allowed: flags, see --help")
  horizons = _horizons()
  if _PARTICLES.value is not None and _PARTICLES.value < 2:
    raise UserError(f"--particles: {_PARTICLES.value} is not allowed; allowed: at least 2, for a variance")
  docs = docs_folder(_DOCS.value, _DOCUMENT, "chaos")
  jax.config.update("jax_enable_x64", True)
  out = pathlib.Path(_OUT.value)
  with locked(out, "--out"):
    begin = time.perf_counter()
    units_key, cartpole_key, landscape_key = jax.random.split(jax.random.key(0), 3)
    settings = [(_POLICY, scale, horizon) for scale in _NOISE_SCALES for horizon in horizons]
    others = [(policy, 1.0, _HORIZON_OF_POLICIES) for policy in _POLICIES if policy != _POLICY]
    rows = measure_cartpole([*settings, *others], cartpole_key, num_particles=_PARTICLES.value or 300)
    found: Plain = {
      "two_units": measure_two_units(_BETAS, units_key, num_particles=_PARTICLES.value or 1000),
      "cartpole": rows[: len(settings)],
      "policies": rows[len(settings) :],
      "landscape": landscape(2.4, 0.01, 201, landscape_key),
      "versions": {"jax": jax.__version__},
    }
    found["seconds"] = time.perf_counter() - begin
    write_json(out / "chaos.json", found)
    text = table(found)
    save_figure(draw(found), out, "chaos")
    if docs:
      save_figure(draw(found), docs / "images", "chaos")
      write_json(docs / "chaos.json", found)
      replace_block(docs / _DOCUMENT, "chaos", text)
    print(text)
    print(f"Files in {out}: chaos.json, chaos.png, chaos.svg; {found['seconds']:.0f} s")
  return 0


def _horizons() -> list[int]:
  try:
    horizons = [int(text) for text in _HORIZON.value or _HORIZONS]
  except ValueError:
    horizons = [0]
  if min(horizons) < 2:
    raise UserError(
      f"--horizons: {','.join(_HORIZON.value or [])} is not allowed; allowed: integers of at least 2, since one "
      "step has nothing to propagate"
    )
  return horizons


def table(found: Plain) -> str:
  """Both measurements as Markdown."""
  units = [[f"two units, gain {row['beta']:g}", *_variances(row)] for row in found["two_units"]]
  pole = [
    [f"cart-pole, noise times {row['noise']:g}, {row['horizon']} steps", *_variances(row)] for row in found["cartpole"]
  ]
  others = [
    [f"cart-pole, noise times 1, {row['horizon']} steps, policy {row['policy']}", *_variances(row)]
    for row in found["policies"]
  ]
  header = ["variance of a batch's gradient", "RP", "LR", "TP", "TP over the better"]
  return markdown_table(header, [*units, *pole, *others])


def _variances(row: Plain) -> list[str]:
  ratio = row["tp"] / min(row["rp"], row["lr"])
  return [*(f"{row[name]:.2g}" for name in ("rp", "lr", "tp")), f"{ratio:.2f}"]


def draw(found: Plain) -> Figure:
  """Variance against the gain and against the horizon, and the derivative around a gain."""
  figure = Figure(figsize=(12.0, 3.6), layout="constrained")
  left, middle, right = figure.subplots(1, 3)
  for name, label in (("rp", "RP"), ("lr", "LR"), ("tp", "TP")):
    left.plot(_column(found["two_units"], "beta"), _column(found["two_units"], name), label=label, **STYLES[name])
    for scale, marker in zip(_NOISE_SCALES, ("o", "s"), strict=True):
      rows = [row for row in found["cartpole"] if row["noise"] == scale]
      label_of_scale = f"{label}, noise times {scale:g}"
      middle.plot(
        _column(rows, "horizon"), _column(rows, name), label=label_of_scale, marker=marker, markersize=4, **STYLES[name]
      )
  for axis, title, label in ((left, "two units", "gain"), (middle, "cart-pole", "steps")):
    axis.set(title=title, xlabel=label, ylabel="variance of a batch's gradient", yscale="log")
    axis.grid(alpha=0.3)
    axis.legend(fontsize="x-small")
  around = found["landscape"]
  right.plot(around["beta"], around["cost"], color="#000000")
  right.set(title="two units: cost and its derivatives", xlabel="gain", ylabel="cost (black)")
  slopes = right.twinx()
  for name in ("rp", "tp"):
    slopes.plot(around["beta"], np.asarray(around[name]), linewidth=0.8, label=name.upper(), **STYLES[name])
  slopes.set_ylabel("estimated derivative")
  slopes.legend(fontsize="x-small")
  return figure


def _column(rows: list[Plain], name: str) -> list[float]:
  return [row[name] for row in rows]


if __name__ == "__main__":
  console(main)
