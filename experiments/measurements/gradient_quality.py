"""How good an analytic gradient is: against finite differences of the *expected* return, over many noise draws.

Noise makes the expected return smooth even where a single return jumps (a lane change, a failure), so that its central
differences see what the analytic gradient cannot: the difference of the two is bias.

Actions are `base_t + B p + std * eps_t` with `eps ~ N(0, I)`; `p` shifts each action entry over each quarter of the
window. The gradient is that of the expected return by `p`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax.envs.base import Environment, State

_QUARTERS = 4


class Quality(NamedTuple):
  """Of the analytic gradient, over a batch of start states.

  Attributes:
    cosine: between the mean analytic gradient and the finite differences, all states joined.
    norm_ratio: length of the analytic gradient over that of the differences.
    noise_cosine: cosine between the differences from two halves of the draws: what perfect agreement would look like.
    cosine_by_entry: the cosine for each action entry alone.
    norm_ratio_by_entry: the ratio for each action entry alone.
    nonfinite: share of draws whose gradient was not finite; they are left out.
    finished: share of the windows that ended early.
  """

  cosine: float
  norm_ratio: float
  noise_cosine: float
  cosine_by_entry: list[float]
  norm_ratio_by_entry: list[float]
  nonfinite: float
  finished: float


def window_return(env: Environment, state: State, actions: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Sum of the rewards of `actions`, `[T, A]`, up to the end of the episode; and whether that end came early."""

  def step(carry, action):
    state, alive = carry
    state = env.step(state, action)
    return (state, alive * (1.0 - state.terminated)), alive * state.reward

  (_, alive), rewards = jax.lax.scan(step, (state, jnp.ones(())), actions)
  return jnp.sum(rewards), 1.0 - alive


def measure_quality(
  env: Environment,
  states: State,
  base: jax.Array,
  key: jax.Array,
  *,
  num_draws: int,
  std: float = 0.2,
  difference: float = 0.1,
) -> Quality:
  """Compares the two gradients.

  Args:
    env: unbatched environment, without wrappers.
    states: start states, `[S]`.
    base: actions without noise, `[S, T, A]`.
    key: draws the noise.
    num_draws: noise draws for each state, even.
    std: of the noise, in units of an action entry.
    difference: half the distance of the central differences, in the same unit.

  Returns:
    The comparison.
  """
  num_states, horizon, size = base.shape
  quarter = np.minimum(np.arange(horizon) * _QUARTERS // horizon, _QUARTERS - 1)
  shape = (_QUARTERS, size)

  def shifted(shift, noise, state, actions):
    return window_return(env, state, actions + shift[quarter] + std * noise)

  directions = difference * jnp.eye(_QUARTERS * size).reshape(-1, *shape)

  def differences(noise, state, actions):
    def along(direction):
      up, _ = shifted(direction, noise, state, actions)
      down, _ = shifted(-direction, noise, state, actions)
      return (up - down) / (2.0 * difference)

    return jax.vmap(along)(directions).reshape(shape)

  def analytic(noise, state, actions):
    return jax.grad(lambda shift: shifted(shift, noise, state, actions)[0])(jnp.zeros(shape))

  over_states = _over_draws(
    lambda noise, state, actions: (
      differences(noise, state, actions),
      analytic(noise, state, actions),
      shifted(jnp.zeros(shape), noise, state, actions)[1],
    )
  )

  @jax.jit
  def one_state(inputs):
    key, state, actions = inputs
    return over_states(key, num_draws, (horizon, size), state, actions)

  keys = jax.random.split(key, num_states)
  halves, exact, nonfinite, finished = jax.lax.map(one_state, (keys, states, base))
  expected = np.asarray(jnp.mean(halves, axis=1), float)
  first, second = (np.asarray(halves[:, half], float) for half in range(2))
  exact = np.asarray(exact, float)
  return Quality(
    cosine=_cosine(exact, expected),
    norm_ratio=float(np.linalg.norm(exact) / np.linalg.norm(expected)),
    noise_cosine=_cosine(first, second),
    cosine_by_entry=[_cosine(exact[..., entry], expected[..., entry]) for entry in range(size)],
    norm_ratio_by_entry=[
      float(np.linalg.norm(exact[..., entry]) / np.linalg.norm(expected[..., entry])) for entry in range(size)
    ],
    nonfinite=float(jnp.mean(nonfinite)),
    finished=float(jnp.mean(finished)),
  )


def _over_draws(function: Callable) -> Callable:
  """Means over the draws: differences of either half, gradient, share not finite, share that ended early."""

  def means(key, num_draws, shape, *arguments):
    noise = jax.random.normal(key, (num_draws, *shape))
    difference, gradient, ended = jax.vmap(lambda eps: function(eps, *arguments))(noise)
    usable = jnp.all(jnp.isfinite(gradient), axis=(1, 2), keepdims=True)
    share = jnp.mean(usable.astype(gradient.dtype))
    gradient = jnp.mean(jnp.where(usable, gradient, 0.0), axis=0) / share
    halves = jnp.mean(difference.reshape(2, num_draws // 2, *difference.shape[1:]), axis=1)
    return halves, gradient, 1.0 - share, jnp.mean(ended)

  return means


def _cosine(first: np.ndarray, second: np.ndarray) -> float:
  first, second = first.ravel(), second.ravel()
  return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))
