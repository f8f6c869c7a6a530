"""Epochs of one member, as pure functions: what the compiled programs are made of."""

import functools
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp

from gippo_jax import registry
from gippo_jax.algorithms.base import Draws, Metrics
from gippo_jax.config import MATMUL_PRECISIONS, Config, traced
from gippo_jax.envs.base import Environment
from gippo_jax.learning.setup import make_setup
from gippo_jax.learning.state import TrainingState
from gippo_jax.programs.probe import require_differentiable


class _Init(Protocol):
  def __call__(self, key: jax.Array, config: Config) -> TrainingState: ...


class _Update(Protocol):
  def __call__(
    self, state: TrainingState, config: Config, draws: Draws | None = None
  ) -> tuple[TrainingState, Metrics]: ...


class Epochs(NamedTuple):
  """An algorithm on an environment, with the hyper-parameters as an argument: members differ in them.

  Attributes:
    init: the state before the first epoch, from a random key and the hyper-parameters.
    update: one epoch; see `algorithms.base.Update`.
  """

  init: _Init
  update: _Update


def make_epochs(env: Environment, config: Config) -> Epochs:
  """The configured algorithm on `config.num_envs` copies of `env`.

  Args:
    env: unbatched environment.
    config: its sizes and switches count here; its real numbers are those that the functions are called with.

  Raises:
    UserError: when the algorithm needs gradients and the environment says it has none, or the networks cannot be made.
    ValueError: when the environment does not keep its contract.
  """
  require_differentiable(env, config)
  make = registry.find(config.algorithm).make
  setup = make_setup(env, config)

  # Without it a GPU would round the factors of every product to 10 bits, the simulator's and its derivative's included.
  precision = functools.partial(jax.default_matmul_precision, MATMUL_PRECISIONS[config.matmul_precision])

  def init(key, config):
    with precision():
      return make(setup._replace(config=config)).init(key)

  def update(state, config, draws=None):
    with precision():
      return make(setup._replace(config=config)).update(state, draws)

  return Epochs(init, update)


def train(env: Environment, config: Config, key: jax.Array, num_epochs: int) -> tuple[TrainingState, Metrics]:
  """Trains one member; pure, so that it can be jitted and vmapped over keys and over the real numbers of `config`.

  Args:
    env: unbatched environment.
    config: hyper-parameters.
    key: random key of the member.
    num_epochs: epochs to run; schedules follow `config.num_epochs`.

  Returns:
    The final `TrainingState`, and each metric with leading axis `[num_epochs]`.
  """
  epochs = make_epochs(env, config)
  config = traced(config)
  return jax.lax.scan(lambda state, _: epochs.update(state, config), epochs.init(key, config), None, length=num_epochs)


def run_chunk(
  epochs: Epochs, capacity: int, state: TrainingState, config: Config, num_epochs: jax.Array
) -> tuple[TrainingState, Metrics]:
  """Advances one member by up to `capacity` epochs.

  The number of epochs is traced, so that chunks of any length share one compiled program.

  Args:
    epochs: from `make_epochs`.
    capacity: length of the metrics' buffers.
    state: before the chunk.
    config: hyper-parameters.
    num_epochs: epochs to run, at most `capacity`.

  Returns:
    State after the chunk, and each metric with leading axis `[capacity]`, filled up to `num_epochs`.
  """
  update = jax.jit(epochs.update)  # traced once, here and in the loop
  shapes = jax.eval_shape(update, state, config)[1]
  buffers = jax.tree.map(lambda s: jnp.zeros((capacity, *s.shape), s.dtype), shapes)

  def epoch(index, carry):
    state, buffers = carry
    state, metrics = update(state, config)
    return state, jax.tree.map(lambda buffer, value: buffer.at[index].set(value), buffers, metrics)

  return jax.lax.fori_loop(0, num_epochs, epoch, (state, buffers))
