"""Trials side by side: every (trial, seed) is a member of one compiled program, kept for the batches to come."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from gippo_jax.config import Config
from gippo_jax.envs.base import Environment
from gippo_jax.learning.state import TrainingState
from gippo_jax.programs.members import Members, make_members
from gippo_jax.runs.recording import hide_unfinished


def group_by_structure(configs: list[Config]) -> list[list[int]]:
  """Indices of the configurations that train side by side: those with the same sizes, switches and epochs."""
  groups: dict[Any, list[int]] = {}
  for index, config in enumerate(configs):
    groups.setdefault((jax.tree.structure(config), config.num_epochs), []).append(index)
  return list(groups.values())


def stack(configs: list[Config], num_seeds: int) -> Config:
  """Real numbers of the members, trial by trial, `[trials * seeds]`.

  Args:
    configs: of the trials; one structure.
    num_seeds: members for each.
  """
  return jax.tree.map(lambda *leaves: np.repeat(np.asarray(leaves), num_seeds), *configs)


@dataclasses.dataclass
class Programs:
  """Compiled programs by structure and number of trials; each is compiled once.

  Attributes:
    env: unbatched environment.
    seeds: of every trial.
    num_reports: chunks that a training is cut into.
    num_compiled: programs so far.
  """

  env: Environment
  seeds: list[int]
  num_reports: int
  num_compiled: int = 0
  _members: dict[Any, Members] = dataclasses.field(default_factory=dict)

  def train(self, configs: list[Config]) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Starts trials side by side, compiling where there is no program yet, and trains as far as the caller iterates.

    Args:
      configs: of the trials; one structure.

    Returns:
      For each chunk the epochs done and the chunk's metrics, arrays `[trials * seeds, chunk]`.
    """
    chunk = -(-configs[0].num_epochs // self.num_reports)
    stacked = stack(configs, len(self.seeds))
    key = (jax.tree.structure(configs[0]), chunk, len(configs))
    num_members = len(configs) * len(self.seeds)
    if key in self._members:
      members = Members(self._members[key].program, stacked, num_members)
    else:
      members = self._members[key] = make_members(self.env, stacked, num_members, chunk)
      members.compile(members.abstract_states())
      self.num_compiled += 1
    states = members.init(self.seeds * len(configs))
    return _chunks(members, states, configs[0].num_epochs)


def _chunks(members: Members, states: TrainingState, num_epochs: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
  epoch = 0
  while epoch < num_epochs:
    length = min(members.capacity, num_epochs - epoch)
    states, pending = members.launch(states, length)
    epoch += length
    yield epoch, hide_unfinished(members.fetch(pending))
