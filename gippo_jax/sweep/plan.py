"""Who trains with whom: members, groups that share a compiled program, chunks that fit in memory."""

import dataclasses
import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import numpy as np

from gippo_jax.config import Config
from gippo_jax.errors import UserError
from gippo_jax.parsing import Experiment
from gippo_jax.programs.memory import available_bytes, describe_bytes
from gippo_jax.sweep.space import Assignment

_MOST_MEMBERS = 256  # in a chunk: results are complete chunk by chunk
_CHUNKS_PER_WORKER = 4
_SHARE_OF_MEMORY = 0.8
_LONGEST_LABEL = 120
# In a sweep: each has a folder.
_MOST = 1_000_000


class Member(NamedTuple):
  """One run of a sweep.

  Attributes:
    index: among all members.
    setting: index of its setting.
    experiment: as if it ran alone, with one seed.
    folder: name of its folder.
  """

  index: int  # pyright: ignore[reportIncompatibleMethodOverride]
  setting: int
  experiment: Experiment
  folder: str

  @property
  def seed(self) -> int:
    """Its only seed."""
    return self.experiment.run.seed


def make_members(experiments: list[Experiment], settings: list[Assignment]) -> list[Member]:
  """Every setting with every seed.

  Args:
    experiments: one for each setting, with all seeds.
    settings: values by field, which name the folders.

  Raises:
    UserError: when there are more than any machine could train.
  """
  count = sum(experiment.run.num_seeds for experiment in experiments)
  if count > _MOST:
    raise UserError(
      f"config.num_seeds: {len(settings)} settings with their seeds are {count} members; allowed: at most {_MOST}"
    )
  members = []
  for number, (experiment, setting) in enumerate(zip(experiments, settings, strict=True)):
    label = "_".join(f"{name}={_short(value)}" for name, value in setting.items())
    label = re.sub(r"[^\w.,=+-]", "", label)[:_LONGEST_LABEL]
    for offset in range(experiment.run.num_seeds):
      seed, index = experiment.run.seed + offset, len(members)
      alone = experiment._replace(run=dataclasses.replace(experiment.run, seed=seed, num_seeds=1))
      members.append(Member(index, number, alone, f"{index:04d}_{label}_seed={seed}"))
  return members


def group_members(members: Iterable[Member]) -> list[list[Member]]:
  """Members that differ in real numbers and seeds alone share a compiled program."""
  groups: dict[Any, list[Member]] = {}
  for member in members:
    experiment = member.experiment
    # Members of a chunk make the same number of epochs, though their program takes any.
    common = [experiment.config.num_epochs, experiment.env]
    key = (jax.tree.structure(experiment.config), json.dumps(common, sort_keys=True, default=repr))
    groups.setdefault(key, []).append(member)
  return list(groups.values())


def describe_group(group: list[Member], settings: list[Assignment]) -> str:
  """What the members of a group have in common among the swept fields, e.g. `algorithm=ppo`."""
  common = dict(settings[group[0].setting])
  for member in group:
    common = {name: value for name, value in common.items() if settings[member.setting][name] == value}
  return ", ".join(f"{name}={_short(value)}" for name, value in common.items()) or group[0].experiment.label


def stack(members: list[Member]) -> Config:
  """Their hyper-parameters, every real number as an array `[members]`."""
  return jax.tree.map(lambda *leaves: np.asarray(leaves), *(member.experiment.config for member in members))


def chunk_length(num_members: int, wanted: int | None, num_devices: int, num_workers: int = 1) -> int:
  """Members per chunk.

  Args:
    num_members: in the group.
    wanted: what the user asked for; `None` for as many as are sensible.
    num_devices: that share a chunk.
    num_workers: among which the chunks are handed out.

  Returns:
    The length: chunks are about equally long, devices have equally many members, and of several workers each gets
    several chunks, so that one that is slow or dies costs the others little.
  """
  if wanted is not None:
    return min(wanted, num_members)
  chunks = max(-(-num_members // _MOST_MEMBERS), _CHUNKS_PER_WORKER * num_workers if num_workers > 1 else 1)
  rows = -(-num_members // (chunks * num_devices))
  return min(rows * num_devices, num_members)


def cut(members: list[Member], length: int) -> list[list[Member]]:
  """Chunks of at most `length` members."""
  return [members[begin : begin + length] for begin in range(0, len(members), length)]


class Memory(NamedTuple):
  """What a chunk asks for, and what there is.

  Attributes:
    needed: bytes of all members of the chunk.
    available: bytes that a chunk may take.
    num_members: in the chunk.
  """

  needed: int
  available: int
  num_members: int

  @property
  def fits(self) -> bool:
    """Whether it does."""
    return self.needed <= self.available

  @property
  def most_members(self) -> int:
    """Members that would fit, if each takes the same; a program that holds them one by one takes less."""
    return int(self.available * self.num_members // max(self.needed, 1))

  def require(self, num_members: int) -> None:
    """Refuses a chunk that is too large.

    Raises:
      UserError: when it is.
    """
    if not self.fits:
      most = f"at most {self.most_members}" if self.most_members else "smaller members, not even one fits"
      raise UserError(
        f"--members-per-chunk: {num_members} is not allowed, it takes {describe_bytes(self.needed)} of the "
        f"{describe_bytes(self.available)} there are (--memory-gib); allowed: {most}"
      )


def measure_memory(program: dict[str, int], num_members: int, num_devices: int, limit: float | None) -> Memory:
  """Memory of a chunk.

  Args:
    program: `memory.program_bytes`, of one device.
    num_members: in the chunk.
    num_devices: that share it.
    limit: bytes a chunk may take; `None` for most of what is available.
  """
  available = limit if limit is not None else _SHARE_OF_MEMORY * available_bytes() * _memories(num_devices)
  return Memory(sum(program.values()) * num_devices, int(available), num_members)


def _memories(num_devices: int) -> int:
  return 1 if jax.local_devices()[0].platform == "cpu" else num_devices


def _short(value: object) -> str:
  if isinstance(value, float):
    return f"{value:.4g}"
  return "x".join(str(entry) for entry in value) if isinstance(value, (list, tuple)) else str(value)
