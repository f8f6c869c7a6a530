"""Gradients at jumps: `python -m experiments.discontinuities --docs=docs` measures and draws (some minutes).

Descent by first-order, zeroth-order and mixed estimates (inverse variance, AoBG, DDCG) on the problems of Suh et al.,
"Do Differentiable Simulators Give Better Policy Gradients?", ICML 2022.
"""

import pathlib
import time
from collections.abc import Sequence

import jax
from absl import flags

from gippo_jax.cli.console import chosen, console
from gippo_jax.errors import UserError
from gippo_jax.experiments.measurements.discontinuity_problems import NUM_SAMPLES, settings
from gippo_jax.experiments.measurements.discontinuity_results import draw, measure, tables
from gippo_jax.experiments.tables.documents import replace_block, save_figure
from gippo_jax.runs.files import write_json

_OUT = flags.DEFINE_string("out", "runs/discontinuities", "Folder for discontinuities.json, the table and the picture.")
_DOCS = flags.DEFINE_string("docs", None, "Documentation folder whose table and picture are renewed.")
_COSTS = flags.DEFINE_list("costs", None, "Problems judged by their cost, of soft, stiff, friction, tennis; all.")
_TRIALS = flags.DEFINE_integer("trials", None, "Descents of each; 20 of an angle, 5 of forces, 1 of tennis.")


def main(arguments: Sequence[str]) -> int:
  """Measures, writes and draws."""
  if len(arguments) > 1:
    raise UserError(f"python -m experiments.discontinuities: {arguments[1]!r} is not allowed; allowed: flags")
  if _TRIALS.value is not None and _TRIALS.value < 2:
    raise UserError(f"--trials: {_TRIALS.value} is not allowed; allowed: at least 2, for a spread")
  costs = chosen(_COSTS.value, list(NUM_SAMPLES), "costs")
  begin = time.perf_counter()
  problems = settings()
  if _TRIALS.value:
    problems = {name: setting._replace(num_trials=_TRIALS.value) for name, setting in problems.items()}
  found = measure(problems, costs, jax.random.key(0))
  found["seconds"] = time.perf_counter() - begin
  text = tables(found, problems)
  out = pathlib.Path(_OUT.value)
  out.mkdir(parents=True, exist_ok=True)
  write_json(out / "discontinuities.json", found)
  save_figure(draw(found, problems), out, "discontinuities")
  if _DOCS.value:
    docs = pathlib.Path(_DOCS.value)
    write_json(docs / "discontinuities.json", found)
    save_figure(draw(found, problems), docs / "images", "discontinuities")
    replace_block(docs / "discontinuities.md", "discontinuities", text)
  print(text)
  print(f"Files in {out}: discontinuities.json, discontinuities.png, discontinuities.svg; {found['seconds']:.0f} s")
  return 0


if __name__ == "__main__":
  console(main)
