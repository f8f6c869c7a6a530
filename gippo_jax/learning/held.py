"""Where a policy is held while a step changes it: at this window's observations and at past ones.

A window sees a part of an episode, and in environments that start together all of them the same part. A step whose
divergence is limited there alone may change the policy elsewhere as it likes: what was learnt of other parts is lost.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gippo_jax.envs.base import PyTree
from gippo_jax.fields import Real
from gippo_jax.learning import gaussian
from gippo_jax.learning.policies import Gaussian, policy_of
from gippo_jax.learning.rollout import Window
from gippo_jax.learning.setup import Setup
from gippo_jax.learning.sharding import spread
from gippo_jax.learning.state import TrainingState


def init_memory(setup: Setup) -> jax.Array:
  """The memory before the first window, which replaces all of it, `[T, N // 2, O]`."""
  return jnp.zeros((setup.config.horizon, setup.config.num_envs // 2, setup.observation_size))


class Held(NamedTuple):
  """Where the policy is held: observations of this window and of past ones, and `pi_old` there.

  Attributes:
    observation: normalised, `[S, O]`.
    policy: `pi_old`, `[S, A]` each.
  """

  observation: jax.Array
  policy: Gaussian


def remember(state: TrainingState, memory: jax.Array, window: Window, renewal: Real, key: jax.Array) -> jax.Array:
  """The memory with a share of it, chosen at random, replaced by this window's observations; all of it at first.

  Args:
    state: before the epoch.
    memory: raw observations of past windows, `[T, N // 2, O]`.
    window: the epoch's experience.
    renewal: share that is replaced.
    key: for the choice.
  """
  current = window.raw_observation[:, -memory.shape[1] :]
  share = jnp.where(state.epoch == 0, 1.0, renewal)
  # An observation that is not finite would be held for many epochs.
  is_replaced = (jax.random.uniform(key, memory.shape[:2]) < share) & jnp.all(jnp.isfinite(current), axis=-1)
  return jnp.where(is_replaced[..., None], current, memory)


def hold(setup: Setup, state: TrainingState, window: Window, memory: jax.Array) -> Held:
  """The first half of the window's environments, and the memory in the place of the others."""
  num_current = window.observation.shape[1] - memory.shape[1]
  past = policy_of(setup, state.policy).normalize(memory)
  obs = jnp.concatenate([window.observation[:, :num_current], past], axis=1)
  obs = spread(obs.reshape(-1, obs.shape[-1]), axis=0)
  return Held(obs, Gaussian(*setup.networks.policy(state.actor, obs)))


def divergence_at(setup: Setup, actor: PyTree, held: Held, log_std_weight: Real = 1.0) -> jax.Array:
  """Mean divergence of a policy from the one that is held."""
  new = Gaussian(*setup.networks.policy(actor, held.observation))
  old = held.policy
  return jnp.mean(gaussian.weighted_divergence(new.mean, new.log_std, old.mean, old.log_std, log_std_weight))
