"""From a chunk, which trained as one run, to a folder for each member with the files of a run of its own."""

import pathlib
import shutil
import time
from typing import cast

import jax
import numpy as np

from gippo_jax.learning.state import best_or_last
from gippo_jax.plain import Plain
from gippo_jax.runs import checkpoint as checkpoints
from gippo_jax.runs.arrays import named_leaves
from gippo_jax.runs.checkpoint import Checkpoint, rows_of
from gippo_jax.runs.events import event_file, first_event, row_event
from gippo_jax.runs.files import write_text
from gippo_jax.runs.history import of_member
from gippo_jax.runs.policy_files import write_policy
from gippo_jax.runs.rows import read_rows
from gippo_jax.runs.runner import Outcome
from gippo_jax.runs.sinks import line_of
from gippo_jax.runs.summary import BY_MEMBER, Summary, write_summary
from gippo_jax.runs.workdir import Workdir
from gippo_jax.sweep.plan import Member


def split(chunk: Workdir, members: list[Member], outcome: Outcome, folder: pathlib.Path) -> None:
  """Writes the members' folders; done again, it writes the same.

  Args:
    chunk: holds the rows of all members.
    members: in the order of the states.
    outcome: of the training, which has ended.
    folder: receives a folder for each member.
  """
  rows: list[list[Plain]] = [[] for _ in members]
  for row in read_rows(chunk):
    rows[row.pop("member")].append(row)
  epochs = np.asarray(outcome.states.epoch)
  # Copied at once, for slicing arrays of JAX takes a hundred times as long.
  leaves = named_leaves({"states": outcome.states})
  summary = outcome.summary
  policies = jax.device_get((best_or_last(outcome.states), outcome.states.policy))
  for position, member in enumerate(members):
    workdir = Workdir(folder / member.folder)
    workdir.open(member.experiment)
    write_text(workdir.metrics, b"".join(map(line_of, rows[position])).decode())
    _write_events(workdir, member.seed, rows[position], summary["run_seconds"])
    saved = Checkpoint(outcome.states, int(epochs[position]), of_member(outcome.history, position))
    checkpoints.save_leaves(workdir.checkpoint, rows_of(leaves, position), saved)
    best, final = jax.tree.map(lambda leaf, row=position: leaf[row], policies)
    write_policy(workdir.path, member.experiment, outcome.sizes, member.seed, int(epochs[position]), best, final)
    # Last, for a folder with a summary is complete.
    write_summary(workdir.summary, _summary_of(summary, position, int(epochs[position]), len(members)))


def _summary_of(summary: Summary, position: int, epochs: int, num_members: int) -> Summary:
  values: Plain = dict(summary)
  own = {name: [value[position]] if name in BY_MEMBER else value for name, value in values.items()}
  steps_per_epoch = summary["steps"] // max(summary["epochs"], 1)
  changed = {
    "status": "diverged" if own["diverged"][0] else summary["status"],
    "epochs": epochs,
    "steps": epochs * steps_per_epoch,
    "members_side_by_side": num_members,  # speeds and seconds are those of all of them
  }
  return cast(Summary, own | changed)


def _write_events(workdir: Workdir, seed: int, rows: list[Plain], run_seconds: float) -> None:
  folder = workdir.tensorboard / f"seed_{seed}"
  shutil.rmtree(folder, ignore_errors=True)  # of a split that was killed
  folder.mkdir(parents=True)
  now = time.time()
  records = [first_event(now - run_seconds)]
  for row in rows:
    records.append(row_event(now - run_seconds * (1 - row["epoch"] / rows[-1]["epoch"]), row))
  event_file(folder).write_bytes(b"".join(records))
