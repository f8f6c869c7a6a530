"""AoBG: an estimate from derivatives and one from returns, mixed as far as they may differ with confidence.

Suh, Simchowitz, Zhang, Tedrake, "Do Differentiable Simulators Give Better Policy Gradients?", ICML 2022. Here it is a
trainer on windows: a sample is what one environment's window says of the policy's parameters, the critic stands behind
the window's end and is the baseline, and the two estimates come of different environments, every other one, since the
rule needs them independent.
"""

import jax
import jax.numpy as jnp

from gippo_jax.algorithms.base import Algorithm
from gippo_jax.algorithms.gradient_step import SHOWN, Estimate, RateConfig, gradient_step_algorithm
from gippo_jax.algorithms.ivw_h import estimates_of_outputs
from gippo_jax.algorithms.rp import collect_with_return_gradient, total_return
from gippo_jax.config import Config
from gippo_jax.envs.base import PyTree
from gippo_jax.errors import UserError
from gippo_jax.fields import Real, real
from gippo_jax.learning.agents import Networks
from gippo_jax.learning.composite import bernstein_radius, confident_weight
from gippo_jax.learning.output_pull_back import gradient_of_outputs
from gippo_jax.learning.rollout import Window
from gippo_jax.learning.setup import Setup
from gippo_jax.registry import AlgorithmSpec

# Environments whose gradients by all parameters are held at once.
_AT_ONCE = 16


class AoBGConfig(RateConfig):
  """Two estimates of the parameters' gradient under a limit of the bias."""

  tolerance: Real = real(
    1e4, "allowed distance of the gradient of the mean return per step from the true one (gamma)", minimum=0
  )
  failure_probability: Real = real(0.05, "of the confidence in it", above=0, below=1)


def by_environment(
  networks: Networks, actor: PyTree, window: Window, messages: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """What each environment's window says of the parameters: mean, variance and largest norm.

  Args:
    networks: actor and critic.
    actor: parameters of the policy.
    window: of these environments.
    messages: gradient of each window's return by the policy's outputs, `[T, N, 2 A]`.

  Returns:
    The mean of the environments' gradients, each over the number of steps, `[P]`; the trace of the covariance of one of
    them; and the largest of their norms.
  """
  num_steps, num_envs = messages.shape[:2]
  mean = gradient_of_outputs(networks, actor, window, messages) / (num_steps * num_envs)

  def of_one(sample: tuple[Window, jax.Array]) -> tuple[jax.Array, jax.Array]:
    window, messages = jax.tree.map(lambda leaf: leaf[:, None], sample)
    gradient = gradient_of_outputs(networks, actor, window, messages) / num_steps
    return jnp.sum((gradient - mean) ** 2), jnp.sqrt(jnp.sum(gradient**2))

  alone = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), (window, messages))
  squares, norms = jax.lax.map(of_one, alone, batch_size=min(_AT_ONCE, num_envs))
  return mean, jnp.sum(squares) / (num_envs - 1.0), jnp.max(norms)


def make(setup: Setup) -> Algorithm:
  """AoBG."""
  own: AoBGConfig = setup.config.aobg

  def estimate(setup, state, draws):
    discount = setup.config.discount
    gae_lambda = jnp.ones_like(discount)
    environment, window, return_gradient, metrics = collect_with_return_gradient(setup, state, draws.noise, gae_lambda)
    messages = estimates_of_outputs(window, return_gradient, discount, gae_lambda)
    halves = [jax.tree.map(lambda leaf, i=i: leaf[:, i::2], (window, messages[i])) for i in range(2)]
    first, first_variance, _ = by_environment(setup.networks, state.actor, *halves[0])
    second, second_variance, largest = by_environment(setup.networks, state.actor, *halves[1])
    number = halves[1][1].shape[1]
    distance = jnp.sqrt(jnp.sum((first - second) ** 2))
    radius = bernstein_radius(second_variance, largest, second.size, number, own.failure_probability)
    weight = confident_weight(first_variance, second_variance, distance, radius, own.tolerance)
    metrics |= {"aobg_weight": weight, "aobg_distance": distance, "aobg_radius": radius}
    loss = -total_return(window, discount, gae_lambda) / window.reward.size
    return Estimate(environment, window, loss, -(weight * first + (1.0 - weight) * second), metrics)

  return gradient_step_algorithm(setup, estimate, own)


def check(config: Config) -> None:
  """Variances are over half of the environments.

  Raises:
    UserError: for fewer than four, or an odd number.
  """
  if config.num_envs < 4 or config.num_envs % 2:
    raise UserError(
      f"config.num_envs: {config.num_envs} is not allowed with the algorithm 'aobg'; allowed: an even number >= 4, "
      "since either half of them has an estimate and a variance"
    )


SPEC = AlgorithmSpec(
  name="aobg",
  label="AoBG",
  groups={"aobg": AoBGConfig},
  make=make,
  needs_environment_gradients=True,
  check=check,
  shown=SHOWN | {"aobg_weight": "RP's weight", "aobg_radius": "radius"},
  summary="alpha-order batched gradient (Suh et al. 2022): RP and likelihood ratio within a tolerated bias",
)
