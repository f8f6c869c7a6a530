"""The whole state of a training run as one typed pytree: what the compiled code carries and what a checkpoint holds."""

import jax
import jax.numpy as jnp
import optax
from flax import struct

from gippo_jax.envs.base import PyTree
from gippo_jax.envs.wrappers import EpisodeState
from gippo_jax.learning.normalization import RunningStatistics


class ReturnTracker(struct.PyTreeNode):
  """Undiscounted returns of the last 100 finished episodes, and the best mean they ever had.

  Attributes:
    recent: ring buffer of returns, `[100]`.
    finished: number of episodes finished so far.
    rejected: number of episodes whose return was no finite number; they are in no mean.
    mean: of the last 100 finished episodes (of all when fewer) at the end of an epoch; 0 before the first ends.
    best: largest mean of the buffer at the end of an epoch; -inf before the first episode ends.
    running: return so far of each unfinished episode, `[N]`; infinite where its first steps are not known, as of the
      shortened episodes that staggered environments begin with, which are in no mean.
  """

  recent: jax.Array
  finished: jax.Array
  rejected: jax.Array
  mean: jax.Array
  best: jax.Array
  running: jax.Array

  def update(self, reward: jax.Array, done: jax.Array) -> "ReturnTracker":
    """Adds a window.

    Args:
      reward: `[T, N]`.
      done: 1 where the step ended its episode, `[T, N]`.
    """

    def step(running, transition):
      reward_t, done_t = transition
      total = running + reward_t
      return jnp.where(done_t > 0, 0.0, total), total

    running, totals = jax.lax.scan(step, self.running, (reward, done))
    capacity = self.recent.shape[0]
    finite = jnp.isfinite(jnp.ravel(totals))
    ended = (jnp.ravel(done) > 0) & finite
    rejected = jnp.sum((jnp.ravel(done) > 0) & ~finite & ~jnp.isposinf(jnp.ravel(totals)), dtype=jnp.int32)
    order = jnp.cumsum(ended.astype(jnp.int32))  # 1, 2, ... for the episodes in the order they ended
    # Only the last `capacity` episodes are written: two writes to one slot would race.
    written = ended & (order > order[-1] - capacity)
    slot = jnp.where(written, (self.finished + order - 1) % capacity, capacity)
    recent = self.recent.at[slot].set(jnp.ravel(totals), mode="drop")
    finished = self.finished + order[-1]
    mean = jnp.sum(recent) / jnp.clip(finished, 1, capacity).astype(recent.dtype)
    best = jnp.where(finished > 0, jnp.fmax(self.best, mean), self.best)
    return ReturnTracker(
      recent=recent, finished=finished, rejected=self.rejected + rejected, mean=mean, best=best, running=running
    )

  def without(self, shortened: jax.Array) -> "ReturnTracker":
    """Leaves the unfinished episodes out that are `shortened`, `[N]`."""
    return self.replace(running=jnp.where(shortened, jnp.inf, self.running))


def init_return_tracker(num_envs: int, capacity: int = 100) -> ReturnTracker:
  """A tracker that has seen nothing."""
  return ReturnTracker(
    recent=jnp.zeros((capacity,)),
    finished=jnp.zeros((), jnp.int32),
    rejected=jnp.zeros((), jnp.int32),
    mean=jnp.zeros(()),
    best=jnp.asarray(-jnp.inf, jnp.zeros(()).dtype),
    running=jnp.zeros((num_envs,)),
  )


class PolicyState(struct.PyTreeNode):
  """All that acting takes.

  Attributes:
    actor: parameters of the policy.
    observation_statistics: running statistics of raw observations, `[O]`.
  """

  actor: PyTree
  observation_statistics: RunningStatistics


class TrainingState(struct.PyTreeNode):
  """Everything that changes during training.

  Attributes:
    key: random key of the epochs to come.
    epoch: number of epochs done.
    actor: parameters of the policy.
    critic: parameters of the value network.
    target_critic: its slowly following copy, which estimates all values.
    critic_moments: optimiser state of the critic.
    algorithm: what is the algorithm's own: optimiser states, base rates, alpha.
    environment: the batch of environments, `envs.wrappers.EpisodeState` with leading axis `[N]`.
    episode_start: 1 where the next step begins an episode, `[N]`.
    observation_statistics: running statistics of raw observations, `[O]`.
    value_statistics: running statistics of value targets, of rewards where critics value actions; scalar.
    returns: tracker of finished episodes.
    best_policy: the policy of the epoch whose mean return is `returns.best`; the first one before any episode ends.
    model: of the environment, where the algorithm learns one; else nothing.
  """

  key: jax.Array
  epoch: jax.Array
  actor: PyTree
  critic: PyTree
  target_critic: PyTree
  critic_moments: optax.ScaleByAdamState
  algorithm: PyTree
  environment: EpisodeState
  episode_start: jax.Array
  observation_statistics: RunningStatistics
  value_statistics: RunningStatistics
  returns: ReturnTracker
  best_policy: PolicyState
  model: PyTree = ()

  @property
  def policy(self) -> PolicyState:
    """The policy of the next epoch."""
    return PolicyState(self.actor, self.observation_statistics)


def best_or_last(states: TrainingState) -> PolicyState:
  """The best policy, or the last one where no episode has finished that could tell them apart.

  Args:
    states: of one member, or of several with a leading axis.
  """
  some = states.returns.finished > 0

  def choose(best, last):
    return jnp.where(some.reshape(some.shape + (1,) * (best.ndim - some.ndim)), best, last)

  return jax.tree.map(choose, states.best_policy, states.policy)
