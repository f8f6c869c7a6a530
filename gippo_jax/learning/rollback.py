"""Back to what was best when a training has lost what it had learnt.

A policy that has been driven where neither estimate of its gradient sees anything, actions saturated and episodes over
at once, does not come back by itself.
"""

import jax
import jax.numpy as jnp
from flax import struct

from gippo_jax.envs.base import PyTree
from gippo_jax.learning.state import ReturnTracker, TrainingState

# Of what was gained, the share that has to be kept at the end of the training. It rises from none with the square of
# time: while steps are long a policy often gets worse before it gets better, and mostly by itself.
_LAST_SHARE = 0.95

# Of the number of episodes that are waited for; beyond, it would leave the integers.
_MOST_DOUBLINGS = 16

# What is so many standard errors below that is no noise.
_DEVIATIONS = 4.0

# What a training has learnt; its environments, random key, epoch and statistics of returns go on.
_LEARNT = ("actor", "critic", "target_critic", "critic_moments", "observation_statistics", "value_statistics")


class Snapshot(struct.PyTreeNode):
  """What a training goes back to.

  Attributes:
    learnt: the fields of the state that are learnt, of the epoch with the best running mean of returns.
    first: the running mean when it first was one of all episodes that it can hold; -inf before.
    patience: number of finished episodes from which a loss is believed; those before are of the policy that was left.
    count: how often the training went back.
  """

  learnt: dict[str, PyTree]
  first: jax.Array
  patience: jax.Array
  count: jax.Array


def learnt_of(state: TrainingState) -> dict[str, PyTree]:
  """What the state has learnt."""
  return {name: getattr(state, name) for name in _LEARNT}


def init_snapshot(state: TrainingState) -> Snapshot:
  """Before the first epoch."""
  zero = jnp.zeros((), jnp.int32)
  return Snapshot(jax.tree.map(jnp.copy, learnt_of(state)), jnp.full_like(state.returns.mean, -jnp.inf), zero, zero)


def has_collapsed(returns: ReturnTracker, snapshot: Snapshot, done: jax.Array) -> jax.Array:
  """Whether too much of what was gained is lost, by more than noise.

  Args:
    returns: of the exploring policy.
    snapshot: what there is to go back to.
    done: share of the training that is done, in [0, 1].
  """
  capacity = returns.recent.shape[0]
  error = jnp.std(returns.recent) / jnp.sqrt(jnp.asarray(capacity, returns.mean.dtype))
  has_first = jnp.isfinite(snapshot.first)
  first = jnp.where(has_first, snapshot.first, 0.0)
  least = first + _LAST_SHARE * done**2 * (returns.best - first)
  is_known = has_first & (returns.finished >= capacity) & (returns.finished >= snapshot.patience)
  return is_known & (returns.mean + _DEVIATIONS * error < least)


def roll_back(
  before: TrainingState, after: TrainingState, snapshot: Snapshot, done: jax.Array
) -> tuple[TrainingState, Snapshot]:
  """The state after an epoch, or what is left of it when what was learnt is taken back.

  Args:
    before: the state that acted in the epoch.
    after: the epoch.
    snapshot: of the epochs before.
    done: share of the training that is done, in [0, 1].

  Returns:
    The state and the snapshot after the epoch.
  """
  returns = after.returns
  is_best = returns.best > before.returns.best
  is_lost = has_collapsed(returns, snapshot, done)

  def choose(condition, new, old):
    return jax.tree.map(lambda one, other: jnp.where(condition, one, other), new, old)

  is_first = ~jnp.isfinite(snapshot.first) & (returns.finished >= returns.recent.shape[0])
  learnt = choose(is_best, learnt_of(before), snapshot.learnt)
  # Of the policy that is left, in the mean or on the way. Going back again and again would be no training: each time
  # twice as many episodes are waited for.
  num_episodes = returns.recent.shape[0] + returns.running.shape[0]
  num_to_come = num_episodes * 2 ** jnp.minimum(snapshot.count, _MOST_DOUBLINGS)
  snapshot = Snapshot(
    learnt,
    jnp.where(is_first, returns.mean, snapshot.first),
    jnp.where(is_lost, returns.finished + num_to_come, snapshot.patience),
    snapshot.count + is_lost.astype(snapshot.count.dtype),
  )
  return after.replace(**choose(is_lost, learnt, learnt_of(after))), snapshot
