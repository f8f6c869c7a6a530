"""Likelihood ratio (LR; REINFORCE with a critic, Williams 1992): the paper's zeroth-order baseline of one step."""

import jax
import jax.numpy as jnp

from gippo_jax.algorithms.base import Algorithm, collect, policy_advantage
from gippo_jax.algorithms.gradient_step import SHOWN, Estimate, RateConfig, gradient_step_algorithm
from gippo_jax.envs.base import PyTree
from gippo_jax.learning import gaussian
from gippo_jax.learning.agents import Networks
from gippo_jax.learning.optimization import value_and_flat_gradient
from gippo_jax.learning.setup import Setup
from gippo_jax.registry import AlgorithmSpec


def lr_loss(
  networks: Networks, actor: PyTree, observation: jax.Array, action: jax.Array, advantage: jax.Array
) -> jax.Array:
  """`mean(-A log pi(a | s))` (Eq. 13).

  Args:
    networks: actor and critic.
    actor: parameters of the policy.
    observation: normalised, `[..., O]`.
    action: unsquashed, `[..., A]`.
    advantage: as the loss weighs it, `[...]`.
  """
  mean, log_std = networks.policy(actor, observation)
  return jnp.mean(-advantage * gaussian.log_prob(mean, log_std, action))


def make(setup: Setup) -> Algorithm:
  """LR."""

  def estimate(setup, state, draws):
    environment, window = collect(setup, state, draws.noise)
    advantage = policy_advantage(setup.config, window.advantage)
    loss, gradient = value_and_flat_gradient(
      lambda actor: lr_loss(setup.networks, actor, window.observation, window.action, advantage)
    )(state.actor)
    return Estimate(environment, window, loss, gradient, {})

  return gradient_step_algorithm(setup, estimate, setup.config.likelihood_ratio)


SPEC = AlgorithmSpec(
  name="lr",
  label="LR",
  groups={"likelihood_ratio": RateConfig},
  make=make,
  shown=SHOWN,
  summary="likelihood ratio: REINFORCE with a critic (Williams 1992)",
)
