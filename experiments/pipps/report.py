"""What the learning runs found: a table, a picture, and the page that plays the best swing-up."""

import pathlib
from collections.abc import Sequence

import jax
import numpy as np
from matplotlib.figure import Figure

from gippo_jax.cli.render import save_gif
from gippo_jax.envs.base import Trajectory
from gippo_jax.experiments.pipps.learning import SUCCESS_SHARE
from gippo_jax.experiments.pipps.showing import Shown, policy_of, recorded
from gippo_jax.experiments.tables.documents import markdown_table, replace_block, save_figure
from gippo_jax.experiments.tables.figure_curves import style_of
from gippo_jax.plain import Plain
from gippo_jax.runs.files import write_json, write_text

LABELS = {
  "tp": "TP",
  "rp": "RP",
  "lr": "LR",
  "biw": "LR, batch importance weights",
  "tp_biw": "TP, batch importance weights",
  "gr": "RP, Gaussian resampling",
}
_SHOWN_STEPS = 50  # tenths of a second: two seconds more than a trial
_GIF_SECONDS = 5.0


def table(records: Sequence[Plain]) -> str:
  """A row for each estimator, as Markdown."""
  rows = []
  for estimator, label in LABELS.items():
    own = [record for record in records if record["settings"]["estimator"] == estimator]
    if not own:
      continue
    solved = [record["solved"] for record in own]
    costs = [record["trials"][-1]["cost"] for record in own]
    clock, processor = (sum(record[name] for record in own) for name in ("seconds", "processor_seconds"))
    rows.append(
      [
        label,
        f"{sum(trial is not None for trial in solved)} of {len(own)}",
        ", ".join("-" if trial is None else str(trial) for trial in solved),
        ", ".join(f"{cost:.1f}" for cost in costs),
        f"{clock:.0f}",
        f"{processor:.0f}",
      ]
    )
  header = ["estimator", "swung up", "in trial (of each seed)", "last cost", "s, all seeds", "s of the processor"]
  return markdown_table(header, rows)


def best_of(records: Sequence[Plain]) -> Plain:
  """Of the runs that swung the pole up, if any, the one of the lowest last cost."""
  return min(records, key=lambda record: (record["solved"] is None, record["trials"][-1]["cost"]))


def title_of(record: Plain) -> str:
  """Of a page."""
  trial = record["trials"][-1]["trial"]
  return f"PIPPS, {LABELS[record['settings']['estimator']]}, seed {record['seed']}, after {trial} trials"


def show(record: Plain) -> Trajectory:
  """An episode of the run's policy, longer than a trial."""
  return recorded(policy_of(record), jax.random.key(0), max(_SHOWN_STEPS, record["settings"]["horizon"]))


def draw(records: Sequence[Plain], trajectory: Trajectory) -> Figure:
  """Cost of the evaluation after each trial, and the shown episode."""
  figure = Figure(figsize=(9.0, 3.6), layout="constrained")
  left, right = figure.subplots(1, 2)
  named = set()
  for record in records:
    estimator, trials = record["settings"]["estimator"], record["trials"]
    style = style_of(estimator, list(LABELS))
    numbers, costs = [row["trial"] for row in trials], [row["cost"] for row in trials]
    left.plot(numbers, costs, label=None if estimator in named else LABELS[estimator], **style)
    if record["solved"] is not None:
      left.plot(numbers[-1], costs[-1], marker="o", color=style["color"])
    named.add(estimator)
  left.set(title=f"a line for each seed; dots: upright in {SUCCESS_SHARE:.0%}", xlabel="trial", ylabel="cost")
  left.grid(alpha=0.3)
  left.legend(fontsize="x-small")
  physics = trajectory.states.physics
  seconds = np.arange(len(physics.angle)) * Shown.time_step
  right.plot(seconds, physics.angle, color="#D55E00", label="angle from upright (rad)")
  right.plot(seconds, physics.position, color="#0072B2", label="position of the cart (m)")
  right.axhline(0.0, color="#8a8d91", linewidth=0.8)
  right.set(title="the best policy on the true cart-pole", xlabel="s")
  right.grid(alpha=0.3)
  right.legend(fontsize="x-small")
  return figure


def write_report(records: Sequence[Plain], trajectory: Trajectory, out: pathlib.Path) -> str:
  """Writes `pipps.md`, the picture and the page, `trajectory` being `show(best_of(records))`; returns the table."""
  best = best_of(records)
  text = table(records)
  write_text(out / "pipps.md", text)
  write_text(out / "swing_up.html", Shown().page(trajectory, title_of(best)))
  save_figure(draw(records, trajectory), out, "pipps")
  return text + f"{out / 'swing_up.html'} plays {title_of(best)}\n"


def write_documents(records: Sequence[Plain], trajectory: Trajectory, docs: pathlib.Path, document: str) -> None:
  """Renews the document's table, the pictures and `pipps.json`, which has all but the policies."""
  replace_block(docs / document, "pipps", table(records))
  save_figure(draw(records, trajectory), docs / "images", "pipps")
  save_gif(Shown(), trajectory, _GIF_SECONDS, docs / "images" / "pipps_swing_up.gif")
  kept = [{name: part for name, part in record.items() if name != "policy"} for record in records]
  write_json(docs / "pipps.json", kept)
