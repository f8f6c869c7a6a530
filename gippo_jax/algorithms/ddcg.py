"""DDCG: an estimate from derivatives where a test finds no jump in the return, one from returns where it does.

Onoda, Parmas, Yaguchi, Matsuo, arXiv 2604.18161 (ICLR 2026), part I, for functions smoothed by Gaussian noise
(`learning.composite`). A window's return is such a function of the noise of its actions, from one start. So groups of
environments share their start here (`learning.branching`): the test compares, within groups, how much the returns vary
with what their derivatives by the noise explain. Nothing is simulated in addition.
"""

import jax.numpy as jnp

from gippo_jax.algorithms.base import Algorithm
from gippo_jax.algorithms.gradient_step import SHOWN, Estimate, RateConfig, gradient_step_algorithm
from gippo_jax.algorithms.ivw_h import estimates_of_outputs
from gippo_jax.algorithms.rp import bootstrapped_returns, collect_with_return_gradient
from gippo_jax.config import Config
from gippo_jax.errors import UserError
from gippo_jax.fields import Real, integer, real
from gippo_jax.learning.branching import branch, within_groups
from gippo_jax.learning.composite import looks_smooth, smooth_weight
from gippo_jax.learning.output_pull_back import gradient_of_outputs
from gippo_jax.learning.setup import Setup
from gippo_jax.registry import AlgorithmSpec


class DDCGConfig(RateConfig):
  """Two estimates, the one from derivatives used where a test finds no jump."""

  slack: Real = real(0.3, "what the test forgives the sampling noise (c)", minimum=0, below=1)
  copies: int = integer(4, "environments that share a window's start; divides num_envs", minimum=2)


def make(setup: Setup) -> Algorithm:
  """DDCG."""
  own: DDCGConfig = setup.config.ddcg
  copies = own.copies

  def estimate(setup, state, draws):
    discount = setup.config.discount
    gae_lambda = jnp.ones_like(discount)
    environment, window, return_gradient, metrics = collect_with_return_gradient(setup, state, draws.noise, gae_lambda)
    first, second = estimates_of_outputs(window, return_gradient, discount, gae_lambda)
    num_steps, num_envs, num_actions = return_gradient.shape

    def of_environment(messages):
      return jnp.swapaxes(messages, 0, 1).reshape(num_envs, -1)

    # The return of the whole window: the sum over its segments, as it is differentiated.
    returns = jnp.sum(jnp.where(window.segment_start > 0, bootstrapped_returns(window, discount, gae_lambda), 0.0), 0)
    variance, squared_mean = within_groups(of_environment(first[..., :num_actions]), copies)  # by the noise
    value_variance, _ = within_groups(returns[:, None], copies)
    is_smooth = looks_smooth(variance, squared_mean, value_variance, 1.0, own.slack)
    first_variance, _ = within_groups(of_environment(first), copies)
    second_variance, _ = within_groups(of_environment(second), copies)
    weight = smooth_weight(first_variance, second_variance, is_smooth)
    mixed = weight * first + (1.0 - weight) * second
    num_samples = num_steps * num_envs
    gradient = -gradient_of_outputs(setup.networks, state.actor, window, mixed) / num_samples
    metrics |= {"ddcg_weight": weight, "ddcg_smooth": is_smooth.astype(weight.dtype)}
    return Estimate(environment, window, -jnp.sum(returns) / num_samples, gradient, metrics)

  inner = gradient_step_algorithm(setup, estimate, own)

  def update(state, draws=None):
    return inner.update(branch(state, copies), draws)

  return Algorithm(inner.init, update)


def check(config: Config) -> None:
  """Groups share the environments out.

  Raises:
    UserError: when they do not.
  """
  if config.num_envs % config.ddcg.copies:
    raise UserError(
      f"config.ddcg.copies: {config.ddcg.copies} is not allowed; allowed: a divisor of num_envs = {config.num_envs}"
    )


SPEC = AlgorithmSpec(
  name="ddcg",
  label="DDCG",
  groups={"ddcg": DDCGConfig},
  make=make,
  needs_environment_gradients=True,
  check=check,
  shown=SHOWN | {"ddcg_weight": "RP's weight"},
  summary="discontinuity detection composite gradient (Onoda et al. 2026): RP unless a test finds a jump",
)
