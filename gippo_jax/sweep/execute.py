"""Prepares the groups of a sweep, says what will be done, and trains chunk after chunk, beside other workers."""

import time
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
from gippo_jax.runs.interrupt import Interrupt
from gippo_jax.runs.progress import Progress
from gippo_jax.runs.runner import train_members
from gippo_jax.runs.workdir import Workdir
from gippo_jax.sweep.arrangement import Arranged, arrange
from gippo_jax.sweep.chunks import Claimed
from gippo_jax.sweep.claims import Claim
from gippo_jax.sweep.folder import SweepFolder
from gippo_jax.sweep.listeners import Listeners
from gippo_jax.sweep.plan import Member, Memory, chunk_length, describe_group, measure_memory, stack
from gippo_jax.sweep.space import Assignment
from gippo_jax.sweep.split import split

_SECONDS_BETWEEN_LOOKS = 0.5


class Options(NamedTuple):
  """How a sweep uses the machine; none of it changes what a member computes.

  Attributes:
    members_per_chunk: `None` for as many as are sensible.
    arrangement: `auto`, `map` or `vmap`.
    memory_limit: bytes a chunk may take; `None` for most of what is available.
    num_workers: that are to train the sweep together.
  """

  members_per_chunk: int | None = None
  arrangement: str = "auto"
  memory_limit: float | None = None
  num_workers: int = 1


class Prepared(NamedTuple):
  """A group that is ready to train.

  Attributes:
    label: what its members have in common.
    members: all of them.
    num_done: members that have ended before.
    num_chunks: in which the others train.
    longest: chunk that this worker trains.
    arranged: its compiled program; `None` when nothing is to be trained.
    memory: what that takes.
  """

  label: str
  members: list[Member]
  num_done: int
  num_chunks: int = 0
  longest: int = 0
  arranged: Arranged | None = None
  memory: Memory | None = None

  def describe(self) -> str:
    """A line of the plan."""
    count = len(self.members) - self.num_done
    done = f", {self.num_done} done before" if self.num_done else ""
    if self.arranged is None or self.memory is None:
      return f"{self.label}: nothing to train{done}"
    return (
      f"{self.label}: {count} members{done}; {self.num_chunks} chunk{'s' if self.num_chunks > 1 else ''} of at most "
      f"{self.longest}, {describe_bytes(self.memory.needed)} of the "
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
  """Compiles the program of a group and plans the chunks of what is left of it; the folder is not touched.

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
    return Prepared(label, group, num_done)
  chunks, wanted = folder.chunks, options.members_per_chunk
  longest = chunk_length(len(group) - num_done, wanted, len(jax.local_devices()), options.num_workers)
  # Those that an earlier start has begun go on as they are.
  longest = max(longest, min(chunks.begun_length(group), wanted or len(group)))
  arrangement = options.arrangement
  if arrangement == "auto":
    arrangement = chunks.arrangement(group) or "auto"
  arranged = arrange(env, group[:longest], arrangement, len(chunks.plan(group, longest)))
  taken = _measure(arranged, options)
  if not taken.fits and wanted is None and taken.most_members:
    longest = taken.most_members
    arranged = arrange(env, group[:longest], arrangement, len(chunks.plan(group, longest)))
    taken = _measure(arranged, options)
  taken.require(wanted or taken.num_members)
  return Prepared(label, group, num_done, len(chunks.plan(group, longest)), longest, arranged, taken)


def execute(
  prepared: list[Prepared],
  folder: SweepFolder,
  progress: Callable[[], Progress],
  after_chunk: Callable[[], None],
  listeners: Listeners | None = None,
) -> str:
  """Trains what is left, chunk after chunk, as long as there are any that no other worker trains; then waits for those.

  Args:
    prepared: the groups.
    folder: opened.
    progress: makes what is told of a chunk's epochs.
    after_chunk: called when a chunk's members have their folders.
    listeners: hear of the members that this worker has trained.

  Returns:
    `finished` when all members have ended, or `interrupted`.
  """
  groups = [group for group in prepared if group.arranged is not None]
  _cut(groups, folder)
  groups = [_agree(group, folder) for group in groups]
  told = False
  with Interrupt() as interrupt:
    while not interrupt.requested:
      for group in groups:
        claimed = folder.chunks.claim(group.members, group.longest)
        if claimed is not None:
          if _train(group, claimed, folder, progress(), interrupt, listeners):
            after_chunk()
          told = False
          break
      else:
        owners = folder.chunks.owners
        if not owners:
          if all(folder.summary_of(member) is not None for group in groups for member in group.members):
            return "finished"
          _cut(groups, folder)
          continue
        if not told:
          who = ", ".join(owner.describe() for owner in owners)
          progress().note(f"what is left is being trained by {who}; waiting for its end")
        told = True
        time.sleep(_SECONDS_BETWEEN_LOOKS)
  return "interrupted"


def _cut(groups: list[Prepared], folder: SweepFolder) -> None:
  with folder.turn():
    for group in groups:
      assert group.arranged is not None  # it has something to train
      folder.chunks.cut(group.members, group.longest, group.arranged.members.program.arrangement)


def _agree(group: Prepared, folder: SweepFolder) -> Prepared:
  """With the arrangement that the worker who cut the chunks has chosen, so that results do not depend on who trains."""
  assert group.arranged is not None  # it has something to train
  members = group.arranged.members
  decided = folder.chunks.arrangement(group.members)
  if decided in (None, members.program.arrangement) or group.arranged.reason == "asked for":
    return group
  return group._replace(arranged=arrange(members.env, group.members[: group.longest], decided, group.num_chunks))


class _UntilLost(NamedTuple):
  """Ends a training in peace when a signal comes, or another worker has taken the chunk."""

  interrupt: Interrupt
  claim: Claim

  @property
  def requested(self) -> bool:
    return self.interrupt.requested or self.claim.is_lost


def _train(
  group: Prepared,
  claimed: Claimed,
  folder: SweepFolder,
  shown: Progress,
  interrupt: Interrupt,
  listeners: Listeners | None,
) -> bool:
  """Whether the members have ended and have their folders."""
  members, claim = claimed
  assert group.arranged is not None  # it has something to train
  with claim:
    left = len(folder.chunks.pool.pieces())
    shown.note(f"training members {members[0].index} to {members[-1].index}, {group.label}; {left} chunks left")
    workdir = Workdir(claim.path)
    side_by_side = Members(group.arranged.members.program, stack(members), len(members))
    seeds = [member.seed for member in members]
    wish = _UntilLost(interrupt, claim)
    outcome = train_members(
      members[0].experiment, side_by_side, seeds, workdir, shown, split_later=True, interrupt=wish
    )
    if not claim.check():
      shown.note("another worker has taken this chunk, since this one was silent for too long; it is the other's now")
      return False
    if outcome.summary["status"] == "interrupted":
      return False
    summary = outcome.summary | {"compile_seconds": group.arranged.compile_seconds}
    split(workdir, members, outcome._replace(summary=summary), folder.members)
    if listeners is not None:
      listeners.hear(members)
    claim.finish()
  return True


def _measure(arranged: Arranged, options: Options) -> Memory:
  members = arranged.members
  return measure_memory(members.program_bytes, members.num_members, len(members.program.devices), options.memory_limit)
