"""How the members of a chunk lie on the hardware: one after the other or in one batch, on one device or on all.

On a CPU this is decided by a trial where the sweep is long enough to pay for it.
"""

import time
from typing import NamedTuple

from gippo_jax.envs.base import Environment
from gippo_jax.learning.sharding import Device
from gippo_jax.programs.members import Members, make_members
from gippo_jax.programs.program import member_devices
from gippo_jax.sweep.plan import Member, stack

_LEAST_TRIAL_SECONDS = 0.3
# How many times a trial's cost the sweep must last. The cost is guessed from the first program's compilation, which may
# have come from the cache, and in the sweep that docs/performance.md tells of the first program won.
_WORTH = 40


class Arranged(NamedTuple):
  """A compiled program for chunks.

  Attributes:
    members: of the first chunk; their program serves the others.
    compile_seconds: of all programs compiled, those of the trial included.
    reason: why this arrangement, in words.
  """

  members: Members
  compile_seconds: float
  reason: str

  @property
  def name(self) -> str:
    """E.g. `map over 2 devices`."""
    count = len(self.members.program.devices)
    return f"{self.members.program.arrangement} over {count} device{'s' if count > 1 else ''}"


def arrange(env: Environment, chunk: list[Member], wanted: str, num_chunks: int) -> Arranged:
  """Compiles the program of a group of members.

  Args:
    env: the group's environment.
    chunk: its longest chunk.
    wanted: `map`, `vmap`, or `auto` for a choice.
    num_chunks: how often the program will run.
  """
  devices = member_devices(len(chunk))
  if wanted != "auto":
    members, seconds = _compile(env, chunk, wanted, devices)
    return Arranged(members, seconds, "asked for")
  members, seconds = _compile(env, chunk, None, devices)
  if len(chunk) == 1:
    return Arranged(members, seconds, "a single member")
  if devices[0].platform != "cpu":
    return Arranged(members, seconds, "an accelerator")
  others = [("vmap", devices)] + ([("vmap", devices[:1])] if len(devices) > 1 else [])
  first = _seconds_per_epoch(members, chunk)
  expected = first * chunk[0].experiment.config.num_epochs * num_chunks
  if expected < _WORTH * len(others) * seconds:
    return Arranged(members, seconds, f"about {expected:.0f} s of training, too short to pay for a trial")
  tried = [(first, members)]
  for name, on_devices in others:
    other, more_seconds = _compile(env, chunk, name, on_devices)
    seconds += more_seconds
    tried.append((_seconds_per_epoch(other, chunk), other))
  shown = ", ".join(
    f"{1e3 * per_epoch:.3g} ms by {one.program.arrangement} on {len(one.program.devices)}" for per_epoch, one in tried
  )
  fastest = min(tried, key=lambda pair: pair[0])[1]
  return Arranged(fastest, seconds, f"fastest in a trial; an epoch of all members took {shown}")


def _compile(
  env: Environment, chunk: list[Member], arrangement: str | None, devices: list[Device]
) -> tuple[Members, float]:
  begin = time.monotonic()
  members = make_members(env, stack(chunk), len(chunk), arrangement=arrangement, devices=devices)
  members.compile(members.abstract_states())
  return members, time.monotonic() - begin


def _seconds_per_epoch(members: Members, chunk: list[Member]) -> float:
  """Of training that is thrown away."""
  states, pending = members.launch(members.init([member.seed for member in chunk]), 1)
  members.fetch(pending)
  length = 1
  while True:
    begin = time.monotonic()
    states, pending = members.launch(states, length)
    members.fetch(pending)
    seconds = time.monotonic() - begin
    if seconds > _LEAST_TRIAL_SECONDS or length == members.capacity:
      return seconds / length
    length = min(4 * length, members.capacity)
