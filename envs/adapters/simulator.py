"""The adapter for environments with Brax's interface; MuJoCo Playground has it too."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from gippo_jax.envs.adapters.common import settle, to_scalar
from gippo_jax.envs.adapters.mjx_search import finite_line_search
from gippo_jax.envs.base import PyTree, State, require_positive_integer
from gippo_jax.envs.third_party import standard_promotion, traced_once


@dataclasses.dataclass(frozen=True, eq=False)
class Simulator:
  """An environment with Brax's interface behind the contract of `envs.base`.

  The inner state, its `info` and `metrics` included, is the physics. `done` is a termination, save where the inner
  environment writes `info["truncation"]`. Actions are clipped to [-1, 1], the range both packages scale from. Steps of
  MJX have the derivative of a solver that has converged (`mjx_search`).

  Attributes:
    inner: object with `reset(rng)`, `step(state, action)` and `action_size`, without time limit and automatic reset.
    name: for messages, e.g. `brax:ant`.
    episode_length: time limit in steps.
    observation: entry the policy sees where the inner observation is a dict of arrays.
    gradient_advice, batch_last, many_kernels: see `envs.base.Environment`.
  """

  inner: Any
  name: str
  episode_length: int
  observation: str = "state"
  gradient_advice: str = ""
  batch_last: bool = False
  many_kernels: bool = False

  differentiable = True

  def __post_init__(self):
    require_positive_integer("episode_length", self.episode_length)
    with standard_promotion():
      obs = jax.eval_shape(lambda key: self.inner.reset(jax.random.key_data(key)), jax.random.key(0)).obs
    if isinstance(obs, Mapping):
      vectors = [entry for entry, value in obs.items() if getattr(value, "ndim", None) == 1]
      if self.observation not in vectors:
        raise ValueError(
          f"env.observation: {self.observation!r} is not allowed; allowed: the vectors among the observations of "
          f"{self.name}, which are: {', '.join(vectors) or 'none'}"
        )
    elif obs.ndim != 1:
      raise ValueError(f"env.name: {self.name!r} has observations of shape {obs.shape}; allowed: vectors")

  @functools.cached_property
  def observation_size(self) -> int:
    return jax.eval_shape(self.reset, jax.random.key(0)).obs.shape[0]

  @functools.cached_property
  def action_size(self) -> int:
    return int(self.inner.action_size)

  @traced_once
  def reset(self, key: jax.Array) -> State:
    with standard_promotion():
      # Both packages use keys of the old kind, arrays of integers, and so may an environment's own code.
      inner = settle(self.inner.reset(jax.random.key_data(key)))
    zero = jnp.zeros(())
    return State(physics=inner, obs=self._observe(inner), reward=zero, terminated=zero, truncated=zero)

  @traced_once
  def step(self, state: State, action: jax.Array) -> State:
    # Environments write into the dicts of the state that they are given; they get a copy, so that `step` stays pure.
    before = jax.tree.map(lambda leaf: leaf, state.physics)
    with standard_promotion(), finite_line_search():
      inner = settle(self.inner.step(before, jnp.clip(action, -1.0, 1.0)), like=state.physics)
    truncated = to_scalar(inner.info.get("truncation", 0.0))
    return State(
      physics=inner,
      obs=self._observe(inner),
      reward=to_scalar(inner.reward),
      terminated=to_scalar(inner.done) * (1.0 - truncated),
      truncated=truncated,
    )

  def _observe(self, inner: PyTree) -> jax.Array:
    obs = inner.obs[self.observation] if isinstance(inner.obs, Mapping) else inner.obs
    return jnp.asarray(obs, float)
