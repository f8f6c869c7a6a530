"""Gradients through models of several steps: `python -m experiments.spectral --docs=docs` measures and draws.

Variance against the horizon through random networks, with and without spectral normalisation; variance and bias against
the horizon through learned models of the cart-pole. With `--learning` instead: RP-DP trained on the pendulum through 3
and 10 steps, with and without it, and surfaces of the objective; what lies in `--out` already is not trained again.
"""

import pathlib
import time
from collections.abc import Callable, Sequence

import jax
import numpy as np
from absl import flags
from matplotlib.figure import Figure

from gippo_jax.cli.console import console
from gippo_jax.errors import UserError
from gippo_jax.experiments.measurements import spectral_report as report
from gippo_jax.experiments.measurements.spectral import growth, learned_model, measure_cartpole, measure_random
from gippo_jax.experiments.tables.documents import markdown_table, replace_block, save_figure
from gippo_jax.learning import world_model
from gippo_jax.learning.world_model import ModelConfig, ModelState
from gippo_jax.plain import Plain
from gippo_jax.runs.files import write_json

_RANDOM_HORIZONS = (1, 3, 5, 8, 10, 15)
_HORIZONS = (1, 3, 5, 10, 20)
_TRANSITIONS = 16_384
_ROUNDS = 4

_SURFACE_SIZE = 31

_OUT = flags.DEFINE_string("out", "runs/spectral", "Folder for spectral.json, the table and the picture.")
_DOCS = flags.DEFINE_string("docs", None, "Documentation folder whose table and picture are renewed.")
_SAMPLES = flags.DEFINE_integer("samples", 256, "Gradients of each estimate.", lower_bound=2)
_TRUE_SAMPLES = flags.DEFINE_integer("true_samples", 4096, "Gradients of the truth.", lower_bound=2)
_STEPS = flags.DEFINE_integer("steps", 1000, "Gradient steps of a model, in each of four rounds.", lower_bound=1)
_LEARNING = flags.DEFINE_bool("learning", False, "The trainings, in the place of the variances.")
_SEEDS = flags.DEFINE_integer("seeds", 5, "--learning: trainings of each kind.")
_EPOCHS = flags.DEFINE_integer("epochs", 120, "--learning: epochs of a training, 128 environment steps each.")


def main(arguments: Sequence[str]) -> int:
  """Measures, writes and draws."""
  if len(arguments) > 1:
    raise UserError(f"python -m experiments.spectral: {arguments[1]!r} is not allowed; allowed: flags, see --help")
  for flag, allowed, is_allowed in (
    (_SEEDS, "an integer >= 2, for an interval", _SEEDS.value >= 2),
    (_EPOCHS, "a positive multiple of 15", _EPOCHS.value >= 15 and _EPOCHS.value % 15 == 0),
  ):
    if not is_allowed:
      raise UserError(f"--{flag.name}: {flag.value} is not allowed; allowed: {allowed}")
  out = pathlib.Path(_OUT.value)
  out.mkdir(parents=True, exist_ok=True)
  begin = time.perf_counter()
  if _LEARNING.value:
    found = report.measure_learning(out, _SEEDS.value, _EPOCHS.value, _SURFACE_SIZE, jax.random.key(0))
    figures = {"spectral_learning": report.draw_curves(found), "spectral_surfaces": report.draw_surfaces(found)}
    name, text = "spectral_learning", report.table(found)
  else:
    jax.config.update("jax_enable_x64", True)  # variances grow beyond float32
    found = measure_variances(jax.random.key(0))
    name, text, figures = "spectral", table(found), {"spectral": draw(found)}
  found |= {"versions": {"jax": jax.__version__}, "seconds": time.perf_counter() - begin}
  write_json(out / f"{name}.json", found)
  for picture, figure in figures.items():
    save_figure(figure, out, picture)
  if _DOCS.value:
    docs = pathlib.Path(_DOCS.value)
    for picture, figure in figures.items():
      save_figure(figure, docs / "images", picture)
    write_json(docs / f"{name}.json", found)
    replace_block(docs / "methods_learned_model.md", name.replace("_", " "), text)
  print(text)
  print(f"Files in {out}: {name}.json, {', '.join(f'{picture}.png' for picture in figures)}; {found['seconds']:.0f} s")
  return 0


