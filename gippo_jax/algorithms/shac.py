"""Short-horizon actor-critic (Xu et al., "Accelerated Policy Learning with Parallel Differentiable Simulation", ICLR
2022): RP on plain discounted returns.

It is RP with lambda = 1 in the actor's objective, and divides by the number of samples, not of segments:
`L = -(1 / (N h)) sum over segments of [sum_k discount^k r_k + discount^K V'(s_K)]`, `V'` the target critic.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gippo_jax.algorithms.base import Algorithm, Draws
from gippo_jax.algorithms.gradient_step import SHOWN, Estimate, RateConfig, gradient_step_algorithm
from gippo_jax.algorithms.rp import collect_with_return_gradient, reparameterized_loss, total_return
from gippo_jax.learning.optimization import value_and_flat_gradient
from gippo_jax.learning.setup import Setup
from gippo_jax.learning.state import TrainingState
from gippo_jax.registry import AlgorithmSpec


def estimate(
  setup: Setup,
  state: TrainingState,
  draws: Draws,
  before_policy: Callable[[jax.Array], jax.Array] = lambda obs: obs,
) -> Estimate:
  """SHAC's window, loss and gradient; `before_policy` as for `rollout.collect`."""
  discount = setup.config.discount
  gae_lambda = jnp.ones_like(discount)
  environment, window, return_gradient, metrics = collect_with_return_gradient(
    setup, state, draws.noise, gae_lambda, before_policy
  )
  _, gradient = value_and_flat_gradient(
    lambda actor: reparameterized_loss(setup.networks, actor, window.observation, window.noise, return_gradient)
  )(state.actor)
  num_samples = window.reward.size
  loss = -total_return(window, discount, gae_lambda) / num_samples
  return Estimate(environment, window, loss, gradient / num_samples, metrics)


def make(setup: Setup) -> Algorithm:
  """SHAC."""
  return gradient_step_algorithm(setup, estimate, setup.config.shac)


SPEC = AlgorithmSpec(
  name="shac",
  label="SHAC",
  groups={"shac": RateConfig},
  make=make,
  needs_environment_gradients=True,
  shown=SHOWN,
  summary="short-horizon actor-critic (Xu et al. 2022): RP on plain discounted returns",
)
