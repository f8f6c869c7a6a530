"""Optimism in policy optimisation: `python -m experiments.optimism --docs=docs` measures and draws it (two minutes).

Predictions of the next policy's action values in tabular mirror descent, their relatives in the policy's parameters,
and predictions that are learned by meta-gradients: on a maze and on problems of two states, evaluated exactly and from
episodes.
"""

import pathlib
import time
from collections.abc import Sequence

import jax
import numpy as np
from absl import flags
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gippo_jax.cli.console import console
from gippo_jax.errors import UserError
from gippo_jax.experiments.measurements import optimism_runs as runs
from gippo_jax.experiments.tables.documents import markdown_table, replace_block, save_figure
from gippo_jax.plain import Plain
from gippo_jax.runs.files import write_json

_SHOWN_RATES = (1.0, 20.0, 100.0)
_DRAWN_ADAPTIVE = ("momentum's strength", "table", "network", "table, bootstrap 16", "table, expert")
_DRAWN_STEPS = 60
# As in `figure_curves.STYLES`: Okabe and Ito's colours, and dashes for those who print in grey.
_STYLES = (
  {"color": "#000000", "linestyle": "-"},
  {"color": "#E69F00", "linestyle": "--"},
  {"color": "#0072B2", "linestyle": "-."},
  {"color": "#009E73", "linestyle": (0, (6, 2))},
  {"color": "#CC79A7", "linestyle": (0, (1, 1))},
  {"color": "#D55E00", "linestyle": (0, (4, 1, 1, 1))},
  {"color": "#56B4E9", "linestyle": (0, (8, 2, 2, 2))},
  {"color": "#8C2D04", "linestyle": (0, (2, 1))},
  {"color": "#999999", "linestyle": (0, (10, 2))},
)

_OUT = flags.DEFINE_string("out", "runs/optimism", "Folder for optimism.json and the picture.")
_DOCS = flags.DEFINE_string("docs", None, "Documentation folder whose tables and picture are renewed.")
_SEEDS = flags.DEFINE_integer("seeds", 10, "Seeds of the runs that learn from episodes.")
_EPISODES = flags.DEFINE_integer("episodes", 32, "Episodes of an evaluation.")


def main(arguments: Sequence[str]) -> int:
  """Measures, writes and draws."""
  if len(arguments) > 1:
    raise UserError(f"python -m experiments.optimism: {arguments[1]!r} is not allowed; allowed: flags, see --help")
  for flag, minimum, reason in ((_SEEDS, 2, ", for an interval"), (_EPISODES, 1, "")):
    if flag.value < minimum:
      raise UserError(f"--{flag.name}: {flag.value} is not allowed; allowed: an integer >= {minimum}{reason}")
  jax.config.update("jax_enable_x64", True)
  begin = time.perf_counter()
  network_key, episodes_key = jax.random.split(jax.random.key(0))
  found: Plain = {
    "maze": runs.measure_maze(),
    "two_states": runs.measure_two_states(),
    "logits": runs.measure_ascents(),
    "adaptive": runs.measure_adaptive(network_key),
    "sampled": runs.measure_sampled(episodes_key, _SEEDS.value, _EPISODES.value),
    "seeds": _SEEDS.value,
    "episodes": _EPISODES.value,
    "versions": {"jax": jax.__version__},
  }
  found["seconds"] = time.perf_counter() - begin
  out = pathlib.Path(_OUT.value)
  out.mkdir(parents=True, exist_ok=True)
  write_json(out / "optimism.json", found)
  figure, texts = draw(found), tables(found)
  save_figure(figure, out, "optimism")
  if _DOCS.value:
    docs = pathlib.Path(_DOCS.value)
    save_figure(figure, docs / "images", "optimism")
    write_json(docs / "optimism.json", found)
    for name, text in texts.items():
      replace_block(docs / "methods_optimism.md", f"optimism {name}", text)
  print("\n".join(texts.values()))
  print(f"Files in {out}: optimism.json, optimism.png, optimism.svg; {found['seconds']:.0f} s")
  return 0


def tables(found: Plain) -> dict[str, str]:
  """Tables by the name of their block."""
  return {
    "maze": _maze_table(found["maze"]),
    "two states": _two_state_table(found["two_states"]),
    "logits": markdown_table(
      ["ascent on the logits", "steps / regret"], [[row["method"], _cell(row)] for row in found["logits"]]
    ),
    "adaptive": _adaptive_table(found["adaptive"]),
    "sampled": _sampled_table(found["sampled"]),
  }


