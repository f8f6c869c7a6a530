"""Policy enhancement (PE), in an on-policy form: one exact step of the simulator, then the critic.

Qiao et al., "Efficient Differentiable Simulation of Articulated Bodies" (ICML 2021), put the derivative of one
simulated step in the place of the Q network's slope in the action, inside SAC. The paper's baseline is on-policy, as
this one is, with the window, critic and rates of SHAC: `q_a = dr/da + discount (ds'/da)^T grad V'(s')`, the second term
absent behind an early end. The actor follows `mean(q_a^T a)`, `q_a` held fixed (Eq. 16). It is SVG(1) with the
simulator as the model.
"""

import jax
import jax.numpy as jnp

from gippo_jax.algorithms.base import Algorithm, Metrics
from gippo_jax.algorithms.gradient_step import SHOWN, Estimate, RateConfig, gradient_step_algorithm
from gippo_jax.algorithms.rp import reparameterized_loss
from gippo_jax.envs.wrappers import EpisodeState
from gippo_jax.learning.gradient_health import drop_nonfinite
from gippo_jax.learning.optimization import value_and_flat_gradient
from gippo_jax.learning.rollout import Window, collect_with_gradient
from gippo_jax.learning.setup import Setup
from gippo_jax.learning.state import TrainingState
from gippo_jax.registry import AlgorithmSpec


def collect_with_action_values(
  setup: Setup, state: TrainingState, noise: jax.Array
) -> tuple[EpisodeState, Window, jax.Array, Metrics]:
  """Window, and the derivative `q_a` of each step's `r + discount V'(s')` by its own action.

  A sample whose derivative is not finite is dropped: its derivative becomes 0.

  Returns:
    The batch of environments after the window, the window, the derivatives `[T, N, A]`, and their metrics
    (`gradient_health.drop_nonfinite`).
  """

  def total(window):
    return jnp.sum(window.reward + setup.config.discount * window.next_value)

  environment, window, gradient = collect_with_gradient(total, setup, state, noise, between_steps=jax.lax.stop_gradient)
  return environment, window, *drop_nonfinite(gradient)


def make(setup: Setup) -> Algorithm:
  """PE."""

  def estimate(setup, state, draws):
    environment, window, action_gradient, metrics = collect_with_action_values(setup, state, draws.noise)
    _, gradient = value_and_flat_gradient(
      lambda actor: reparameterized_loss(setup.networks, actor, window.observation, window.noise, action_gradient)
    )(state.actor)
    loss = -jnp.mean(window.reward + setup.config.discount * window.next_value)
    return Estimate(environment, window, loss, gradient / window.reward.size, metrics)

  return gradient_step_algorithm(setup, estimate, setup.config.pe)


SPEC = AlgorithmSpec(
  name="pe",
  label="PE",
  groups={"pe": RateConfig},
  make=make,
  needs_environment_gradients=True,
  shown=SHOWN,
  summary="policy enhancement (Qiao et al. 2021): one exact step of the simulator, then the critic",
)
