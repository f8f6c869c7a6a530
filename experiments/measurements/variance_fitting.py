"""Variational inference by single-sample gradients: the same ascent by three estimators."""

from typing import cast

import jax
import jax.numpy as jnp
import optax

from gippo_jax.experiments.measurements.variance_models import with_entropy
from gippo_jax.experiments.measurements.variance_theory import Integrand, gradients

ESTIMATORS = ("pathwise", "score", "controlled")
_DECAY = 0.9


def ascend(
  log_joint: Integrand,
  estimator: str,
  size: int,
  key: jax.Array,
  *,
  num_steps: int,
  learning_rate: float = 0.02,
  initial_log_std: float = -1.0,
  num_draws: int = 1,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Adam on the evidence lower bound of `N(mu, diag(s^2))`, the integrand `log p - log q` for all estimators.

  The rate falls linearly to 0. The control variate's constant is a running mean of the ratio of its moments.

  Args:
    log_joint: of the model.
    estimator: one of `ESTIMATORS`.
    size: `D`.
    key: of the draws.
    num_steps: of Adam.
    learning_rate: of the first step.
    initial_log_std: of every entry; the mean begins at 0.
    num_draws: averaged in each gradient.

  Returns:
    Mean and standard deviation at the end, `[D]`, and the bound along the way, from 32 draws each, `[num_steps]`.
  """
  optimizer = optax.adam(optax.linear_schedule(learning_rate, 0.0, num_steps))
  start = {"mean": jnp.zeros(size), "log_std": jnp.full(size, initial_log_std)}
  zeros = jnp.zeros((2, 2, size))

  def step(carry, step_key):
    parameters, moments, controls = carry
    mean, std = parameters["mean"], jnp.exp(parameters["log_std"])
    integrand = with_entropy(log_joint, mean, std)
    draw_key, bound_key = jax.random.split(step_key)
    noise = jax.random.normal(draw_key, (num_draws, size))
    pathwise, score = jax.vmap(lambda noise: gradients(integrand, mean, std, noise))(noise)
    chosen = jnp.stack(pathwise if estimator == "pathwise" else score)  # [2, draws, D]
    if estimator == "controlled":
      plain = jnp.stack([noise / std[None], (noise**2 - 1.0) / std[None]])
      # The constant is of earlier draws, so that the estimate stays without bias.
      constant = controls[0] / jnp.maximum(controls[1], 1e-12)
      latest = jnp.stack([jnp.mean(chosen * plain, axis=1), jnp.mean(plain**2, axis=1)])
      controls = _DECAY * controls + (1.0 - _DECAY) * latest
      chosen = chosen - constant[:, None] * plain
    by_mean, by_std = jnp.mean(chosen, axis=1)
    gradient = {"mean": -by_mean, "log_std": -by_std * std}
    # optax mixes types, which strict promotion forbids.
    with jax.numpy_dtype_promotion("standard"):
      updates, moments = optimizer.update(gradient, moments)
    bound_noise = jax.random.normal(bound_key, (32, size))
    bound = jnp.mean(jax.vmap(integrand)(mean[None] + std[None] * bound_noise))
    parameters = cast(dict[str, jax.Array], optax.apply_updates(parameters, updates))
    return (parameters, moments, controls), bound

  carry = (start, optimizer.init(start), zeros)
  (parameters, _, _), bounds = jax.lax.scan(step, carry, jax.random.split(key, num_steps))
  return parameters["mean"], jnp.exp(parameters["log_std"]), bounds
