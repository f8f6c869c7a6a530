"""A drone that is to hover at a height, in one dimension."""

import dataclasses

import jax
import jax.numpy as jnp

import gippo_jax as gj


@dataclasses.dataclass(frozen=True)
class Hover:
  """Hold the height 0 by thrust, against gravity and a gust that is drawn at every step.

  Attributes:
    mass: kg.
    gust: standard deviation of the gust's force, N.
    episode_length: steps of 0.05 s.
  """

  mass: float = 1.0
  gust: float = 0.5
  episode_length: int = 60

  observation_size = 2
  action_size = 1
  observation_names = ("height (m)", "speed (m/s)")
  action_names = ("thrust (20 N)",)
  differentiable = True
  figure_size = (3.0, 4.0)

  def reset(self, key):
    key, start_key = jax.random.split(key)
    height, speed = jax.random.uniform(start_key, (2,), minval=-1.0, maxval=1.0)
    return self._state({"height": height, "speed": speed, "key": key, "steps": 0}, reward=0)

  def step(self, state, action):
    key, gust_key = jax.random.split(state.physics["key"])
    thrust = 20.0 * jnp.clip(action[0], -1.0, 1.0)
    force = thrust - 9.81 * self.mass + self.gust * jax.random.normal(gust_key)
    speed = state.physics["speed"] + 0.05 * force / self.mass
    height = state.physics["height"] + 0.05 * speed
    physics = {"height": height, "speed": speed, "key": key, "steps": state.physics["steps"] + 1}
    return self._state(physics, reward=1.0 - height**2 - 0.1 * speed**2)

  def _state(self, physics, reward):
    obs = jnp.stack([physics["height"], physics["speed"]])
    crashed = jnp.abs(physics["height"]) > 5.0
    return gj.State(physics=physics, obs=obs, reward=reward, terminated=crashed, truncated=False)

  # What follows is for `python -m gippo_jax render` alone.

  def page(self, trajectory, title):
    heights = ", ".join(f"{height:.2f}" for height in trajectory.states.physics["height"])
    return f"<!doctype html><title>{title}</title><h1>{title}</h1><p>heights in m: {heights}</p>"

  def draw(self, axes, trajectory, step):
    axes.set_ylim(-5.0, 5.0)
    axes.plot([-0.3, 0.3], [trajectory.states.physics["height"][step]] * 2, linewidth=6)
    axes.axhline(0.0, linestyle=":")