def _maze_table(rows: list[Plain]) -> str:
  header = ["maze: steps / regret until the gap is below 0.001", "a step costs", *(f"rate {x:g}" for x in _SHOWN_RATES)]
  cells = [
    [row["prediction"], row["cost"], *(_cell(run) for run in row["runs"] if run["rate"] in _SHOWN_RATES)]
    for row in rows
  ]
  return markdown_table(header, cells)


def _two_state_table(rows: list[Plain]) -> str:
  labels = [name for name in rows[0] if name != "prediction"]
  header = ["two states: steps / regret until the gap is below 0.0001", *labels]
  return markdown_table(header, [[row["prediction"], *(_cell(row[label]) for label in labels)] for row in rows])


def _adaptive_table(rows: list[Plain]) -> str:
  header = [
    "what is learned",
    "inner step",
    "best meta-rate",
    "steps / regret",
    "nothing learned",
    "meta-rates that help",
  ]
  cells = []
  for row in rows:
    best, without = row["runs"][row["best"]], row["runs"][0]
    helping = [f"{run['meta_rate']:g}" for run in row["runs"] if run["regret"] < 0.95 * without["regret"]]
    span = f"{helping[0]} to {helping[-1]}" if helping else "none"
    cells.append([row["rule"], row["inner"], f"{best['meta_rate']:g}", _cell(best), _cell(without), span])
  return markdown_table(header, cells)


def _sampled_table(rows: list[Plain]) -> str:
  header = [
    "from episodes",
    "lambda",
    "rate",
    "meta-rate",
    f"regret of {runs.SAMPLED_STEPS} steps",
    "95 % interval",
    "seeds at the optimum",
  ]
  cells = []
  for row in rows:
    low, high = row["interval"]
    solved = f"{sum(gap < 1e-2 for gap in row['last'])} of {len(row['last'])}"
    meta_rate = f"{row['meta_rate']:g}" if row["meta_rate"] else "-"
    regret = f"{np.mean(row['regret']):.2f}"
    cells.append(
      [
        row["rule"],
        f"{row['trace_decay']:g}",
        f"{row['rate']:g}",
        meta_rate,
        regret,
        f"{low:.2f} to {high:.2f}",
        solved,
      ]
    )
  return markdown_table(header, cells)


def _cell(run: Plain) -> str:
  steps = "not reached" if run["steps"] is None else str(run["steps"])
  return f"{steps} / {run['regret']:.3g}"


def draw(found: Plain) -> Figure:
  """Predictions at a rate and over rates, what is learned by meta-gradients, and learning from episodes."""
  figure = Figure(figsize=(12.0, 8.0), layout="constrained")
  (steps, rates), (adaptive, sampled) = figure.subplots(2, 2)
  for row, style in zip(found["maze"], _STYLES, strict=True):
    if row["prediction"] == "correction":  # the extragradient's line
      continue
    steps.plot(row["gaps"][:12], label=row["prediction"], **style)
    drawn = [run for run in row["runs"] if run["steps"] is not None]
    rates.plot([run["rate"] for run in drawn], [run["regret"] for run in drawn], label=row["prediction"], **style)
  steps.set(title=f"maze, rate {runs.DRAWN_RATE:g}", ylim=(1e-4, 1.0))
  rates.set(
    title="maze: regret", xlabel="rate", ylabel="regret until the gap is below 0.001", xscale="log", yscale="log"
  )
  drawn = [row for row in found["adaptive"] if row["rule"] in _DRAWN_ADAPTIVE]
  adaptive.plot(drawn[0]["plain_gaps"][:_DRAWN_STEPS], label="nothing learned", **_STYLES[0])
  for row, style in zip(drawn, _STYLES[1:], strict=False):
    label = f"{row['rule']}, {row['runs'][row['best']]['meta_rate']:g}"
    adaptive.plot(row["gaps"][:_DRAWN_STEPS], label=label, **style)
  adaptive.set(title="maze, rate 1: learned, at the best meta-rate", ylim=(1e-4, 1.0))
  for row, style in zip([row for row in found["sampled"] if row["trace_decay"] == 1.0], _STYLES, strict=False):
    x = np.arange(len(row["gaps"]))
    sampled.plot(x, row["gaps"], label=row["rule"], **style)
    sampled.fill_between(x, row["low"], row["high"], color=style["color"], alpha=0.15, linewidth=0)
  sampled.set(title=f"maze, from {found['episodes']} episodes a step, {found['seeds']} seeds", ylim=(1e-4, 1.0))
  for axis in (steps, adaptive, sampled):
    axis.set(xlabel="step", ylabel="J* - J", yscale="log")
  for axis in (steps, rates, adaptive, sampled):
    _finish(axis)
  return figure


def _finish(axis: Axes) -> None:
  axis.grid(alpha=0.3)
  axis.legend(fontsize="x-small")


if __name__ == "__main__":
  console(main)
