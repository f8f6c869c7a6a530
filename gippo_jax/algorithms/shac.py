"""Short-horizon actor-critic (Xu et al., "Accelerated Policy Learning with Parallel Differentiable Simulation", ICLR
2022): RP on plain discounted returns.

It is RP with lambda = 1 in the actor's objective, and divides by the number of samples, not of segments:
`L = -(1 / (N h)) sum over segments of [sum_k discount^k r_k + discount^K V'(s_K)]`, `V'` the target critic.
"""

from typing import Any

import jax.numpy as jnp

from gippo_jax.algorithms.base import Algorithm
from gippo_jax.algorithms.gradient_step import Estimate, gradient_step_algorithm
from gippo_jax.algorithms.rp import collect_with_return_gradient, reparameterized_loss, total_return
from gippo_jax.learning.optimization import value_and_flat_gradient


def make(env: Any) -> Algorithm:
  """SHAC on `env`, a batch of environments."""

  def estimate(networks, config, state, draws):
    config = config.replace(actor_gae_lambda=jnp.ones_like(config.actor_gae_lambda))
    environment, window, return_gradient, metrics = collect_with_return_gradient(
      env, networks, config, state, draws.noise
    )
    _, gradient = value_and_flat_gradient(
      lambda actor: reparameterized_loss(networks, actor, window.observation, window.noise, return_gradient)
    )(state.actor)
    num_samples = window.reward.size
    loss = -total_return(config, window) / num_samples
    return Estimate(environment, window, loss, gradient / num_samples, metrics)

  return gradient_step_algorithm(env, estimate, lambda config: config.shac, needs_environment_gradients=True)
