"""Likelihood ratio (LR; REINFORCE with a critic, Williams 1992): the paper's zeroth-order baseline of one step."""

from typing import Any

import jax
import jax.numpy as jnp

from gippo_jax.algorithms.base import Algorithm, collect, policy_advantage
from gippo_jax.algorithms.gradient_step import Estimate, gradient_step_algorithm
from gippo_jax.learning import gaussian as policy
from gippo_jax.learning.networks import Networks
from gippo_jax.learning.optimization import value_and_flat_gradient


def lr_loss(
  networks: Networks, actor: Any, observation: jax.Array, action: jax.Array, advantage: jax.Array
) -> jax.Array:
  """`mean(-A log pi(a | s))` (Eq. 13).

  Args:
    networks: actor and critic modules.
    actor: parameters of the policy.
    observation: normalised, `[..., O]`.
    action: unsquashed, `[..., A]`.
    advantage: as the loss weighs it, `[...]`.
  """
  mean, log_std = networks.policy(actor, observation)
  return jnp.mean(-advantage * policy.log_prob(mean, log_std, action))


def make(env: Any) -> Algorithm:
  """LR on `env`, a batch of environments."""

  def estimate(networks, config, state, draws):
    environment, window = collect(env, networks, config, state, draws.noise)
    advantage = policy_advantage(config, window.advantage)
    loss, gradient = value_and_flat_gradient(
      lambda actor: lr_loss(networks, actor, window.observation, window.action, advantage)
    )(state.actor)
    return Estimate(environment, window, loss, gradient, {})

  return gradient_step_algorithm(env, estimate, lambda config: config.lr, needs_environment_gradients=False)
