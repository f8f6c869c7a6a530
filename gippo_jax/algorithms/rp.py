"""Reparameterisation (RP): backpropagation through the environment, bootstrapped by the target critic.

The authors' released RP differentiates the lambda-return at 0.95. `algorithms.shac` is its other form.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gippo_jax.algorithms.base import Algorithm, Metrics
from gippo_jax.algorithms.gradient_step import SHOWN, Estimate, LambdaRateConfig, gradient_step_algorithm
from gippo_jax.envs.base import PyTree
from gippo_jax.envs.wrappers import EpisodeState
from gippo_jax.fields import Real
from gippo_jax.learning import gaussian
from gippo_jax.learning.advantages import lambda_returns
from gippo_jax.learning.agents import Networks
from gippo_jax.learning.gradient_health import drop_nonfinite
from gippo_jax.learning.optimization import value_and_flat_gradient
from gippo_jax.learning.rollout import Window, collect_with_gradient
from gippo_jax.learning.setup import Setup
from gippo_jax.learning.state import TrainingState
from gippo_jax.registry import AlgorithmSpec


def bootstrapped_returns(window: Window, discount: Real, gae_lambda: Real) -> jax.Array:
  """Lambda-return of every step; `[T, N]`."""
  return lambda_returns(window.reward, window.next_value, window.done, discount, gae_lambda)


def total_return(window: Window, discount: Real, gae_lambda: Real) -> jax.Array:
  """Sum of the bootstrapped returns of all segments, each from its first step."""
  return jnp.sum(jnp.where(window.segment_start > 0, bootstrapped_returns(window, discount, gae_lambda), 0.0))


def rp_loss(window: Window, discount: Real, gae_lambda: Real) -> jax.Array:
  """`-(sum over segment starts of A_{t0} + v_{t0}) / (number of segment starts)` (Eq. 14)."""
  return -total_return(window, discount, gae_lambda) / jnp.sum(window.segment_start)


def collect_with_return_gradient(
  setup: Setup,
  state: TrainingState,
  noise: jax.Array,
  gae_lambda: Real,
  before_policy: Callable[[jax.Array], jax.Array] = lambda obs: obs,
) -> tuple[EpisodeState, Window, jax.Array, Metrics]:
  """Window, and the total derivative of each segment's return by each of its actions.

  A sample whose derivative is not finite is dropped: its derivative becomes 0.

  Args:
    setup, state, noise, before_policy: as for `rollout.collect`.
    gae_lambda: of the returns.

  Returns:
    The batch of environments after the window, the window, the derivatives `[T, N, A]`, and their metrics
    (`gradient_health.drop_nonfinite`).
  """
  environment, window, gradient = collect_with_gradient(
    lambda window: total_return(window, setup.config.discount, gae_lambda),
    setup,
    state,
    noise,
    before_policy=before_policy,
  )
  return environment, window, *drop_nonfinite(gradient)


def reparameterized_loss(
  networks: Networks, actor: PyTree, obs: jax.Array, noise: jax.Array, return_gradient: jax.Array
) -> jax.Array:
  """A function of the actor whose gradient is minus that of the return: `-sum_t (dR / da_t) a_t`, `a_t` of the actor.

  The parameters reach the return only through the actions, and `dR / da_t` already holds what an action does to later
  ones. So the chain rule needs the network once, for all samples together, and not once per step of the backward pass.

  Args:
    networks: actor and critic.
    actor: parameters of the policy.
    obs: normalised, `[..., O]`; held fixed.
    noise: `eps`, `[..., A]`.
    return_gradient: `dR / da`, `[..., A]`.
  """
  # A dropped sample may hold numbers that are not finite. They are replaced before the network: behind it, 0 * NaN
  # would still reach the parameters.
  counts = jnp.any(return_gradient != 0.0, axis=-1, keepdims=True)
  obs, noise = jnp.where(counts, obs, 0.0), jnp.where(counts, noise, 0.0)
  return -jnp.sum(return_gradient * gaussian.sample(*networks.policy(actor, obs), noise))


def make(setup: Setup) -> Algorithm:
  """RP."""

  def estimate(setup, state, draws):
    discount, gae_lambda = setup.config.discount, setup.config.rp.gae_lambda
    environment, window, return_gradient, metrics = collect_with_return_gradient(setup, state, draws.noise, gae_lambda)
    _, gradient = value_and_flat_gradient(
      lambda actor: reparameterized_loss(setup.networks, actor, window.observation, window.noise, return_gradient)
    )(state.actor)
    loss = rp_loss(window, discount, gae_lambda)
    return Estimate(environment, window, loss, gradient / jnp.sum(window.segment_start), metrics)

  return gradient_step_algorithm(setup, estimate, setup.config.rp)


SPEC = AlgorithmSpec(
  name="rp",
  label="RP",
  groups={"rp": LambdaRateConfig},
  make=make,
  needs_environment_gradients=True,
  shown=SHOWN,
  summary="reparameterisation: backpropagation through the environment, as the authors released it",
)
