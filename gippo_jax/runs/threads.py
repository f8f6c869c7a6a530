"""How many threads XLA gets for a run alone on a CPU."""

import importlib.metadata
import importlib.util
import itertools
import os

import jax

from gippo_jax import envs
from gippo_jax.parsing import Experiment

# Bytes of the largest array up to which one thread computes the bits that several do: XLA splits loops over 256 KiB
# and more among its threads (`outer_dimension_partitions` in its programs). A loop may read more than one array.
_LARGEST = 128 * 1024


def use_one_if_small(experiment: Experiment) -> None:
  """One thread for programs on small arrays, which several would only hand to each other; before JAX is used.

  A run alone still computes what it computes as a member beside others, when the pool has a thread for each device:
  the arrays are too small for XLA to split. `PJRT_NPROC`, if it is set, decides; with an accelerator nothing is done.

  Args:
    experiment: whose environments lie on one device.
  """
  if is_small(experiment) and not _may_have_accelerator():
    os.environ.setdefault("PJRT_NPROC", "1")


def is_small(experiment: Experiment) -> bool:
  """Whether it is one seed, and activations and weights of the hidden layers are arrays that XLA would not split.

  What the environment computes is not counted, since it is made later; so one by its import path never is small.
  """
  config = experiment.config
  if experiment.run.num_seeds > 1 or envs.is_imported(experiment.env["name"]):
    return False
  if any(hasattr(group, "units") for group in config.own.values()):  # a learned model, with batches of its own
    return False
  most = _LARGEST // (8 if jax.config.values["jax_enable_x64"] else 4)
  samples = max(config.num_envs * config.horizon, experiment.run.evaluation_episodes)
  for units in (config.actor.units, config.critic.units):
    sizes = [samples * max(units, default=1), *(first * second for first, second in itertools.pairwise(units))]
    if max(sizes) > most:
      return False
  return True


def _may_have_accelerator() -> bool:
  """Whether JAX could find one; to ask it for its devices would fix the number of threads."""
  if jax.config.values["jax_platforms"]:
    return jax.config.values["jax_platforms"] != "cpu"
  return bool(importlib.metadata.entry_points(group="jax_plugins")) or importlib.util.find_spec("libtpu") is not None
