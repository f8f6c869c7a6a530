"""Variance of three gradient estimators where dynamics are chaotic: a network of two units, and the cart-pole of PIPPS.

Parmas et al., "PIPPS: Flexible Model-Based Policy Search Robust to the Curse of Chaos", ICML 2018. The settings are
those of the first author's later library; the noise of every step is a node of the graph.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from gippo_jax.experiments.pipps import cartpole
from gippo_jax.learning.particles import cost_gradient, roll
from gippo_jax.learning.total_propagation import Mixer, by_parameter_variance, constant
from gippo_jax.plain import Plain

MIXERS: dict[str, Mixer] = {"rp": constant(0.0), "lr": constant(1.0), "tp": by_parameter_variance}

_UNITS = np.array([[-5.0, -25.0], [5.0, 25.0]])
_UNITS_START = np.array([0.35, 0.55])
_UNITS_LOG_STD = float(np.log(0.001))


def two_units(beta: jax.Array, state: jax.Array) -> tuple[jax.Array, jax.Array]:
  """`s' = sigmoid(beta s W) + 0.001 e`, whose derivatives grow with `beta`: stable, then periodic, then chaotic."""
  return jax.nn.sigmoid(beta * (state @ _UNITS)), jnp.full_like(state, _UNITS_LOG_STD)


def distance_to_one(state: jax.Array) -> jax.Array:
  """`|1 - s|^2 / 2`; `[..., 2] -> [...]`."""
  return 0.5 * jnp.sum((1.0 - state) ** 2, axis=-1)


def two_units_gradient(
  beta: jax.Array, key: jax.Array, mixer: Mixer, num_steps: int = 100, num_particles: int = 1000
) -> tuple[jax.Array, jax.Array]:
  """The cost of the last state and its estimated derivative by `beta`."""
  noise = jax.random.normal(key, (num_steps, num_particles, 2))
  start = jnp.broadcast_to(_UNITS_START, (num_particles, 2))
  weights = jnp.zeros(num_steps).at[-1].set(1.0)
  cloud = roll(beta, two_units, distance_to_one, start, noise, weights)
  return cloud.cost, cost_gradient(beta, two_units, distance_to_one, cloud, weights, mixer)


def cartpole_gradient(
  policy: cartpole.RadialBasis, noise_scale: jax.Array, key: jax.Array, mixer: Mixer, num_steps: int, num_particles: int
) -> jax.Array:
  """Estimated derivative of the sum of all costs by the policy's parameters, `[P]`: true physics, and noise besides."""

  def outputs(policy, state):
    reached = cartpole.advance(state, cartpole.force(policy, state))
    return reached, jnp.broadcast_to(jnp.log(noise_scale * cartpole.NOISE), state.shape)

  start_key, noise_key = jax.random.split(key)
  shape = (num_particles, cartpole.STATE_SIZE)
  start = jnp.asarray(cartpole.HANGING)[None] + cartpole.START_STD * jax.random.normal(start_key, shape)
  noise = jax.random.normal(noise_key, (num_steps, *shape))
  weights = jnp.ones(num_steps)
  cloud = roll(policy, outputs, cartpole.cost, start, noise, weights)
  return ravel_pytree(cost_gradient(policy, outputs, cartpole.cost, cloud, weights, mixer))[0]


def _spread(gradient: Callable[..., jax.Array], num_repeats: int) -> Callable[..., jax.Array]:
  """Compiles the trace of the covariance of a batch's gradient over independent repeats, one after the other.

  Args:
    gradient: of whatever it takes, and a key last.
    num_repeats: of the batch.
  """

  @jax.jit
  def measure(*arguments):
    *given, key = arguments
    keys = jax.random.split(key, num_repeats)
    found = jax.lax.map(lambda key: jnp.atleast_1d(gradient(*given, key)), keys)
    return jnp.sum(jnp.var(found, axis=0, ddof=1))

  return measure


def measure_two_units(
  betas: Sequence[float], key: jax.Array, num_repeats: int = 60, num_particles: int = 1000
) -> list[Plain]:
  """A row for each `beta`: the variance of every estimator."""
  rows: list[Plain] = [{"beta": beta} for beta in betas]
  for name, mixer in MIXERS.items():

    def gradient(beta, key, mixer=mixer):
      return two_units_gradient(beta, key, mixer, num_particles=num_particles)[1]

    measure = _spread(gradient, num_repeats)
    for index, row in enumerate(rows):
      row[name] = float(measure(jnp.asarray(row["beta"]), jax.random.fold_in(key, index)))
  return rows


def measure_cartpole(
  settings: Sequence[tuple[int, float, int]], key: jax.Array, num_repeats: int = 40, num_particles: int = 300
) -> list[Plain]:
  """A row for each setting: the variance of every estimator, of one random policy.

  Args:
    settings: number of the policy, noise as a multiple of `cartpole.NOISE`, horizon.
    key: of starts and noise.
    num_repeats: of the batch.
    num_particles: of a batch.
  """
  rows: list[Plain] = [{"policy": policy, "noise": noise, "horizon": horizon} for policy, noise, horizon in settings]
  for horizon in sorted({row["horizon"] for row in rows}):
    for name, mixer in MIXERS.items():

      def gradient(policy, noise, key, mixer=mixer, horizon=horizon):
        return cartpole_gradient(policy, noise, key, mixer, horizon, num_particles)

      measure = _spread(gradient, num_repeats)
      for index, row in enumerate(rows):
        if row["horizon"] == horizon:
          policy = cartpole.random_policy(jax.random.key(row["policy"]), log_scale=-1.0)
          row[name] = float(measure(policy, jnp.asarray(row["noise"]), jax.random.fold_in(key, index)))
  return rows


def landscape(beta: float, width: float, num_points: int, key: jax.Array) -> Plain:
  """The cost around `beta` and its derivatives by RP and TP, all under the same noise."""
  betas = np.linspace(beta - width, beta + width, num_points)

  def along(mixer):
    return jax.jit(lambda betas: jax.lax.map(lambda beta: two_units_gradient(beta, key, mixer), betas))(betas)

  cost, rp = along(MIXERS["rp"])
  _, tp = along(MIXERS["tp"])
  return {"beta": betas.tolist(), "cost": cost.tolist(), "rp": rp.tolist(), "tp": tp.tolist()}
