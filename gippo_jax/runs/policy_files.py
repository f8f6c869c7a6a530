"""`policy_seed_N.npz`: a trained policy alone, to be read without its environment and its algorithm."""

import pathlib
import re
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax.config import ActorConfig, CriticConfig
from gippo_jax.envs.base import PyTree
from gippo_jax.errors import UserError
from gippo_jax.fields import build, plain
from gippo_jax.learning.agents import make_networks
from gippo_jax.learning.normalization import init_statistics
from gippo_jax.learning.policies import Policy, make_policy
from gippo_jax.learning.state import PolicyState, TrainingState, best_or_last
from gippo_jax.parsing import Experiment
from gippo_jax.runs.arrays import leaf_name, read_npz, write_npz


class Sizes(NamedTuple):
  """Entries of an observation and of an action."""

  observation: int
  action: int


def policy_file(folder: pathlib.Path, seed: int) -> pathlib.Path:
  """Where a seed's policies lie."""
  return folder / f"policy_seed_{seed}.npz"


def stored_seeds(folder: pathlib.Path) -> list[int]:
  """Seeds whose policies a folder holds."""
  matches = (re.fullmatch(r"policy_seed_(\d+)\.npz", file.name) for file in folder.glob("policy_seed_*.npz"))
  return sorted(int(match[1]) for match in matches if match)


def write_policies(
  folder: pathlib.Path, experiment: Experiment, sizes: Sizes, seeds: list[int], states: TrainingState
) -> None:
  """Writes the best and the last policy of every seed.

  Args:
    folder: of the run.
    experiment: that trained them.
    sizes: of the environment.
    seeds: of the members.
    states: of the members, `[num_members]`, on one device or on the host.
  """
  policies = jax.device_get((best_or_last(states), states.policy))
  epochs = jax.device_get(states.epoch)
  for index, seed in enumerate(seeds):
    best, final = jax.tree.map(lambda leaf, row=index: leaf[row], policies)
    write_policy(folder, experiment, sizes, seed, int(epochs[index]), best, final)


def write_policy(
  folder: pathlib.Path,
  experiment: Experiment,
  sizes: Sizes,
  seed: int,
  epoch: int,
  best: PolicyState,
  final: PolicyState,
) -> None:
  """Writes the policies of one seed.

  Args:
    folder, experiment, sizes: as for `write_policies`.
    seed: of the member.
    epoch: epochs that it was trained for.
    best, final: its policies, on the host.
  """
  config = experiment.config
  write_npz(
    policy_file(folder, seed),
    {"best": best, "final": final},
    {
      "observation_size": sizes.observation,
      "action_size": sizes.action,
      "actor": plain(config.actor),
      "critic": plain(config.critic),
      "normalizes": config.normalize_observations,
      "algorithm": config.algorithm,
      "environment": experiment.env,
      "seed": seed,
      "epoch": epoch,
    },
  )


def read_policy(file: pathlib.Path, which: str) -> Policy:
  """One of the policies of a file.

  Args:
    file: `policy_seed_N.npz`.
    which: `best` or `final`.

  Raises:
    UserError: when the file is missing, damaged, of another version, or does not fit its own network.
  """
  arrays, metadata = read_npz(file)
  try:
    actor = build(ActorConfig, metadata["actor"], "config.actor")
    critic = build(CriticConfig, metadata["critic"], "config.critic")
    sizes = Sizes(int(metadata["observation_size"]), int(metadata["action_size"]))
    normalizes = bool(metadata["normalizes"])
  except (KeyError, TypeError, ValueError, AttributeError) as error:
    reason = error if isinstance(error, UserError) else f"its header lacks {error}"
    raise UserError(f"{file} is not a policy of this version: {reason}") from None
  networks = make_networks(*sizes, actor, critic)
  shapes = jax.eval_shape(lambda: networks.init(jax.random.key(0), actor)[0])
  statistics = jax.eval_shape(lambda: init_statistics((sizes.observation,)))
  return make_policy(networks, normalizes, _fill(file, arrays, which, PolicyState(shapes, statistics)))


def _fill(file: pathlib.Path, arrays: Mapping[str, np.ndarray], which: str, like: PyTree) -> PyTree:
  paths, structure = jax.tree_util.tree_flatten_with_path(like)
  leaves = []
  for path, shape in paths:
    name = f"{which}/{leaf_name(path)}"
    found = arrays.get(name)
    if found is None or found.shape != shape.shape:
      what = "is missing" if found is None else f"has shape {found.shape}, {shape.shape} was expected"
      raise UserError(f"{file}: {name} {what}; allowed: the file as the run wrote it, and the network that it names")
    leaves.append(jnp.asarray(found))
  return jax.tree.unflatten(structure, leaves)
