"""A linear-quadratic probe: the one environment whose policy gradient is known in closed form."""

import dataclasses

import jax
import jax.numpy as jnp

from gippo_jax.envs.base import State, require_positive_integer, require_real


@dataclasses.dataclass(frozen=True)
class LinearQuadratic:
  """Scalar chain `x' = decay * x + gain * a`, reward `-x'^2 - action_cost * a^2`.

  The action is not clipped, so that return and gradient stay polynomials of the policy's parameters. Under
  `a_t = mean + std * eps_t` every moment of `x_t` is Gaussian, which gives the gradient of the expected return by hand:
  `policy_gradient`.

  Attributes:
    decay: factor of the state per step.
    gain: effect of an action on the state.
    action_cost: weight of the squared action.
    start: first state; `start_noise` is the standard deviation of a normal draw added to it.
    episode_length: time limit in steps.

  Raises:
    ValueError: for a field out of range; the message says what is allowed.
  """

  decay: float = 0.9
  gain: float = 0.5
  action_cost: float = 0.1
  start: float = 1.0
  start_noise: float = 0.0
  episode_length: int = 8

  def __post_init__(self):
    for name in ("decay", "gain", "action_cost", "start"):
      require_real(name, getattr(self, name))
    require_real("start_noise", self.start_noise, minimum=0.0)
    require_positive_integer("episode_length", self.episode_length)

  observation_size = 1
  action_size = 1
  differentiable = True

  def reset(self, key: jax.Array) -> State:
    position = self.start + self.start_noise * jax.random.normal(key, (1,))
    zero = jnp.zeros(())
    return State(physics=position, obs=position, reward=zero, terminated=zero, truncated=zero)

  def step(self, state: State, action: jax.Array) -> State:
    position = self.decay * state.physics + self.gain * action
    reward = -jnp.sum(position**2) - self.action_cost * jnp.sum(action**2)
    return state.replace(physics=position, obs=position, reward=reward)

  def policy_gradient(self, mean: float, std: float, discount: float, horizon: int) -> tuple[float, float]:
    """Gradient of `E[sum_t discount^t r_t]` with respect to `mean` and `std` of a constant Gaussian policy.

    With `m_t = E[x_t]` and `s_t = dm_t/dmean`: `m' = decay m + gain mean`, `Var' = decay^2 Var + gain^2 std^2`, and
    `E[r_t] = -(m'^2 + Var') - action_cost (mean^2 + std^2)`.

    Args:
      mean: mean of the action.
      std: standard deviation of the action.
      discount: discount per step.
      horizon: number of steps.

    Returns:
      The derivatives with respect to `mean` and `std`.
    """
    expectation, sensitivity, unit_variance = self.start, 0.0, 0.0
    by_mean = by_std = 0.0
    for t in range(horizon):
      expectation = self.decay * expectation + self.gain * mean
      sensitivity = self.decay * sensitivity + self.gain
      unit_variance = self.decay**2 * unit_variance + self.gain**2
      by_mean += discount**t * (-2.0 * expectation * sensitivity - 2.0 * self.action_cost * mean)
      by_std += discount**t * (-2.0 * std * unit_variance - 2.0 * self.action_cost * std)
    return by_mean, by_std
