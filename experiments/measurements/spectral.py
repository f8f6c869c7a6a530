"""Variance and bias of a gradient through models of several steps, with and without spectral normalisation.

Zhang, Liu, Wang, Zhao, "Model-Based Reparameterization Policy Gradient Methods", NeurIPS 2023.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from gippo_jax.config import ActorConfig, CriticConfig
from gippo_jax.envs.base import Environment, PyTree
from gippo_jax.envs.decoupled import Decoupled
from gippo_jax.envs.physics.cartpole import Cartpole
from gippo_jax.learning import world_model
from gippo_jax.learning.agents import make_networks
from gippo_jax.learning.gaussian import sample, squash
from gippo_jax.learning.spectral import init_direction, normalized
from gippo_jax.learning.world_model import ModelConfig, ModelState, Transition
from gippo_jax.plain import Plain

_STATE_SIZE, _ACTION_SIZE, _UNITS = 8, 3, (64, 64)
_LONGEST = 15
_HELD_OUT = 1024


class Random(NamedTuple):
  """A random system.

  Attributes:
    label: for readers.
    gain: kernels are drawn with variance `gain^2 / fan-in`.
    model_is_normalized, policy_is_normalized: spectral normalisation of the layers that are not the first and not the
      last (policy) or of all but the last (model).
  """

  label: str
  gain: float
  model_is_normalized: bool = False
  policy_is_normalized: bool = False


RANDOM_SYSTEMS = (
  Random("plain, gain 1.4", 1.4),
  Random("plain, gain 2", 2.0),
  Random("model normalised, gain 1.4", 1.4, model_is_normalized=True),
  Random("model and policy normalised, gain 1.4", 1.4, model_is_normalized=True, policy_is_normalized=True),
)


def _draw_network(key: jax.Array, sizes: Sequence[int], gain: float) -> list[jax.Array]:
  keys = jax.random.split(key, len(sizes) - 1)
  return [
    gain / jnp.sqrt(one) * jax.random.normal(k, (one, two))
    for k, one, two in zip(keys, sizes[:-1], sizes[1:], strict=True)
  ]


def _network(kernels: Sequence[jax.Array], directions: Sequence[jax.Array | None], x: jax.Array) -> jax.Array:
  for index, (kernel, direction) in enumerate(zip(kernels, directions, strict=True)):
    kernel = kernel if direction is None else normalized(kernel, direction)
    x = x @ kernel
    x = jax.nn.relu(x) if index + 1 < len(kernels) else x
  return x


def _directions(key: jax.Array, kernels: Sequence[jax.Array], layers: Sequence[int]) -> list[jax.Array | None]:
  return [init_direction(key, kernel) if index in layers else None for index, kernel in enumerate(kernels)]


class RandomSystem(NamedTuple):
  """A system that was drawn.

  Attributes:
    policy: its kernels.
    total: `sum_i w' s_i`, from a policy's kernels, a start `[8]`, noise `[15, 3]`, and the number of steps that count.
    starts: `[S, 8]`.
    noise: `[S, 15, 3]`.
  """

  policy: list[jax.Array]
  total: Callable[[list[jax.Array], jax.Array, jax.Array, jax.Array], jax.Array]
  starts: jax.Array
  noise: jax.Array


def draw_system(system: Random, num_samples: int, key: jax.Array) -> RandomSystem:
  """`s' = s + f(s, pi(s) + noise)` with random networks f and pi of two hidden layers, and `w` of length 1.

  Args:
    system: gain and normalisation.
    num_samples: starts, each with a noise of its own.
    key: draws networks, starts and noise.
  """
  model_key, policy_key, weight_key, start_key, noise_key, direction_key = jax.random.split(key, 6)
  model = _draw_network(model_key, (_STATE_SIZE + _ACTION_SIZE, *_UNITS, _STATE_SIZE), system.gain)
  policy = _draw_network(policy_key, (_STATE_SIZE, *_UNITS, _ACTION_SIZE), system.gain)
  of_model = _directions(direction_key, model, (0, 1) if system.model_is_normalized else ())
  of_policy = _directions(direction_key, policy, (1,) if system.policy_is_normalized else ())
  weight = jax.random.normal(weight_key, (_STATE_SIZE,))
  weight /= jnp.linalg.norm(weight)
  starts = jax.random.normal(start_key, (num_samples, _STATE_SIZE))
  noise = 0.1 * jax.random.normal(noise_key, (num_samples, _LONGEST, _ACTION_SIZE))

  def total(policy, start, noise, horizon):
    def step(state, noise):
      action = _network(policy, of_policy, state) + noise
      state = state + _network(model, of_model, jnp.concatenate([state, action]))
      return state, weight @ state

    rewards = jax.lax.scan(step, start, noise)[1]
    return jnp.sum(jnp.where(jnp.arange(_LONGEST) < horizon, rewards, 0.0))

  return RandomSystem(policy, total, starts, noise)


@functools.partial(jax.jit, static_argnums=(0, 2))
def random_variances(system: Random, horizons: jax.Array, num_samples: int, key: jax.Array) -> jax.Array:
  """Variance of a sample's gradient of `sum_i w' s_i` by the policy's parameters, summed over them, `[H]`.

  Args:
    system: gain and normalisation.
    horizons: steps that are summed, `[H]`.
    num_samples: starts, each with a noise of its own.
    key: draws networks, starts and noise.
  """
  drawn = draw_system(system, num_samples, key)

  def variance(horizon):
    gradients = jax.vmap(jax.grad(drawn.total), in_axes=(None, 0, 0, None))(
      drawn.policy, drawn.starts, drawn.noise, horizon
    )
    return jnp.sum(jnp.var(_flat(gradients), axis=0, ddof=1))

  return jax.lax.map(variance, horizons)


def _flat(gradients: PyTree) -> jax.Array:
  return jax.vmap(lambda gradient: ravel_pytree(gradient)[0])(gradients)


def measure_random(horizons: Sequence[int], num_systems: int, num_samples: int, key: jax.Array) -> list[Plain]:
  """Geometric means over random systems of the variance of a sample's gradient, one row for each kind and horizon."""
  rows = []
  keys = jax.random.split(key, num_systems)
  for system in RANDOM_SYSTEMS:
    found = jax.lax.map(functools.partial(random_variances, system, jnp.asarray(horizons), num_samples), keys)
    means = jnp.exp(jnp.mean(jnp.log(found), axis=0))
    rows += [
      {"system": system.label, "horizon": horizon, "variance": float(mean)}
      for horizon, mean in zip(horizons, means, strict=True)
    ]
  return rows


def learned_model(
  config: ModelConfig, num_transitions: int, num_rounds: int, key: jax.Array
) -> tuple[ModelState, float]:
  """A model of the cart-pole, fitted to random actions from states all over, and its loss on others."""
  env = Cartpole()
  init_key, data_key = jax.random.split(key)

  def transition(key):
    start_key, spread_key, action_key = jax.random.split(key, 3)
    start = env.reset(start_key)
    # Far from the start, where a window gets to.
    moved = jax.tree.map(
      lambda leaf: (
        leaf + 2.0 * jax.random.normal(spread_key, leaf.shape, leaf.dtype)
        if jnp.issubdtype(leaf.dtype, jnp.floating)
        else leaf
      ),
      start.physics,
    )
    start = env.step(start.replace(physics=moved), jnp.zeros((1,)))
    action = jax.random.uniform(action_key, (1,), minval=-1.0, maxval=1.0)
    reached = env.step(start, action)
    return Transition(start.obs, action, reached.obs - start.obs, reached.reward, reached.terminated)

  batch = jax.jit(jax.vmap(transition))(jax.random.split(data_key, num_transitions + _HELD_OUT))
  train = jax.tree.map(lambda leaf: leaf[_HELD_OUT:], batch)
  test = jax.tree.map(lambda leaf: leaf[:_HELD_OUT], batch)
  state = world_model.init_model(init_key, env.observation_size, 1, config)
  usable = jnp.ones((num_transitions,), bool)
  state = world_model.remember(state, train, usable)
  fit = jax.jit(lambda state: world_model.fit(state, config))
  for _ in range(num_rounds):
    state, _ = fit(state)
  return state, float(jax.jit(lambda state: world_model.loss_of(state, config, state.layers, test))(state))


def sample_gradients(
  env: Environment, horizon: int, num_samples: int, key: jax.Array, policy_key: jax.Array
) -> jax.Array:
  """Gradients of a window's discounted rewards by a random policy's parameters, one for each start, `[S, P]`."""
  config = ActorConfig(units=(32, 32), fixed_std=True, initial_log_std=-1.0)
  networks = make_networks(env.observation_size, env.action_size, config, CriticConfig())
  actor, _ = networks.init(policy_key, config)
  start_key, noise_key = jax.random.split(key)
  noise = jax.random.normal(noise_key, (num_samples, horizon, env.action_size))

  def objective(params, start_key, noise):
    def step(carry, noise):
      state, discount = carry
      mean, log_std = networks.policy(params, state.obs)
      state = env.step(state, squash(sample(mean, log_std, noise)))
      return (state, 0.99 * discount), discount * state.reward

    start = (env.reset(start_key), jnp.ones(()))
    return jnp.sum(jax.lax.scan(step, start, noise)[1])

  return _flat(
    jax.vmap(jax.grad(objective), in_axes=(None, 0, 0))(actor, jax.random.split(start_key, num_samples), noise)
  )


def measure_cartpole(
  horizons: Sequence[int],
  models: dict[str, Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]],
  num_samples: int,
  num_true: int,
  key: jax.Array,
) -> list[Plain]:
  """Variance and bias of the gradient through learned models on the cart-pole, beside the simulator's own.

  Values are the simulator's throughout, derivatives the models' (RP-DR); without a critic. The bias is the distance of
  the mean gradient from the true one's, over the true one's length, less what the finite samples explain.

  Args:
    horizons: steps of a window.
    models: predictions by label.
    num_samples: gradients of each estimate.
    num_true: gradients of the truth.
    key: draws starts and noise.
  """
  env = Cartpole()
  policy_key, true_key, key = jax.random.split(key, 3)
  rows = []
  for horizon in horizons:

    def gradients(env, count, key, horizon=horizon):
      return jax.jit(lambda key: sample_gradients(env, horizon, count, key, policy_key))(key)

    truth = gradients(env, num_true, true_key)
    mean = jnp.mean(truth, axis=0)
    noise_of_truth = jnp.sum(jnp.var(truth, axis=0)) / num_true
    for label, predict in {"simulator": None, **models}.items():
      found = gradients(env if predict is None else Decoupled(env, predict), num_samples, key)
      variance = float(jnp.sum(jnp.var(found, axis=0, ddof=1)))
      distance = float(jnp.sum((jnp.mean(found, axis=0) - mean) ** 2) - variance / num_samples - noise_of_truth)
      length = float(jnp.sum(mean**2))
      rows.append(
        {
          "model": label,
          "horizon": horizon,
          "variance": variance / length,
          "squared_bias": max(distance, 0.0) / length,
        }
      )
  return rows


def growth(rows: Sequence[Plain], name: str = "variance") -> tuple[float, float]:
  """Slopes of the logarithm of a column over the horizon, and over its logarithm, from the second row on."""
  horizons = np.asarray([row["horizon"] for row in rows[1:]], float)
  values = np.log([row[name] for row in rows[1:]])
  return float(np.polyfit(horizons, values, 1)[0]), float(np.polyfit(np.log(horizons), values, 1)[0])
