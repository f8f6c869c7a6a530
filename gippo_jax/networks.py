"""Actor and critic networks: dense -> ELU -> LayerNorm, with the initialisation the paper's runs used."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from gippo_jax.config import Config

_LAYER_NORM_EPSILON = 1e-5


def _uniform_fan_in(fan_in: int):
  """Uniform in +-1/sqrt(fan_in), for kernels and biases alike.

  The bias must not start at zero: under a constant observation the hidden units would then be equal, LayerNorm would
  divide by nearly nothing, and its gradient would be a thousand times too large.
  """
  bound = fan_in**-0.5

  def init(key, shape, dtype=None):
    return jax.random.uniform(key, shape, dtype or jnp.zeros(()).dtype, -bound, bound)

  return init


def _actor_dense(units: int, fan_in: int, name: str) -> nn.Dense:
  init = _uniform_fan_in(fan_in)
  return nn.Dense(units, kernel_init=init, bias_init=init, name=name, param_dtype=_float_dtype())


def _critic_dense(units: int, name: str) -> nn.Dense:
  return nn.Dense(units, kernel_init=nn.initializers.orthogonal(), name=name, param_dtype=_float_dtype())


@jax.custom_jvp
def elu(x: jax.Array) -> jax.Array:
  """`x` where positive, else `exp(x) - 1`.

  The derivative reuses the exponential, and no `expm1` is computed: on a CPU that alone halves the time of a gradient
  step of these small networks. The rounding near 0 is that of a sum with 1.
  """
  return jnp.maximum(x, 0.0) + (jnp.exp(jnp.minimum(x, 0.0)) - 1.0)


@elu.defjvp
def _elu_jvp(primals, tangents):
  (x,), (tangent,) = primals, tangents
  exponential = jnp.exp(jnp.minimum(x, 0.0))
  return jnp.maximum(x, 0.0) + (exponential - 1.0), exponential * tangent


def _hidden(x: jax.Array, dense: nn.Dense, index: int) -> jax.Array:
  x = elu(dense(x))
  norm = nn.LayerNorm(
    epsilon=_LAYER_NORM_EPSILON,
    use_fast_variance=False,
    force_float32_reductions=False,
    param_dtype=_float_dtype(),
    name=f"norm_{index}",
  )
  return norm(x)


def _float_dtype():
  return jnp.zeros(()).dtype  # float64 when 64-bit types are on


class Actor(nn.Module):
  """Mean and log standard deviation of the Gaussian policy.

  Attributes:
    action_size: number of entries of an action.
    units: widths of the hidden layers.
    fixed_std: the standard deviation is one learned vector instead of a head on the last hidden layer.
    initial_log_std: start of that vector; unused otherwise.
  """

  action_size: int
  units: tuple[int, ...]
  fixed_std: bool

  @nn.compact
  def __call__(self, obs: jax.Array, initial_log_std: jax.Array | float = 0.0) -> tuple[jax.Array, jax.Array]:
    """Maps observations `[..., O]` to means and log standard deviations `[..., A]`."""
    x = obs
    for index, units in enumerate(self.units):
      x = _hidden(x, _actor_dense(units, x.shape[-1], f"dense_{index}"), index)
    mean = _actor_dense(self.action_size, x.shape[-1], "mean")(x)
    if self.fixed_std:
      log_std = self.param("log_std", lambda key: jnp.full((self.action_size,), initial_log_std, _float_dtype()))
      return mean, jnp.broadcast_to(log_std, mean.shape)
    return mean, _actor_dense(self.action_size, x.shape[-1], "log_std")(x)


class Critic(nn.Module):
  """State value; orthogonal kernels, zero biases.

  Attributes:
    units: widths of the hidden layers.
  """

  units: tuple[int, ...]

  @nn.compact
  def __call__(self, obs: jax.Array) -> jax.Array:
    """Maps observations `[..., O]` to values `[...]`."""
    x = obs
    for index, units in enumerate(self.units):
      x = _hidden(x, _critic_dense(units, f"dense_{index}"), index)
    return jnp.squeeze(_critic_dense(1, "value")(x), axis=-1)


class Networks(NamedTuple):
  """The two modules of an agent, with parameters held outside."""

  actor: Actor
  critic: Critic

  def init(self, key: jax.Array, observation_size: int, initial_log_std: jax.Array) -> tuple[Any, Any]:
    """Draws the parameters of actor and critic."""
    actor_key, critic_key = jax.random.split(key)
    obs = jnp.zeros((observation_size,))
    return (
      self.actor.init(actor_key, obs, initial_log_std)["params"],
      self.critic.init(critic_key, obs)["params"],
    )

  def policy(self, actor_params: Any, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and log standard deviation at normalised observations."""
    return self.actor.apply({"params": actor_params}, obs)

  def value(self, critic_params: Any, obs: jax.Array) -> jax.Array:
    """Critic's raw output (in units of the value statistics) at normalised observations."""
    return self.critic.apply({"params": critic_params}, obs)


def make_networks(config: Config, action_size: int) -> Networks:
  """Builds the modules that `config` describes."""
  return Networks(
    actor=Actor(action_size=action_size, units=config.actor.units, fixed_std=config.actor.fixed_std),
    critic=Critic(units=config.critic.units),
  )