def measure_variances(key: jax.Array) -> Plain:
  """Variances through random networks, and variances and biases through learned models of the cart-pole."""
  random_key, model_key, cartpole_key = jax.random.split(key, 3)
  random = measure_random(_RANDOM_HORIZONS, 5, _SAMPLES.value, random_key)
  losses, models = {}, {}
  for label, is_normalized in (("model", False), ("model, normalised", True)):
    config = ModelConfig(spectral_norm=is_normalized, num_steps=_STEPS.value, minibatch_size=256, capacity=_TRANSITIONS)
    state, losses[label] = learned_model(config, _TRANSITIONS, _ROUNDS, model_key)
    models[label] = _predictor(state, config)
  cartpole = measure_cartpole(_HORIZONS, models, _SAMPLES.value, _TRUE_SAMPLES.value, cartpole_key)
  return {"random": random, "cartpole": cartpole, "losses": losses}


def _predictor(state: ModelState, config: ModelConfig) -> Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
  return lambda obs, action: world_model.predict(state, config, obs, action)


def _by(rows: Sequence[Plain], name: str) -> dict[str, list[Plain]]:
  found: dict[str, list[Plain]] = {}
  for row in rows:
    found.setdefault(row[name], []).append(row)
  return found


def table(found: Plain) -> str:
  """Both measurements as Markdown."""
  lines = []
  for label, rows in _by(found["random"], "system").items():
    by_step, by_logarithm = growth(rows)
    numbers = [f"{row['variance']:.2g}" for row in rows]
    lines.append([label, *numbers, f"{np.exp(by_step):.2f}", f"{by_logarithm:.1f}"])
  header = ["random networks, variance at h =", *map(str, _RANDOM_HORIZONS), "factor a step", "power of h"]
  first = markdown_table(header, lines)
  lines = []
  for label, rows in _by(found["cartpole"], "model").items():
    for name, what in (("variance", "variance"), ("squared_bias", "squared bias")):
      if label != "simulator" or name == "variance":
        lines.append([f"{label}, {what}", *(f"{row[name]:.2g}" for row in rows)])
  second = markdown_table(["cart-pole, relative to the true gradient, h =", *map(str, _HORIZONS)], lines)
  losses = "; ".join(f"{label} {loss:.2g}" for label, loss in found["losses"].items())
  return f"{first}\n{second}\nLoss of the models on transitions that they were not fitted to: {losses}.\n"


def draw(found: Plain) -> Figure:
  """Variance through random networks, variance and bias through learned models, against the horizon."""
  figure = Figure(figsize=(12.0, 3.6), layout="constrained")
  left, middle, right = figure.subplots(1, 3)
  for label, rows in _by(found["random"], "system").items():
    left.plot([row["horizon"] for row in rows], [row["variance"] for row in rows], marker="o", label=label)
  for label, rows in _by(found["cartpole"], "model").items():
    horizons = [row["horizon"] for row in rows]
    middle.plot(horizons, [row["variance"] for row in rows], marker="o", label=label)
    if label != "simulator":
      right.plot(
        horizons, [row["squared_bias"] for row in rows], marker="o", label=label, color=f"C{len(right.lines) + 1}"
      )
  titles = ("random networks: variance", "cart-pole: variance / |gradient|^2", "cart-pole: squared bias / |gradient|^2")
  for axis, title in zip((left, middle, right), titles, strict=True):
    axis.set(title=title, xlabel="steps", yscale="log")
    axis.grid(alpha=0.3)
    axis.legend(fontsize="x-small")
  return figure


if __name__ == "__main__":
  console(main)
