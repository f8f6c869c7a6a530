"""Function optimisation as one-step episodes (the paper's Table 1).

The observation is the constant 0; the action is the point, clipped to [-1, 1] and scaled to the function's box; the
reward is minus the function's value. The end of the one step counts as a time limit.

The functions are the classical ones (Surjanovic & Bingham, Virtual Library of Simulation Experiments), each shifted so
that its minimum is 0.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gippo_jax.envs.base import State, require_positive_integer

Array = jax.Array


def dejong(x: Array) -> Array:
  """De Jong's sphere `sum_i x_i^2`; minimum 0 at 0."""
  return jnp.sum(x**2)


def ackley(x: Array) -> Array:
  """Ackley's function `-a exp(-b sqrt(mean x_i^2)) - exp(mean cos(c x_i)) + a + e`, `a, b, c = 20, 0.2, 2 pi`.

  Written with `expm1` and the half angle so that float32 keeps its digits near the minimum 0 at 0. The gradient at
  exactly 0, which is 0/0, is 0.
  """
  mean_square = jnp.mean(x**2)
  # The square root's argument is replaced, not its result: a `where` after the root would still send 0 * inf back.
  is_zero = mean_square == 0
  root = jnp.where(is_zero, 0.0, jnp.sqrt(jnp.where(is_zero, 1.0, mean_square)))
  mean_cosine_less_one = jnp.mean(-2.0 * jnp.sin(jnp.pi * x) ** 2)
  return -20.0 * jnp.expm1(-0.2 * root) - jnp.e * jnp.expm1(mean_cosine_less_one)


def rosenbrock(x: Array) -> Array:
  """Rosenbrock's valley `sum_i 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2`; minimum 0 at 1.

  In one dimension, where there is no pair, it is `(1 - x)^2`.
  """
  if x.size == 1:
    return jnp.sum((1.0 - x) ** 2)
  return jnp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def rastrigin(x: Array) -> Array:
  """Rastrigin's function `sum_i x_i^2 + 10 (1 - cos(2 pi x_i))`; minimum 0 at 0."""
  return jnp.sum(x**2 + 20.0 * jnp.sin(jnp.pi * x) ** 2)


def griewank(x: Array) -> Array:
  """Griewank's function `1 + sum_i x_i^2 / 4000 - prod_i cos(x_i / sqrt(i))`; minimum 0 at 0."""
  index = jnp.arange(1, x.size + 1, dtype=x.dtype)
  return 1.0 + jnp.sum(x**2) / 4000.0 - jnp.prod(jnp.cos(x / jnp.sqrt(index)))


# Least value per dimension of Styblinski-Tang, at x_i = -2.903534027771177.
_STYBLINSKI_TANG_MINIMUM = -39.166165703771405


def styblinski_tang(x: Array) -> Array:
  """Styblinski-Tang's function `sum_i (x_i^4 - 16 x_i^2 + 5 x_i) / 2`, shifted to minimum 0 at -2.9035."""
  return jnp.sum(0.5 * (x**4 - 16.0 * x**2 + 5.0 * x) - _STYBLINSKI_TANG_MINIMUM)


class Function(NamedTuple):
  """A function with the half width of the box it is searched in."""

  value: Callable[[Array], Array]
  bound: float


FUNCTIONS = {
  "dejong": Function(dejong, 5.12),
  "ackley": Function(ackley, 32.768),
  "rosenbrock": Function(rosenbrock, 2.048),
  "rastrigin": Function(rastrigin, 5.12),
  "griewank": Function(griewank, 600.0),
  "styblinski_tang": Function(styblinski_tang, 5.0),
}


@dataclasses.dataclass(frozen=True)
class FunctionOptimization:
  """Maximise `-f(bound * action)` in episodes of one step.

  Attributes:
    name: a key of `FUNCTIONS`.
    dimension: number of entries of the point.

  Raises:
    ValueError: for an unknown name or a dimension below 1.
  """

  name: str
  dimension: int

  def __post_init__(self):
    if self.name not in FUNCTIONS:
      raise ValueError(f"env.name: {self.name!r} is not a function; known: {', '.join(FUNCTIONS)}")
    require_positive_integer("dimension", self.dimension)

  observation_size = 1
  episode_length = 1
  differentiable = True

  @property
  def action_size(self) -> int:
    return self.dimension

  def reset(self, key: Array) -> State:
    del key  # every episode starts alike
    zero = jnp.zeros(())
    return State(physics=(), obs=jnp.zeros((1,)), reward=zero, terminated=zero, truncated=zero)

  def step(self, state: State, action: Array) -> State:
    function = FUNCTIONS[self.name]
    point = function.bound * jnp.clip(action, -1.0, 1.0)
    return state.replace(reward=-function.value(point))
