"""Particles on the learned model, and every estimate of their cost's gradient.

The state is the node of each step: `x_{t+1} = x_t + mean(x_t, u_t) + std(x_t, u_t) e_t`, `u_t` the policy's force. A
step is linearised where the cloud passed it, so that the way back asks the model for nothing.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gippo_jax.experiments.pipps import cartpole
from gippo_jax.experiments.pipps.cartpole import RadialBasis
from gippo_jax.experiments.pipps.gaussian_process import Model, Prediction, predict
from gippo_jax.learning.batch_importance import batch_importance
from gippo_jax.learning.gaussian import sample
from gippo_jax.learning.output_gradients import likelihood_ratio
from gippo_jax.learning.particles import Cloud, sweep_cloud
from gippo_jax.learning.resampling import resample
from gippo_jax.learning.total_propagation import Mixer, by_parameter_variance, constant


class Passed(NamedTuple):
  """Steps of the model where particles passed them.

  Attributes:
    state: what the policy saw, `[..., 4]`.
    at: the same and the force, at which the prediction was made, `[..., 5]`; held fixed.
    prediction: of the state's change; held fixed.
  """

  state: jax.Array
  at: jax.Array
  prediction: Prediction


def model_input(policy: RadialBasis, state: jax.Array) -> jax.Array:
  """The state and the policy's force, in units of its largest; `[..., 4] -> [..., 5]`."""
  push = cartpole.force(policy, state)[..., None] / cartpole.LARGEST_FORCE
  return jnp.concatenate([state, push], axis=-1)


def linearized(policy: RadialBasis, passed: Passed) -> tuple[jax.Array, jax.Array]:
  """Mean and log standard deviation of the next state, to first order in policy and state; `[..., 4]` each."""
  at, prediction = jax.lax.stop_gradient((passed.at, passed.prediction))
  change = model_input(policy, passed.state) - at
  mean = passed.state + prediction.mean + jnp.einsum("...de,...e->...d", prediction.mean_slope, change)
  log_std = prediction.log_std + jnp.einsum("...de,...e->...d", prediction.log_std_slope, change)
  return mean, log_std


def imagine(
  policy: RadialBasis, model: Model, start: jax.Array, noise: jax.Array, resampling: jax.Array | None = None
) -> tuple[Cloud, Passed]:
  """Draws a cloud of the model.

  Args:
    policy: pushes.
    model: of the state's change.
    start: `[N, 4]`.
    noise: `e`, `[T, N, 4]`.
    resampling: noise of a Gaussian resampling after each step, `[T, N, 4]`; none by default.

  Returns:
    The cloud, and the steps as it passed them, `[T, N, ...]`.
  """

  def step(state, noise):
    eps, resampling = noise
    at = model_input(policy, state)
    passed = Passed(state, at, predict(model, jax.lax.stop_gradient(at)))
    state = sample(*linearized(policy, passed), eps)
    if resampling is not None:
      state = resample(state, resampling)
    return state, (state, passed)

  _, (reached, passed) = jax.lax.scan(step, start, (noise, resampling))
  return Cloud(jnp.concatenate([start[None], reached]), noise, cartpole.cost(reached)), passed


# Maps a policy, a model, a start `[N, 4]`, the noise and that of the resampling, `[T, N, 4]`, to the cost (the mean
# over the particles of the sum over the steps) and its estimated gradient.
Estimator = Callable[[RadialBasis, Model, jax.Array, jax.Array, jax.Array], tuple[jax.Array, RadialBasis]]
# Messages of the likelihood ratio, `[T, N, 8]`, from a cloud.
Messages = Callable[[RadialBasis, Cloud, Passed], jax.Array]


def swept(mixer: Mixer, messages: Messages) -> Estimator:
  """An estimator by one sweep; `mixer` weighs the derivatives of the model against `messages`."""

  def estimate(policy, model, start, noise, resampling):
    del resampling
    cloud, passed = imagine(policy, model, start, noise)
    weights = jnp.ones_like(cloud.costs[:, 0])
    found = sweep_cloud(
      policy,
      linearized,
      cartpole.cost,
      cloud,
      weights,
      passed,
      lambda message, by_passed: message + by_passed.state,
      messages(policy, cloud, passed),
      mixer,
    )
    return cloud.cost, found.gradient

  return estimate


def plain_messages(policy: RadialBasis, cloud: Cloud, passed: Passed) -> jax.Array:
  """The likelihood ratio's, `[T, N, 8]`."""
  del policy, passed
  return likelihood_ratio(cloud.cost_to_go, cloud.noise)


def importance_messages(policy: RadialBasis, cloud: Cloud, passed: Passed) -> jax.Array:
  """Batch importance weighted, `[T, N, 8]`."""
  mean, log_std = linearized(policy, passed)
  return jax.vmap(batch_importance)(cloud.cost_to_go, cloud.states[1:], mean, log_std)


def resampled(
  policy: RadialBasis, model: Model, start: jax.Array, noise: jax.Array, resampling: jax.Array
) -> tuple[jax.Array, RadialBasis]:
  """Backpropagation through a cloud that is resampled from a Gaussian after every step."""
  return jax.value_and_grad(lambda policy: imagine(policy, model, start, noise, resampling)[0].cost)(policy)


# Total propagation, backpropagation, the likelihood ratio; the latter, and total propagation, by batch importance
# weights; backpropagation under Gaussian resampling.
ESTIMATORS: dict[str, Estimator] = {
  "tp": swept(by_parameter_variance, plain_messages),
  "rp": swept(constant(0.0), plain_messages),
  "lr": swept(constant(1.0), plain_messages),
  "biw": swept(constant(1.0), importance_messages),
  "tp_biw": swept(by_parameter_variance, importance_messages),
  "gr": resampled,
}
