"""From a chunk, which trained as one run, to a folder for each member with the files of a run of its own."""

import json
import pathlib
import shutil
import time

import jax
import numpy as np

from gippo_jax.learning.state import best_or_last
from gippo_jax.plain import Plain
from gippo_jax.runs import checkpoint as checkpoints
from gippo_jax.runs.arrays import named_leaves
from gippo_jax.runs.checkpoint import Checkpoint, rows_of
from gippo_jax.runs.policy_files import write_policy
from gippo_jax.runs.recording import read_rows, scalars
from gippo_jax.runs.runner import Outcome
from gippo_jax.runs.summary import BY_MEMBER, Summary
from gippo_jax.runs.workdir import Workdir, finite_or_none, write_json, write_text
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
    write_text(workdir.metrics, "".join(json.dumps(finite_or_none(row)) + "\n" for row in rows[position]))
    _write_events(workdir, member.seed, rows[position], summary["run_seconds"])
    saved = Checkpoint(outcome.states, int(epochs[position]), summary["run_seconds"], summary["compile_seconds"])
    checkpoints.save_leaves(workdir.checkpoint, rows_of(leaves, position), saved)
    best, final = jax.tree.map(lambda leaf, row=position: leaf[row], policies)
    write_policy(workdir.path, member.experiment, outcome.sizes, member.seed, int(epochs[position]), best, final)
    # Last, for a folder with a summary is complete.
    write_json(workdir.summary, _summary_of(summary, position, int(epochs[position]), len(members)))


def _summary_of(summary: Summary, position: int, epochs: int, num_members: int) -> Plain:
  values: Plain = dict(summary)
  own = {name: [value[position]] if name in BY_MEMBER else value for name, value in values.items()}
  steps_per_epoch = summary["steps"] // max(summary["epochs"], 1)
  return own | {
    "status": "diverged" if own["diverged"][0] else summary["status"],
    "epochs": epochs,
    "steps": epochs * steps_per_epoch,
    "members_side_by_side": num_members,  # speeds and seconds are those of all of them
  }


def _write_events(workdir: Workdir, seed: int, rows: list[Plain], run_seconds: float) -> None:
  """One event a row: `SummaryWriter`, with one for every number, takes ten times as long."""
  from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
  from tensorboardX.proto.summary_pb2 import Summary as Values  # pyright: ignore[reportAttributeAccessIssue]
  from tensorboardX.record_writer import RecordWriter

  folder = workdir.tensorboard / f"seed_{seed}"
  shutil.rmtree(folder, ignore_errors=True)  # of a split that was killed
  folder.mkdir(parents=True)
  now = time.time()
  writer = RecordWriter(str(folder / f"events.out.tfevents.{int(now)}.sweep"))
  writer.write(Event(wall_time=now - run_seconds, file_version="brain.Event:2").SerializeToString())
  for row in rows:
    when = now - run_seconds * (1 - row["epoch"] / rows[-1]["epoch"])
    values = [
      Values.Value(tag=tag, simple_value=number)
      for name, value in row.items()
      if name not in ("epoch", "seed", "steps", "steps_per_second")
      for tag, number in scalars(name, value)
      if number is not None
    ]
    writer.write(Event(wall_time=when, step=row["steps"], summary=Values(value=values)).SerializeToString())
  writer.close()
