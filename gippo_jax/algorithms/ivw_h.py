"""IVW-H: reparameterisation and likelihood ratio mixed at the policy's outputs by inverse variance, step by step.

Onoda, Parmas, Yaguchi, Matsuo, arXiv 2604.18161 (ICLR 2026), part II. For every step of the window and every output of
the policy (mean and log standard deviation of each entry of the action) both estimates have a sample an environment.
Their variances over the environments weigh them, and one product with the network's transposed Jacobian follows: total
propagation (`algorithms.tp`) without its recursion, at the cost of SHAC.
"""

import jax
import jax.numpy as jnp

from gippo_jax.algorithms.base import Algorithm
from gippo_jax.algorithms.gradient_step import SHOWN, Estimate, RateConfig, gradient_step_algorithm
from gippo_jax.algorithms.rp import total_return
from gippo_jax.config import Config
from gippo_jax.errors import UserError
from gippo_jax.fields import Real, real
from gippo_jax.learning.advantages import generalized_advantages, segment_discounts
from gippo_jax.learning.gradient_health import drop_nonfinite, parts_of
from gippo_jax.learning.mixers import second_share
from gippo_jax.learning.output_gradients import likelihood_ratio, mix_by_step, reparameterized
from gippo_jax.learning.output_pull_back import gradient_of_outputs
from gippo_jax.learning.rollout import Window, collect_with_gradient
from gippo_jax.learning.setup import Setup
from gippo_jax.registry import AlgorithmSpec


class IVWHConfig(RateConfig):
  """Two estimates mixed at the policy's outputs."""

  gae_lambda: Real = real(1.0, "lambda of the returns of both estimates", minimum=0, maximum=1)


def estimates_of_outputs(
  window: Window, return_gradient: jax.Array, discount: Real, gae_lambda: Real
) -> tuple[jax.Array, jax.Array]:
  """Both estimates by the outputs `(mu / sigma_old, log sigma)`, of one quantity: lambda is the same in the two.

  Args:
    window: the epoch's experience.
    return_gradient: derivative of each segment's lambda-return by each action, `[T, N, A]`, finite.
    discount: per step.
    gae_lambda: of the returns.

  Returns:
    Reparameterised and likelihood-ratio samples, `[T, N, 2 A]` each; the latter from advantages less the mean of the
    other environments', and discounted from the segment's start, as the former are of themselves.
  """
  advantage = generalized_advantages(window.reward, window.value, window.next_value, window.done, discount, gae_lambda)
  scale = segment_discounts(window.segment_start, discount * gae_lambda)
  first = reparameterized(return_gradient, window.log_std, window.noise)
  return first, scale[..., None] * likelihood_ratio(advantage, window.noise)


def weight_of_first(variance: jax.Array, other: jax.Array) -> jax.Array:
  """`other / (variance + other)`, whatever the unit of the rewards."""
  return second_share(other, variance)


def make(setup: Setup) -> Algorithm:
  """IVW-H."""

  def estimate(setup, state, draws):
    discount, gae_lambda = setup.config.discount, setup.config.ivw_h.gae_lambda

    def objective(window):
      return total_return(window, discount, gae_lambda)

    environment, window, return_gradient = collect_with_gradient(objective, setup, state, draws.noise)
    usable = jnp.all(jnp.isfinite(return_gradient), axis=-1)
    return_gradient, metrics = drop_nonfinite(return_gradient)
    first, second = estimates_of_outputs(window, return_gradient, discount, gae_lambda)
    mixed, weight = mix_by_step(first, second, usable, weigh=weight_of_first)
    num_samples = window.reward.size
    gradient = -gradient_of_outputs(setup.networks, state.actor, window, mixed) / num_samples
    metrics |= {
      "ivw_h_weight": jnp.mean(weight),
      "ivw_h_weight_by_age": jnp.stack([jnp.mean(weight[part]) for part in parts_of(weight.shape[0])]),
    }
    return Estimate(environment, window, -objective(window) / num_samples, gradient, metrics)

  return gradient_step_algorithm(setup, estimate, setup.config.ivw_h)


def check(config: Config) -> None:
  """Variances are over the environments.

  Raises:
    UserError: for one environment alone.
  """
  if config.num_envs < 2:
    raise UserError(
      f"config.num_envs: {config.num_envs} is not allowed with the algorithm 'ivw_h'; allowed: at least 2"
    )


SPEC = AlgorithmSpec(
  name="ivw_h",
  label="IVW-H",
  groups={"ivw_h": IVWHConfig},
  make=make,
  needs_environment_gradients=True,
  check=check,
  shown=SHOWN | {"ivw_h_weight": "RP's weight"},
  summary="inverse-variance weights per step and output (Onoda et al. 2026): RP and likelihood ratio at the actions",
)
