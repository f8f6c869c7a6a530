"""A model of an environment, learned from the windows that a policy went through."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.flatten_util import ravel_pytree

from gippo_jax.fields import Real, choice, integer, real, sizes, switch
from gippo_jax.learning.buffer import Ring, init_ring
from gippo_jax.learning.gaussian import squash
from gippo_jax.learning.networks import ACTIVATIONS
from gippo_jax.learning.normalization import RunningStatistics, init_statistics
from gippo_jax.learning.optimization import Optimizer, value_and_flat_gradient
from gippo_jax.learning.rollout import Window
from gippo_jax.learning.spectral import init_direction, normalized, power_iteration

_BETA1, _BETA2 = 0.9, 0.999


class ModelConfig(struct.PyTreeNode):
  """Learned model of the environment."""

  units: tuple[int, ...] = sizes((128, 128), "widths of the hidden layers")
  activation: str = choice("silu", tuple(ACTIVATIONS), "of the hidden layers")
  spectral_norm: bool = switch(False, "hidden layers divided by their largest singular value")
  learning_rate: Real = real(1e-3, "Adam rate", minimum=0)
  max_gradient_norm: Real = real(1.0, "largest global gradient norm", above=0)
  num_steps: int = integer(64, "gradient steps per epoch")
  minibatch_size: int = integer(256, "transitions per gradient step")
  capacity: int = integer(100_000, "transitions that are kept")


class Transition(NamedTuple):
  """What a step was, `[...]` leading axes.

  Attributes:
    obs: raw, `[O]`.
    action: squashed, `[A]`.
    change: of the observation, `[O]`.
    reward: scalar.
    terminal: 1 where nothing is worth anything after the step, a scalar.
  """

  obs: jax.Array
  action: jax.Array
  change: jax.Array
  reward: jax.Array
  terminal: jax.Array


class Layer(NamedTuple):
  """A dense layer: kernel `[I, O]`, bias `[O]`."""

  kernel: jax.Array
  bias: jax.Array


class ModelState(struct.PyTreeNode):
  """The model and what it learns of.

  Attributes:
    layers: parameters, the last layer's outputs being the standardised change of the observation, and reward.
    directions: of the power iteration, one for each hidden layer; none without spectral normalisation.
    moments: of the optimiser.
    key: of the minibatches to come.
    buffer: past transitions.
    obs, change, reward: running statistics of them.
  """

  layers: list[Layer]
  directions: list[jax.Array]
  moments: optax.ScaleByAdamState
  key: jax.Array
  buffer: Ring
  obs: RunningStatistics
  change: RunningStatistics
  reward: RunningStatistics


def init_model(key: jax.Array, observation_size: int, action_size: int, config: ModelConfig) -> ModelState:
  """A model that knows nothing.

  Args:
    key: random.
    observation_size, action_size: of the environment.
    config: its hyper-parameters.
  """
  layers_key, directions_key, key = jax.random.split(key, 3)
  widths = (observation_size + action_size, *config.units, observation_size + 1)
  draw = jax.nn.initializers.lecun_normal()
  keys = jax.random.split(layers_key, len(widths) - 1)
  layers = [
    Layer(draw(layer_key, (fan_in, width)), jnp.zeros((width,)))
    for layer_key, fan_in, width in zip(keys, widths, widths[1:], strict=False)
  ]
  directions = []
  if config.spectral_norm:
    keys = jax.random.split(directions_key, len(config.units))
    directions = [init_direction(k, layer.kernel) for k, layer in zip(keys, layers, strict=False)]
  entry = Transition(
    obs=jnp.zeros((observation_size,)),
    action=jnp.zeros((action_size,)),
    change=jnp.zeros((observation_size,)),
    reward=jnp.zeros(()),
    terminal=jnp.zeros(()),
  )
  return ModelState(
    layers=layers,
    directions=directions,
    moments=_optimizer(config).init(layers),
    key=key,
    buffer=init_ring(entry, config.capacity),
    obs=init_statistics((observation_size,)),
    change=init_statistics((observation_size,)),
    reward=init_statistics(),
  )


def predict(state: ModelState, config: ModelConfig, obs: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array]:
  """The observation and the reward that follow.

  Args:
    state: the model.
    config: its hyper-parameters.
    obs: raw, `[O]`.
    action: squashed, `[A]`.
  """
  change, reward = _outputs(state, config, state.layers, obs, action)
  return obs + state.change.denormalize(change), state.reward.denormalize(reward)


def learn(
  state: ModelState, config: ModelConfig, window: Window, last_obs: jax.Array
) -> tuple[ModelState, dict[str, jax.Array]]:
  """Adds a window to the buffer and fits the model to what is there.

  Steps that end an episode are not learned of: what they reached is not acted on.

  Args:
    state: the model before.
    config: its hyper-parameters.
    window: the epoch's experience.
    last_obs: raw observations after it, `[N, O]`.

  Returns:
    The model after, and metrics with prefix `model_`.
  """
  return fit(remember(state, *transitions_of(window, last_obs)), config)


def remember(state: ModelState, batch: Transition, usable: jax.Array) -> ModelState:
  """Adds transitions to the buffer and to the statistics.

  Args:
    state: the model before.
    batch: transitions `[B, ...]`.
    usable: which of them count, Boolean, `[B]`.
  """
  return state.replace(
    buffer=state.buffer.add(batch, usable),
    obs=_merged(state.obs, batch.obs, usable),
    change=_merged(state.change, batch.change, usable),
    reward=_merged(state.reward, batch.reward, usable),
  )


def loss_of(state: ModelState, config: ModelConfig, layers: list[Layer], batch: Transition) -> jax.Array:
  """Mean squared error of the standardised change of the observation and reward.

  Args:
    state: directions and statistics.
    config: hyper-parameters.
    layers: parameters.
    batch: transitions `[B, ...]`.
  """
  change, reward = _outputs(state, config, layers, batch.obs, batch.action)
  errors = [
    change - state.change.normalize(batch.change),
    (reward - state.reward.normalize(batch.reward))[..., None],
  ]
  return jnp.mean(jnp.concatenate(errors, axis=-1) ** 2)


def fit(state: ModelState, config: ModelConfig) -> tuple[ModelState, dict[str, jax.Array]]:
  """`num_steps` steps of Adam on random minibatches of the buffer; one whose gradient is not finite is skipped."""
  key, draw_key = jax.random.split(state.key)
  batches = state.buffer.draw(draw_key, (config.num_steps, config.minibatch_size))
  optimizer = _optimizer(config)
  flat, unravel = ravel_pytree(state.layers)

  def step(carry, batch):
    flat, moments, directions = carry
    layers = unravel(flat)
    directions = [
      power_iteration(layer.kernel, direction) for layer, direction in zip(layers, directions, strict=False)
    ]
    now = state.replace(directions=directions)
    value, gradient = value_and_flat_gradient(lambda layers: loss_of(now, config, layers, batch))(layers)
    flat, moments, info = optimizer.step(flat, moments, gradient, config.learning_rate)
    return (flat, moments, directions), (value, info.skipped)

  (flat, moments, directions), (losses, skipped) = jax.lax.scan(step, (flat, state.moments, state.directions), batches)
  metrics = {
    "model_loss": jnp.mean(losses),
    "model_skipped_share": jnp.mean(skipped),
    "model_transitions": state.buffer.size,
    "model_empty_buffer": (state.buffer.size == 0).astype(losses.dtype),
  }
  return state.replace(layers=unravel(flat), moments=moments, directions=directions, key=key), metrics


def transitions_of(
  window: Window, last_obs: jax.Array, final_obs: jax.Array | None = None
) -> tuple[Transition, jax.Array]:
  """A window's transitions, `[T N, ...]`, and which of them can be learned of, `[T N]`.

  Args:
    window: the epoch's experience.
    last_obs: raw observations after it, `[N, O]`.
    final_obs: raw observations that steps reached before any reset, `[T, N, O]`; without them a step that ends an
      episode is not learned of.
  """
  obs = window.raw_observation
  reached = jnp.concatenate([obs[1:], last_obs[None]])
  usable = window.fault == 0
  if final_obs is None:
    usable &= window.done == 0
  else:
    reached = jnp.where(window.done[..., None] > 0, final_obs, reached)
  batch = Transition(obs, squash(window.action), reached - obs, window.reward, window.worthless)
  usable &= jnp.all(jnp.isfinite(batch.obs) & jnp.isfinite(batch.change), axis=-1) & jnp.isfinite(batch.reward)
  flat = jax.tree.map(lambda leaf: jax.lax.stop_gradient(leaf).reshape(-1, *leaf.shape[2:]), batch)
  return flat, usable.reshape(-1)


def _outputs(
  state: ModelState, config: ModelConfig, layers: list[Layer], obs: jax.Array, action: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Standardised change of the observation, and reward."""
  x = jnp.concatenate([state.obs.normalize(obs), action], axis=-1)
  kernels = [layer.kernel for layer in layers]
  for index, direction in enumerate(state.directions):
    kernels[index] = normalized(kernels[index], direction)
  for kernel, layer in zip(kernels[:-1], layers, strict=False):
    x = ACTIVATIONS[config.activation](_affine(x, kernel, layer.bias))
  x = _affine(x, kernels[-1], layers[-1].bias)
  return x[..., :-1], x[..., -1]


def _affine(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
  y = x @ kernel
  return y + bias.reshape((1,) * (y.ndim - 1) + bias.shape)


def _merged(statistics: RunningStatistics, batch: jax.Array, usable: jax.Array) -> RunningStatistics:
  """Statistics with the usable samples of a batch; the others stand for their mean, which leaves it where it is."""
  weight = usable.astype(batch.dtype).reshape(-1, *(1,) * (batch.ndim - 1))
  mean = jnp.sum(jnp.where(weight > 0, batch, 0.0), axis=0) / jnp.maximum(jnp.sum(weight), 1.0)
  return statistics.update(jnp.where(weight > 0, batch, mean[None]))


def _optimizer(config: ModelConfig) -> Optimizer:
  return Optimizer(_BETA1, _BETA2, config.max_gradient_norm)
