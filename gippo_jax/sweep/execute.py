"""Prepares the groups of a sweep, says what will be done, and trains chunk after chunk."""

from collections.abc import Callable
from typing import NamedTuple

import jax

from gippo_jax import envs
from gippo_jax.envs.base import Environment
from gippo_jax.errors import UserError
from gippo_jax.programs import estimate
from gippo_jax.programs.members import Members
from gippo_jax.programs.memory import describe_bytes
from gippo_jax.programs.probe import probe_gradients
from gippo_jax.runs.progress import Progress
from gippo_jax.runs.runner import train_members
from gippo_jax.sweep.arrangement import Arranged, arrange
from gippo_jax.sweep.folder import SweepFolder
from gippo_jax.sweep.plan import (
  Member,
  Memory,
  chunk_length,
  cut,
  describe_group,
  measure_memory,
  stack,
)
from gippo_jax.sweep.space import Assignment
from gippo_jax.sweep.split import split


class Options(NamedTuple):
  """How a sweep uses the machine; none of it changes what a member computes.

  Attributes:
    members_per_chunk: `None` for as many as are sensible.
    arrangement: `auto`, `map` or `vmap`.
    memory_limit: bytes a chunk may take; `None` for most of what is available.
  """

  members_per_chunk: int | None = None
  arrangement: str = "auto"
  memory_limit: float | None = None


class Prepared(NamedTuple):
  """A group that is ready to train.

  Attributes:
    label: what its members have in common.
    chunks: its members still to train.
    num_done: members that have ended before.
    arranged: its compiled program; `None` when nothing is to be trained.
    memory: what that takes.
  """

  label: str
  chunks: list[list[Member]]
  num_done: int
  arranged: Arranged | None
  memory: Memory | None

  def describe(self) -> str:
    """A line of the plan."""
    count = sum(map(len, self.chunks))
    done = f", {self.num_done} done before" if self.num_done else ""
    if self.arranged is None or self.memory is None:
      return f"{self.label}: nothing to train{done}"
    return (
      f"{self.label}: {count} members{done}; {len(self.chunks)} chunk{'s' if len(self.chunks) > 1 else ''} of at most "
      f"{max(map(len, self.chunks))}, {describe_bytes(self.memory.needed)} of the "
      f"{describe_bytes(self.memory.available)} there are; {self.arranged.name} ({self.arranged.reason}), compiled in "
      f"{self.arranged.compile_seconds:.1f} s"
    )


def make_environment(group: list[Member]) -> Environment:
  """The environment of a group.

  Raises:
    UserError: when there is no such environment, or it has no gradients where some are needed.
  """
  experiment = group[0].experiment
  try:
    env = envs.make(**experiment.env)
  except ValueError as error:
    raise UserError(f"config.{error}") from None
  estimate.require_run(env, experiment.config, 1, experiment.run.evaluation_episodes)
  if experiment.run.gradient_probe:
    probe_gradients(env, experiment.config)
  return env


def prepare(
  group: list[Member], env: Environment, settings: list[Assignment], folder: SweepFolder, options: Options
) -> Prepared:
  """Compiles the program of a group and cuts what is left of it into chunks.

  Args:
    group: its members.
    env: its environment.
    settings: of the sweep.
    folder: of the sweep.
    options: how to use the machine.

  Raises:
    UserError: when the chunks asked for do not fit in memory, or not even one member does.
  """
  label = describe_group(group, settings)
  num_done = sum(folder.summary_of(member) is not None for member in group)
  if num_done == len(group):
    return Prepared(label, [], num_done, None, None)
  num_devices = len(jax.local_devices())
  length = chunk_length(len(group) - num_done, options.members_per_chunk, num_devices)
  chunks = _chunks(group, folder, length)
  arranged = arrange(env, max(chunks, key=len), options.arrangement, len(chunks))
  taken = _measure(arranged, options)
  if not taken.fits and options.members_per_chunk is None and taken.most_members:
    chunks = _chunks(group, folder, taken.most_members)
    arranged = arrange(env, max(chunks, key=len), options.arrangement, len(chunks))
    taken = _measure(arranged, options)
  taken.require(options.members_per_chunk or taken.num_members)
  return Prepared(label, chunks, num_done, arranged, taken)


def execute(
  prepared: list[Prepared], folder: SweepFolder, progress: Callable[[], Progress], after_chunk: Callable[[], None]
) -> str:
  """Trains what is left.

  Args:
    prepared: the groups.
    folder: opened.
    progress: makes what is told of a chunk's epochs.
    after_chunk: called when a chunk's members have their folders.

  Returns:
    `finished` or `interrupted`.
  """
  total, done = sum(len(group.chunks) for group in prepared), 0
  for group in prepared:
    for chunk in group.chunks:
      assert group.arranged is not None  # it has chunks
      done += 1
      shown = progress()
      shown.note(f"chunk {done} of {total}: members {chunk[0].index} to {chunk[-1].index}, {group.label}")
      workdir = folder.open_chunk(chunk)
      members = Members(group.arranged.members.program, stack(chunk), len(chunk))
      seeds = [member.seed for member in chunk]
      outcome = train_members(chunk[0].experiment, members, seeds, workdir, shown, split_later=True)
      if outcome.summary["status"] == "interrupted":
        return "interrupted"
      summary = outcome.summary | {"compile_seconds": group.arranged.compile_seconds}
      outcome = outcome._replace(summary=summary)
      split(workdir, chunk, outcome, folder.members)
      folder.close_chunk(workdir)
      after_chunk()
  return "finished"


def _chunks(group: list[Member], folder: SweepFolder, length: int) -> list[list[Member]]:
  begun = folder.begun_chunk(group, length)
  left = [member for member in group if member not in begun and folder.summary_of(member) is None]
  return ([begun] if begun else []) + cut(left, length)


def _measure(arranged: Arranged, options: Options) -> Memory:
  members = arranged.members
  return measure_memory(members.program_bytes, members.num_members, len(members.program.devices), options.memory_limit)
