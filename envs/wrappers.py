"""Wrappers every environment is run in: time limit, automatic reset, batch.

The order is fixed: `vectorize(env, n)` is `Batch(AutoReset(TimeLimit(env)), n)`; the time limit stands on the border
(`envs.border`), behind which everything has the default float type.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from gippo_jax.envs.base import Environment, State
from gippo_jax.envs.border import Cast, check
from gippo_jax.envs.lanes import program as lanes


class TimedPhysics(struct.PyTreeNode):
  """Inner physics with the number of steps taken in the episode."""

  inner: Any
  steps: jax.Array


@dataclasses.dataclass(frozen=True)
class TimeLimit:
  """Truncates an episode after `env.episode_length` steps.

  The environment's word counts: a step that it terminates is worth nothing afterwards, also at the limit and where it
  truncates it as well.
  """

  env: Environment

  def reset(self, key: jax.Array) -> State:
    state = Cast(self.env).reset(key)
    return state.replace(physics=TimedPhysics(state.physics, jnp.zeros((), jnp.int32)))

  def step(self, state: State, action: jax.Array) -> State:
    steps = state.physics.steps + 1
    # The flags of the step before are cleared, so that an environment may write only those it means to raise.
    zero = jnp.zeros_like(state.reward)
    before = state.replace(physics=state.physics.inner, reward=zero, terminated=zero, truncated=zero)
    inner = Cast(self.env).step(before, action)
    out_of_time = (steps >= self.env.episode_length).astype(inner.truncated.dtype)
    truncated = jnp.maximum(inner.truncated, out_of_time) * (1 - inner.terminated)
    return inner.replace(physics=TimedPhysics(inner.physics, steps), truncated=truncated)


def undo_failure(before: State, reached: State) -> tuple[State, jax.Array]:
  """Cuts the episode before a step whose reward or observation is not finite.

  As by a time limit, with reward 0 and the observation before the step as the last one: so a simulator that fails
  neither pays nor costs.

  Args:
    before: the state the step began in.
    reached: the state it led to.

  Returns:
    The state to go on with, and whether the step failed, a Boolean scalar.
  """
  failed = ~(jnp.all(jnp.isfinite(reached.obs)) & jnp.isfinite(reached.reward))
  zero = jnp.zeros_like(reached.reward)
  return reached.replace(
    obs=jnp.where(failed, before.obs, reached.obs),
    reward=jnp.where(failed, zero, reached.reward),
    terminated=jnp.where(failed, zero, reached.terminated),
    truncated=jnp.where(failed, zero + 1, reached.truncated),
  ), failed


class EpisodeState(struct.PyTreeNode):
  """State of an environment that resets itself.

  Attributes:
    current: state the next action acts on; after the end of an episode the start of the next one. Its reward and end
      flags belong to the last step taken.
    final_obs: observation the last step reached, before any reset.
    fault: 1 where the last step failed: its action, reward or observation was not finite.
    key: the environment's own key, from which the next start is drawn.
  """

  current: State
  final_obs: jax.Array
  fault: jax.Array
  key: jax.Array

  @property
  def done(self) -> jax.Array:
    """1 where the last step ended its episode."""
    return jnp.maximum(self.current.terminated, self.current.truncated)

  @property
  def steps(self) -> jax.Array:
    """Steps of the episode so far, as the time limit counts them."""
    return self.current.physics.steps


@dataclasses.dataclass(frozen=True)
class AutoReset:
  """Begins a fresh episode when one ends.

  The start is drawn from the environment's own key, and no gradient crosses it.

  A step that fails is undone (`undo_failure`).
  """

  env: TimeLimit

  def reset(self, key: jax.Array) -> EpisodeState:
    key, start_key = jax.random.split(key)
    state = self.env.reset(start_key)
    return EpisodeState(current=state, final_obs=state.obs, fault=jnp.zeros_like(state.reward), key=key)

  def step(self, state: EpisodeState, action: jax.Array) -> EpisodeState:
    reached, start_key = self.advance(state, action)
    return go_on(reached, self.begin(start_key))

  def advance(self, state: EpisodeState, action: jax.Array) -> tuple[EpisodeState, jax.Array]:
    """A step without the reset behind it, and the key of the start that follows if it ended an episode."""
    key, start_key = jax.random.split(state.key)
    reached, failed = undo_failure(state.current, self.env.step(state.current, action))
    fault = (failed | ~jnp.all(jnp.isfinite(action))).astype(reached.reward.dtype)
    return EpisodeState(current=reached, final_obs=reached.obs, fault=fault, key=key), start_key

  def begin(self, start_key: jax.Array) -> State:
    """The start of an episode, which no gradient crosses."""
    return jax.lax.stop_gradient(self.env.reset(start_key))


def go_on(reached: EpisodeState, start: State) -> EpisodeState:
  """Puts a fresh start in the place of a state that ended its episode."""
  physics, obs = jax.tree.map(
    lambda fresh, continued: jnp.where(reached.done > 0, fresh, continued),
    (start.physics, start.obs),
    (reached.current.physics, reached.current.obs),
  )
  return reached.replace(current=reached.current.replace(physics=physics, obs=obs))


@dataclasses.dataclass(frozen=True)
class Batch:
  """`size` independent copies of an environment; every array gains a leading axis.

  Attributes:
    env: the environment.
    size: number of copies.
    staggered: the time limit of copy `i` starts at `i / size` of an episode, that of all later episodes at 0. Copies
      that start together reach the time limit together, in every episode: a window then holds one phase of it, and
      ends of episodes come all at once. What else knows the time, such as a clock in the observation, starts at 0.
  """

  env: AutoReset
  size: int
  staggered: bool = False

  @property
  def base(self) -> Environment:
    """The environment inside the wrappers."""
    return self.env.env.env

  def reset(self, key: jax.Array) -> EpisodeState:
    state = jax.vmap(self.env.reset)(jax.random.split(key, self.size))
    if not self.staggered:
      return state
    steps = np.arange(self.size, dtype=np.int64) * self.base.episode_length // self.size
    physics = state.current.physics.replace(steps=jnp.asarray(steps, jnp.int32))
    return state.replace(current=state.current.replace(physics=physics))

  def step(self, state: EpisodeState, action: jax.Array) -> EpisodeState:
    # Accelerators have their own threads for the copies, whatever axis they lie along.
    is_last = getattr(self.base, "batch_last", False) and jax.default_backend() == "cpu"
    advance = lanes.vectorized(self.env.advance) if is_last else jax.vmap(self.env.advance)
    reached, start_keys = advance(state, action)
    # A simulator's reset costs about as much as its step, and most steps end no episode.
    starts = jax.lax.cond(
      jnp.any(reached.done > 0),
      lambda: jax.vmap(self.env.begin)(start_keys),
      lambda: jax.lax.stop_gradient(reached.current),
    )
    return jax.vmap(go_on)(reached, starts)


def vectorize(env: Environment, size: int, staggered: bool = False) -> Batch:
  """Returns `size` copies of `env` with time limit and automatic reset.

  Args:
    env: the environment.
    size: number of copies.
    staggered: as in `Batch`.

  Raises:
    ValueError: when `env` does not keep its contract (`border.check`).
  """
  check(env)
  return Batch(AutoReset(TimeLimit(env)), size, staggered)
