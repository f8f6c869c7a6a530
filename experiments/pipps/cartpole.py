"""The cart-pole of PIPPS: physics, observation noise, cost, and the policy of radial basis functions.

Settings: the first author's later library (cart 0.5 kg, pole 0.5 kg and 0.5 m, friction 0.1, 10 Hz, force at most
10 N). A state is `(position, angle, velocity, angular velocity)`, the angle `pi` where the pole hangs and 0 at the
goal.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

HANGING = np.array([0.0, np.pi, 0.0, 0.0])
# Standard deviations of an observation: 1 cm, 1 degree, and ten times as much per second.
NOISE = np.array([0.01, np.pi / 180.0, 0.1, 10.0 * np.pi / 180.0])
START_STD = 0.02
STATE_SIZE = 4
LARGEST_FORCE = 10.0

_CART, _POLE, _LENGTH, _FRICTION, _GRAVITY = 0.5, 0.5, 0.5, 0.1, 9.82
HALF_LENGTH = 0.5 * _LENGTH
PERIOD, _SUBSTEPS = 0.1, 10


class RadialBasis(NamedTuple):
  """Parameters of the policy.

  Attributes:
    weights: `w`, `[K]`.
    centres: `c`, `[K, 4]`.
    log_scales: `l`, logarithm of one over the width along each entry of the state, `[4]`.
  """

  weights: jax.Array
  centres: jax.Array
  log_scales: jax.Array


def random_policy(
  key: jax.Array, num_centres: int = 50, weight_std: float = 0.5, log_scale: float = 0.0
) -> RadialBasis:
  """A policy whose centres lie around the hanging pole, with standard deviation 1."""
  weight_key, centre_key = jax.random.split(key)
  centres = jnp.asarray(HANGING)[None] + jax.random.normal(centre_key, (num_centres, STATE_SIZE))
  weights = weight_std * jax.random.normal(weight_key, (num_centres,))
  return RadialBasis(weights, centres, jnp.full((STATE_SIZE,), float(log_scale)))


def force(policy: RadialBasis, state: jax.Array) -> jax.Array:
  """`10 N sat(sum_k w_k exp(-|(x - c_k) exp(l)|^2))`, `sat(z) = (9 sin z + sin 3 z) / 8`; `[..., 4] -> [...]`."""

  def of_one(state):
    scaled = (state[None] - policy.centres) * jnp.exp(policy.log_scales)[None]
    z = jnp.exp(-jnp.sum(scaled**2, axis=-1)) @ policy.weights
    return LARGEST_FORCE * (9.0 * jnp.sin(z) + jnp.sin(3.0 * z)) / 8.0

  return jnp.vectorize(of_one, signature="(d)->()")(state)


def advance(state: jax.Array, push: jax.Array) -> jax.Array:
  """The state a tenth of a second later, by ten explicit Euler steps under a constant force; `[..., 4]`, `[...]`."""
  return _substeps(state, push)[0]


def passage(state: jax.Array, push: jax.Array) -> jax.Array:
  """The states on the way of `advance`, one for each of its steps, the last that which it returns; `[10, ..., 4]`."""
  return _substeps(state, push)[1]


def _substeps(state: jax.Array, push: jax.Array) -> tuple[jax.Array, jax.Array]:
  period = PERIOD / _SUBSTEPS

  def substep(state, _):
    position, angle, velocity, angular = jnp.moveaxis(state, -1, 0)
    acceleration, angular_acceleration = _accelerations(angle, velocity, angular, push)
    rates = jnp.stack([velocity, angular, acceleration, angular_acceleration], axis=-1)
    del position
    state = state + period * rates
    return state, state

  return jax.lax.scan(substep, state, None, length=_SUBSTEPS)


def _accelerations(
  angle: jax.Array, velocity: jax.Array, angular: jax.Array, push: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Of the cart and of the pole, a uniform rod."""
  sine, cosine = jnp.sin(angle), jnp.cos(angle)
  mass = _CART + _POLE
  denominator = 4.0 * mass - 3.0 * _POLE * cosine**2
  free = push - _FRICTION * velocity
  of_cart = (-2.0 * _POLE * _LENGTH * angular**2 * sine + 3.0 * _POLE * _GRAVITY * sine * cosine + 4.0 * free) / (
    denominator
  )
  of_pole = (
    -3.0 * _POLE * _LENGTH * angular**2 * sine * cosine + 6.0 * mass * _GRAVITY * sine + 6.0 * free * cosine
  ) / (_LENGTH * denominator)
  return of_cart, of_pole


def cost(state: jax.Array) -> jax.Array:
  """`1 - exp(-(position^2 + angle^2) / 2)`, in [0, 1]; `[..., 4] -> [...]`."""
  return 1.0 - jnp.exp(-0.5 * (state[..., 0] ** 2 + state[..., 1] ** 2))
