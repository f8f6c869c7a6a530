"""Generalised advantage estimation over a window of several episodes."""

import chex
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gippo_jax.fields import Real


def generalized_advantages(
  reward: Float[Array, "T *batch"],
  value: Float[Array, "T *batch"],
  next_value: Float[Array, "T *batch"],
  next_start: Float[Array, "T *batch"],
  discount: Real,
  gae_lambda: Real,
) -> Float[Array, "T *batch"]:
  """`A_t = delta_t + discount * lambda * (1 - start_{t+1}) * A_{t+1}` (Eq. 2; Schulman et al. 2016).

  `delta_t = r_t + discount * next_v_t - v_t`. Whether an episode ended for good or was cut shows only in `next_value`:
  the caller sets it to 0 where the future is worth nothing.

  Args:
    reward: `[T, ...]`.
    value: value of the observation each action was drawn at, `[T, ...]`.
    next_value: value of the observation each step reached, before any reset, `[T, ...]`.
    next_start: 1 where the next step begins an episode, `[T, ...]`.
    discount: per step.
    gae_lambda: in [0, 1].

  Returns:
    Advantages, `[T, ...]`; zero is assumed beyond the window.
  """
  chex.assert_equal_shape([reward, value, next_value, next_start])
  # The two values are subtracted first: they may be a hundred times larger than the reward, whose digits float32 would
  # otherwise lose in their sum.
  delta = reward + (discount * next_value - value)

  def backward(following, step):
    delta_t, next_start_t = step
    # Selected, not multiplied by 0: a NaN of the next episode stays there.
    advantage = delta_t + discount * gae_lambda * jnp.where(next_start_t > 0, 0.0, following)
    return advantage, advantage

  _, advantage = jax.lax.scan(backward, jnp.zeros_like(delta[0]), (delta, next_start), reverse=True)
  return advantage


def lambda_returns(
  reward: Float[Array, "T *batch"],
  next_value: Float[Array, "T *batch"],
  next_start: Float[Array, "T *batch"],
  discount: Real,
  gae_lambda: Real,
) -> Float[Array, "T *batch"]:
  """`R_t = r_t + discount ((1 - lambda) next_v_t + lambda R_{t+1})` (Sutton and Barto, 2nd edition, Eq. 12.20).

  It is `A_t + v_t` of `generalized_advantages` where a step's `value` is the `next_value` of the step before, as it is
  inside an episode; and it asks for no values of the observations acted on.

  Args:
    reward, next_value, next_start, discount, gae_lambda: as for `generalized_advantages`.

  Returns:
    Returns, `[T, ...]`; `R_{t+1}` is `next_v_t` at the window's end and wherever the next step begins an episode.
  """
  chex.assert_equal_shape([reward, next_value, next_start])

  def backward(following, step):
    reward_t, next_value_t, next_start_t = step
    # Selected, not multiplied by 0: a NaN of the next episode stays there.
    following = jnp.where(next_start_t > 0, next_value_t, (1.0 - gae_lambda) * next_value_t + gae_lambda * following)
    returns = reward_t + discount * following
    return returns, returns

  _, returns = jax.lax.scan(backward, next_value[-1], (reward, next_value, next_start), reverse=True)
  return returns


def segment_starts(episode_start: Float[Array, "T N"]) -> Float[Array, "T N"]:
  """1 where a segment begins: at the window's first step and wherever an episode starts; `[T, N] -> [T, N]`."""
  return episode_start.at[0].set(1.0)


def segment_discounts(segment_start: Float[Array, "T N"], decay: Real) -> Float[Array, "T N"]:
  """`decay^(t - t0)`, `t0` the start of the step's segment; `[T, N] -> [T, N]`."""

  def scale_of(before, step_start):
    scale = jnp.where(step_start > 0, 1.0, before * decay)
    return scale, scale

  return jax.lax.scan(scale_of, jnp.ones_like(segment_start[0]), segment_start)[1]


def standardize(advantage: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
  """Subtracts the mean and divides by the unbiased standard deviation plus 1e-8, over all entries."""
  return (advantage - jnp.mean(advantage)) / (jnp.std(advantage, ddof=1) + 1e-8)
