"""The built-in networks: dense -> activation -> LayerNorm, with the initialisation the paper's runs used.

They are one factory among others: `gippo_jax.learning.agents` says what a factory is and finds one's own.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from gippo_jax.config import ActorConfig, CriticConfig
from gippo_jax.envs.base import PyTree
from gippo_jax.learning.sample_gradients import DENSE, OFFSET, SCALED, GradientVariance, by_layers, is_watched, watch

LAYER_NORM_EPSILON = 1e-5
_FOLDED_SAMPLES = 256


def _uniform_fan_in(fan_in: int):
  """Uniform in +-1/sqrt(fan_in), for kernels and biases alike.

  The bias must not start at zero: under a constant observation the hidden units would then be equal, LayerNorm would
  divide by nearly nothing, and its gradient would be a thousand times too large.
  """
  bound = fan_in**-0.5

  def init(key, shape, dtype=None):
    return jax.random.uniform(key, shape, dtype or jnp.zeros(()).dtype, -bound, bound)

  return init


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


@jax.custom_vjp
def _product(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """`x @ kernel` for matrices, with a kernel gradient that is quick on a CPU."""
  return x @ kernel


def _product_forward(x, kernel):
  return x @ kernel, (x, kernel)


def _product_backward(residuals, cotangent):
  x, kernel = residuals
  if kernel.shape[0] > kernel.shape[1]:
    # The narrow factor stands first: XLA's CPU product is three times slower the other way round. The barrier keeps the
    # compiler from turning it back.
    by_kernel = jax.lax.optimization_barrier(cotangent.T @ x).T
  else:
    by_kernel = x.T @ cotangent
  return cotangent @ kernel.T, by_kernel


_product.defvjp(_product_forward, _product_backward)


def _affine(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
  """`x @ kernel + bias` over the last axis of `x`, `[..., I] -> [..., O]`."""
  rows = _product(x.reshape(-1, x.shape[-1]), kernel) + bias[None]
  return rows.reshape(*x.shape[:-1], kernel.shape[1])


def _as_row(vector: jax.Array, like: jax.Array) -> jax.Array:
  """`vector` with the rank of `like`."""
  return vector.reshape((1,) * (like.ndim - 1) + (-1,))


def _standardize(x: jax.Array) -> jax.Array:
  """LayerNorm without its scale and bias."""
  centred = x - jnp.mean(x, axis=-1, keepdims=True)
  return centred * jax.lax.rsqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + LAYER_NORM_EPSILON)


class _Dense(nn.Module):
  """The parameters of a dense layer: kernel `[I, O]` and bias `[O]`."""

  units: int
  kernel_init: Callable[..., jax.Array]
  bias_init: Callable[..., jax.Array]

  @nn.compact
  def __call__(self, fan_in: int) -> tuple[jax.Array, jax.Array]:
    kernel = self.param("kernel", self.kernel_init, (fan_in, self.units), _float_dtype())
    return kernel, self.param("bias", self.bias_init, (self.units,), _float_dtype())


class _Norm(nn.Module):
  """The parameters of a LayerNorm: scale and bias, `[O]` each."""

  @nn.compact
  def __call__(self, size: int) -> tuple[jax.Array, jax.Array]:
    scale = self.param("scale", nn.initializers.ones, (size,), _float_dtype())
    return scale, self.param("bias", nn.initializers.zeros, (size,), _float_dtype())


ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
  "elu": elu,
  "tanh": jnp.tanh,
  "relu": jax.nn.relu,
  "silu": jax.nn.silu,
}


class Hidden(NamedTuple):
  """The hidden layers of a network.

  Attributes:
    units: widths.
    activation: of `ACTIVATIONS`.
    layer_norm: whether a LayerNorm follows each.
  """

  units: tuple[int, ...]
  activation: str = "elu"
  layer_norm: bool = True


def _body(module: nn.Module, x: jax.Array, hidden: Hidden, dense: Callable[..., _Dense]) -> tuple[jax.Array, Callable]:
  """Hidden layers; with many samples the scale and bias of a LayerNorm are left to the layer that follows.

  `(x * scale + bias) @ kernel` is then computed as `x @ (scale * kernel) + bias @ kernel`: the product is the same, and
  the passes over all samples for scale and bias, forward and backward, fall away. With few samples the small products
  for the folded parameters cost more than they save.

  Args:
    module: whose layers they are.
    x: observations, `[..., O]`.
    hidden: the layers.
    dense: makes a dense layer's parameters from its width, fan-in and name.

  Returns:
    What the next layer sees, and a function that prepares that layer's kernel and bias.
  """

  def plain(kernel, bias):
    return kernel, bias

  folds = math.prod(x.shape[:-1]) >= _FOLDED_SAMPLES and not is_watched(module)
  fold: Callable = plain
  for index, width in enumerate(hidden.units):
    kernel, bias = fold(*dense(width, x.shape[-1], f"dense_{index}")(x.shape[-1]))
    y = watch(module, DENSE, f"dense_{index}_output", x, _affine(x, kernel, bias))
    x = ACTIVATIONS[hidden.activation](y)
    if not hidden.layer_norm:
      continue
    x = _standardize(x)
    scale, shift = _Norm(name=f"norm_{index}")(width)
    if folds:
      fold = functools.partial(_folded, scale, shift)
    else:
      x = watch(module, SCALED, f"norm_{index}_output", x, x * _as_row(scale, x) + _as_row(shift, x))

  return x, fold


def _folded(scale: jax.Array, shift: jax.Array, kernel: jax.Array, bias: jax.Array) -> tuple[jax.Array, jax.Array]:
  return scale[:, None] * kernel, shift @ kernel + bias


def _float_dtype():
  return jnp.zeros(()).dtype  # float64 when 64-bit types are on


class Actor(nn.Module):
  """Mean and log standard deviation of the Gaussian policy.

  Attributes:
    action_size: number of entries of an action.
    hidden: the hidden layers.
    fixed_std: the standard deviation is one learned vector instead of a head on the last hidden layer.
    initial_log_std: start of that vector; unused otherwise.
  """

  action_size: int
  hidden: Hidden
  fixed_std: bool

  @nn.compact
  def __call__(self, obs: jax.Array, initial_log_std: jax.Array | float = 0.0) -> tuple[jax.Array, jax.Array]:
    """Maps observations `[..., O]` to means and log standard deviations `[..., A]`."""

    def dense(units, fan_in, name):
      init = _uniform_fan_in(fan_in)
      return _Dense(units, kernel_init=init, bias_init=init, name=name)

    x, fold = _body(self, obs, self.hidden, dense)
    mean_head = dense(self.action_size, x.shape[-1], "mean")(x.shape[-1])
    if self.fixed_std:
      mean = watch(self, DENSE, "heads_output", x, _affine(x, *fold(*mean_head)))
      log_std = self.param("log_std", lambda key: jnp.full((self.action_size,), initial_log_std, _float_dtype()))
      return mean, watch(self, OFFSET, "log_std_output", log_std, jnp.broadcast_to(log_std, mean.shape))
    log_std_head = dense(self.action_size, x.shape[-1], "log_std")(x.shape[-1])
    # Both heads are one product.
    heads = [jnp.concatenate(pair, axis=-1) for pair in zip(mean_head, log_std_head, strict=True)]
    outputs = watch(self, DENSE, "heads_output", x, _affine(x, *fold(*heads)))
    mean, log_std = jnp.split(outputs, 2, axis=-1)
    return mean, log_std


class Critic(nn.Module):
  """State value; orthogonal kernels, zero biases.

  Attributes:
    hidden: the hidden layers.
  """

  hidden: Hidden

  @nn.compact
  def __call__(self, obs: jax.Array) -> jax.Array:
    """Maps observations `[..., O]` to values `[...]`."""

    def dense(units, fan_in, name):
      del fan_in
      return _Dense(units, nn.initializers.orthogonal(), nn.initializers.zeros, name=name)

    x, fold = _body(self, obs, self.hidden, dense)
    return jnp.squeeze(_affine(x, *fold(*dense(1, x.shape[-1], "value")(x.shape[-1]))), axis=-1)


class MultilayerPerceptrons(NamedTuple):
  """The two modules of an agent, with parameters held outside; see `agents.Networks`."""

  actor: Actor
  critic: Critic
  observation_size: int

  def init(self, key: jax.Array, config: ActorConfig) -> tuple[PyTree, PyTree]:
    """Draws the parameters of actor and critic."""
    actor_key, critic_key = jax.random.split(key)
    obs = jnp.zeros((self.observation_size,))
    return (
      self.actor.init(actor_key, obs, config.initial_log_std)["params"],
      self.critic.init(critic_key, obs)["params"],
    )

  def policy(self, actor: PyTree, obs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and log standard deviation at normalised observations."""
    return self.actor.apply({"params": actor}, obs)  # type: ignore[return-value]

  def value(self, critic: PyTree, obs: jax.Array) -> jax.Array:
    """Critic's raw output (in units of the value statistics) at normalised observations."""
    return self.critic.apply({"params": critic}, obs)  # type: ignore[return-value]

  def gradient_variance(self, actor: PyTree, obs: jax.Array) -> GradientVariance:
    """Of the samples' gradients by the actor, at normalised observations `[S, O]`."""
    return by_layers(self.actor, actor, obs)

  def in_order(self, actor: PyTree) -> list[jax.Array]:
    """The actor's parameters in the order the authors' code has them.

    A learned log-std vector comes first; then, layer by layer, the weight as `[out, in]`, the bias, the LayerNorm's
    scale and bias; then the mean head and the log-std head.
    """

    def dense(name):
      return [actor[name]["kernel"].T, actor[name]["bias"]]

    leaves = [actor["log_std"]] if self.actor.fixed_std else []
    for index in range(len(self.actor.hidden.units)):
      leaves += dense(f"dense_{index}")
      if self.actor.hidden.layer_norm:
        leaves += [actor[f"norm_{index}"]["scale"], actor[f"norm_{index}"]["bias"]]
    return leaves + dense("mean") + ([] if self.actor.fixed_std else dense("log_std"))


def make(observation_size: int, action_size: int, actor: ActorConfig, critic: CriticConfig) -> MultilayerPerceptrons:
  """Builds the modules that the configuration's groups describe; a factory in the sense of `agents`."""
  return MultilayerPerceptrons(
    actor=Actor(action_size, Hidden(actor.units, actor.activation, actor.layer_norm), actor.fixed_std),
    critic=Critic(Hidden(critic.units, critic.activation, critic.layer_norm)),
    observation_size=observation_size,
  )
