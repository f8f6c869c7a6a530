"""An environment whose values are the simulator's and whose derivatives are a model's."""

import dataclasses
from collections.abc import Callable

import jax

from gippo_jax.envs.base import Environment, State

# From an observation and an action to the observation and the reward that follow.
Prediction = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


@jax.custom_jvp
def with_derivative_of(value: jax.Array, model: jax.Array) -> jax.Array:
  """`value`, with the derivative of `model`: `model + stop_gradient(value - model)`, without its rounding."""
  del model
  return value


@with_derivative_of.defjvp
def _with_derivative_of_jvp(primals, tangents):
  return primals[0], tangents[1]


@dataclasses.dataclass(frozen=True)
class Decoupled:
  """`s' = m(s, a) + stop_gradient(s'_sim - m(s, a))`, the reward likewise: DMO (Amigo et al., CoRL 2025).

  The simulator is stepped with nothing differentiated, so that it needs no derivative; everything that a trainer
  differentiates passes the model, from observation to observation. What is no part of the observation has no
  derivative.

  Attributes:
    env: the simulator.
    predict: the model, for one environment.
  """

  env: Environment
  predict: Prediction

  differentiable = True

  @property
  def observation_size(self) -> int:
    return self.env.observation_size

  @property
  def action_size(self) -> int:
    return self.env.action_size

  @property
  def episode_length(self) -> int:
    return self.env.episode_length

  def reset(self, key: jax.Array) -> State:
    return self.env.reset(key)

  def step(self, state: State, action: jax.Array) -> State:
    reached = jax.lax.stop_gradient(self.env.step(*jax.lax.stop_gradient((state, action))))
    obs, reward = self.predict(state.obs, action)
    return reached.replace(obs=with_derivative_of(reached.obs, obs), reward=with_derivative_of(reached.reward, reward))
