"""Gradients of an expected cost by particles: every step's next state is drawn from a Gaussian, whose noise is known.

`x_{t+1} = mean(x_t; theta) + std(x_t; theta) e_t`, and `J = mean over the particles of sum_t w_t c(x_{t+1})`. The node
of each step is the state itself, so that total propagation (Parmas et al., PIPPS, ICML 2018), backpropagation and the
likelihood ratio are one sweep with another mixer.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gippo_jax.envs.base import PyTree
from gippo_jax.learning.gaussian import sample
from gippo_jax.learning.output_gradients import likelihood_ratio
from gippo_jax.learning.total_propagation import Mixer, Outputs, Steps, Swept, by_parameter_variance, sweep

# Maps states `[N, D]` to costs `[N]`.
Cost = Callable[[jax.Array], jax.Array]


class Cloud(NamedTuple):
  """Particles and what they cost.

  Attributes:
    states: before each step and behind the last, `[T + 1, N, D]`.
    noise: `e`, `[T, N, D]`.
    costs: weighted, of the state that each step reached, `[T, N]`.
  """

  states: jax.Array
  noise: jax.Array
  costs: jax.Array

  @property
  def cost(self) -> jax.Array:
    """Mean over the particles of the sum over the steps."""
    return jnp.mean(jnp.sum(self.costs, axis=0))

  @property
  def cost_to_go(self) -> jax.Array:
    """What each particle costs from the state on that a step reached, `[T, N]`."""
    return jnp.flip(jnp.cumsum(jnp.flip(self.costs, axis=0), axis=0), axis=0)


def roll(
  parameters: PyTree, outputs: Outputs, cost: Cost, start: jax.Array, noise: jax.Array, weights: jax.Array
) -> Cloud:
  """Draws a cloud.

  Args:
    parameters: `theta`.
    outputs: maps parameters and states `[N, D]` to mean and log standard deviation of the next ones.
    cost: of a state.
    start: `[N, D]`.
    noise: `e`, `[T, N, D]`.
    weights: of the steps' costs, `[T]`.
  """

  def step(state, eps):
    state = sample(*outputs(parameters, state), eps)
    return state, state

  _, reached = jax.lax.scan(step, start, noise)
  costs = weights[:, None] * jax.vmap(cost)(reached)
  return Cloud(jnp.concatenate([start[None], reached]), noise, costs)


def cost_gradient(
  parameters: PyTree,
  outputs: Outputs,
  cost: Cost,
  cloud: Cloud,
  weights: jax.Array,
  mixer: Mixer = by_parameter_variance,
) -> PyTree:
  """Estimate of `dJ / dtheta`, like the parameters.

  The likelihood ratio weighs the cost from its step on, less the other particles' mean.

  Args:
    parameters, outputs, cost, weights: as for `roll`, which drew the cloud.
    cloud: of at least two particles.
    mixer: of the two messages; `total_propagation.constant(0.0)` is backpropagation, `constant(1.0)` the likelihood
      ratio.
  """
  messages = likelihood_ratio(cloud.cost_to_go, cloud.noise)
  return sweep_cloud(parameters, outputs, cost, cloud, weights, cloud.states[:-1], jnp.add, messages, mixer).gradient


def sweep_cloud(
  parameters: PyTree,
  outputs: Outputs,
  cost: Cost,
  cloud: Cloud,
  weights: jax.Array,
  seen: PyTree,
  observe: Callable[[jax.Array, PyTree], jax.Array],
  messages: jax.Array,
  mixer: Mixer,
) -> Swept:
  """The sweep behind `cost_gradient`, for outputs that take more than the state and for other messages.

  Args:
    parameters: `theta`.
    outputs: maps parameters and what was seen to mean and log standard deviation of the next states, `[N, D]`.
    cost: of a state.
    cloud: of at least two particles.
    weights: of the steps' costs, `[T]`.
    seen: what the outputs take at each step, `[T, N, ...]`; of it, `observe` finds the state.
    observe: adds the derivative by what was seen to that by the state, `[N, D]`.
    messages: of the likelihood ratio, by `y = (mean / std, log std)`, `[T, N, 2 D]`.
    mixer: of the two messages.
  """

  def dynamics(message, step):
    reached, weight = step
    slope = jax.grad(lambda states: jnp.sum(cost(states)))(reached)
    message = message + weight * slope
    # The state is the node: the step's start reaches it through the node's distribution alone.
    return jnp.zeros_like(message), message

  steps = Steps(
    dynamics=(cloud.states[1:], weights),
    obs=seen,
    noise=cloud.noise,
    likelihood_ratio=messages,
    scale=jnp.ones_like(cloud.costs),
  )
  return sweep(parameters, outputs, dynamics, observe, jnp.zeros_like(cloud.states[0]), steps, mixer)
