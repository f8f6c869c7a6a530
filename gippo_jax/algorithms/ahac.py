"""Adaptive-horizon actor-critic (AHAC; Georgiev, Srinivasan, Xu, Heiden, Garg, ICML 2024).

SHAC whose derivatives pass through as many steps as the simulator's stiffness allows (`learning.adaptive_horizon`),
with two critics, whose lesser value counts, no target critic, and a regression that runs until it stands still.

A window has `config.horizon` steps here, and falls into pieces of the horizon `H`; in the paper an epoch is one piece.
So the epochs have as many samples whatever `H` is, and the program one shape. With `H` as long as the window, one
critic and SHAC's target it is SHAC.
"""

import jax.numpy as jnp

from gippo_jax.algorithms.base import Algorithm
from gippo_jax.algorithms.gradient_step import SHOWN, Estimate, RateConfig, gradient_step_algorithm
from gippo_jax.algorithms.rp import reparameterized_loss, total_return
from gippo_jax.config import Config
from gippo_jax.fields import Real, integer, real
from gippo_jax.learning import gaussian
from gippo_jax.learning.adaptive_horizon import adapt_horizon, cut_window, cuts, init_horizon
from gippo_jax.learning.critic import Convergence
from gippo_jax.learning.ensemble import with_critics
from gippo_jax.learning.gradient_health import drop_nonfinite
from gippo_jax.learning.optimization import linear_rate, value_and_flat_gradient
from gippo_jax.learning.rollout import collect_in_pieces
from gippo_jax.learning.setup import Setup
from gippo_jax.learning.stiffness import mean_norm, squared_jacobian_norm
from gippo_jax.registry import AlgorithmSpec


class AHACConfig(RateConfig):
  """A horizon that follows the simulator's stiffness, and critics trained until they stand still."""

  min_horizon: int = integer(8, "steps of the shortest horizon, and of the first epoch's; the window's if it has less")
  stiffness_limit: Real = real(500.0, "mean norm of the steps' Jacobians above which the horizon shrinks", minimum=0)
  horizon_rate: Real = real(5e-4, "step of the horizon's adaptation in the first epoch", minimum=0)
  final_horizon_rate: Real = real(1e-5, "its step in the last epoch, reached linearly", minimum=0)
  num_critics: int = integer(2, "critics, of whose values the least counts")
  target_decay: Real = real(0.0, "in the place of critic.target_decay: 0 means no target critic", minimum=0, maximum=1)
  max_critic_passes: int = integer(64, "passes of the critics' regression at most")
  critic_tolerance: Real = real(
    0.2, "it ends when the mean change of five successive passes' losses is less; 0 makes all passes", minimum=0
  )


def make(setup: Setup) -> Algorithm:
  """AHAC."""
  own: AHACConfig = setup.config.ahac
  setup = with_critics(setup, own.num_critics, True, own.target_decay)
  shortest = min(own.min_horizon, setup.config.horizon)

  def estimate(setup, state, draws):
    config = setup.config
    gae_lambda = jnp.ones_like(config.discount)
    cut = cuts(state.algorithm.own, config.horizon)

    def objective(window):
      return total_return(cut_window(window, cut), config.discount, gae_lambda)

    environment, window, return_gradient, states = collect_in_pieces(objective, setup, state, draws.noise, cut)
    return_gradient, metrics = drop_nonfinite(return_gradient)
    _, gradient = value_and_flat_gradient(
      lambda actor: reparameterized_loss(setup.networks, actor, window.observation, window.noise, return_gradient)
    )(state.actor)
    squares = squared_jacobian_norm(setup.env, states, gaussian.squash(window.action), draws.key)
    stiffness = mean_norm(squares)
    step = linear_rate(own.horizon_rate, own.final_horizon_rate, state.epoch, config.num_epochs)
    horizon = adapt_horizon(state.algorithm.own, stiffness, own.stiffness_limit, step, shortest, config.horizon)
    metrics |= {
      "ahac_horizon": jnp.round(state.algorithm.own.horizon),
      "ahac_stiffness": stiffness,
      "ahac_multiplier": state.algorithm.own.multiplier,
    }
    num_samples = window.reward.size
    return Estimate(environment, window, -objective(window) / num_samples, gradient / num_samples, metrics, horizon)

  convergence = Convergence(own.max_critic_passes, own.critic_tolerance)
  return gradient_step_algorithm(setup, estimate, own, init_horizon(shortest), convergence)


def idle(config: Config) -> dict[str, str]:
  """Fields of the critic that AHAC has its own of."""
  del config
  return {
    "critic.target_decay": "algorithm = 'ahac'; allowed: config.ahac.target_decay",
    "critic.num_iterations": "algorithm = 'ahac'; allowed: config.ahac.max_critic_passes",
  }


SPEC = AlgorithmSpec(
  name="ahac",
  label="AHAC",
  groups={"ahac": AHACConfig},
  make=make,
  needs_environment_gradients=True,
  idle=idle,
  shown=SHOWN | {"ahac_horizon": "horizon", "ahac_stiffness": "stiffness"},
  summary="adaptive-horizon actor-critic (Georgiev et al. 2024): SHAC with a horizon that follows stiffness",
)
