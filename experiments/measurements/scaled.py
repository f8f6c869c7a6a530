"""An environment in other units: `--config.env.name=gippo_jax.experiments.measurements.scaled:scaled`.

What an algorithm comes to should not depend on the unit of the rewards, and little on the strength of the actions.
"""

import dataclasses
from typing import cast

import jax

from gippo_jax import envs
from gippo_jax.envs.base import Environment, State


def scaled(base: str, reward: float = 1.0, action: float = 1.0, **parameters: object) -> Environment:
  """The environment of a name and its parameters, its rewards and the actions it receives multiplied."""
  return cast(Environment, Scaled(envs.make(base, **parameters), reward, action))


@dataclasses.dataclass(frozen=True)
class Scaled:
  """Another environment, its rewards and the actions it receives multiplied.

  Attributes:
    inner: the environment.
    reward: factor of the rewards.
    action: factor of the actions, which the environment clips afterwards if it clips.
  """

  inner: Environment
  reward: float
  action: float

  @property
  def observation_size(self) -> int:
    """Of the inner environment."""
    return self.inner.observation_size

  @property
  def action_size(self) -> int:
    """Of the inner environment."""
    return self.inner.action_size

  @property
  def episode_length(self) -> int:
    """Of the inner environment."""
    return self.inner.episode_length

  @property
  def differentiable(self) -> bool:
    """Of the inner environment."""
    return self.inner.differentiable

  def reset(self, key: jax.Array) -> State:
    """Starts the inner environment, whose state is the physics of this one's."""
    start = self.inner.reset(key)
    return start.replace(physics=start, reward=self.reward * start.reward)

  def step(self, state: State, action: jax.Array) -> State:
    """Steps the inner environment."""
    reached = self.inner.step(state.physics, self.action * action)
    return reached.replace(physics=reached, reward=self.reward * reached.reward)
