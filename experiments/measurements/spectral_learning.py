"""RP-DP on the pendulum with and without spectral normalisation: learning curves, and surfaces of the objective.

Zhang, Liu, Wang, Zhao, "Model-Based Reparameterization Policy Gradient Methods", NeurIPS 2023.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from gippo_jax import envs
from gippo_jax.algorithms.value_expansion import ExpansionConfig
from gippo_jax.config import Config, traced
from gippo_jax.envs.base import Environment, PyTree
from gippo_jax.experiments.measurements.spectral import Random, draw_system
from gippo_jax.learning import world_model
from gippo_jax.learning.action_value import in_units_of_rewards, with_action_critics
from gippo_jax.learning.ensemble import least
from gippo_jax.learning.policies import policy_of
from gippo_jax.learning.setup import make_setup
from gippo_jax.learning.state import TrainingState
from gippo_jax.learning.value_expansion import Agent, expand
from gippo_jax.programs.epochs import make_epochs
from gippo_jax.programs.evaluation import evaluate

_EPISODES = 16
_STARTS = 64
# Parameters along a direction go from -1 to 1 times their own length.
_REACH = 1.0


class Case(NamedTuple):
  """A training: steps through the model, and whether model and policy are normalised."""

  horizon: int
  is_normalized: bool

  @property
  def label(self) -> str:
    """For readers."""
    return f"h = {self.horizon}, {'normalised' if self.is_normalized else 'plain'}"


def pendulum() -> Environment:
  """gymnax's Pendulum-v1: 200 steps of 1/20 s."""
  return envs.make("gymnax:Pendulum-v1")


def config_of(case: Case, num_epochs: int) -> Config:
  """RP-DP's settings: 128 steps an epoch, 32 gradient steps of actor and critics, two hidden layers of 64 ReLU."""
  units, rate = (64, 64), 1e-3
  return Config(
    algorithm="rp_dp",
    num_envs=4,
    horizon=32,
    num_epochs=num_epochs,
    actor={"units": units, "activation": "relu", "layer_norm": False, "spectral_norm": case.is_normalized},
    critic={
      "units": units,
      "activation": "relu",
      "layer_norm": False,
      "learning_rate": rate,
      "final_learning_rate": rate,
    },
    adam={"beta1": 0.9, "beta2": 0.999},
    model={"units": units, "activation": "relu", "spectral_norm": case.is_normalized, "capacity": 32_768},
    expansion=ExpansionConfig(
      horizon=case.horizon, num_steps=32, minibatch_size=128, learning_rate=rate, final_learning_rate=rate
    ),
  )


def learn(
  env: Environment, config: Config, num_seeds: int, num_epochs: int, num_looks: int, key: jax.Array
) -> tuple[TrainingState, dict[str, np.ndarray]]:
  """Trains members side by side.

  Args:
    env: unbatched.
    config: hyper-parameters.
    num_seeds: members, each with a key of its own.
    num_epochs: of all, a multiple of `num_looks`.
    num_looks: evaluations of the mean action, 16 episodes each.
    key: of all draws.

  Returns:
    Last states, `[seeds, ...]`; and by name, `[seeds, looks]`: `return`, `model_loss`, and `gradient_norm`, the mean
    length of the actor's gradient before its clip.
  """
  epochs = make_epochs(env, config)
  values = traced(config)

  def member(key: jax.Array) -> tuple[TrainingState, dict[str, jax.Array]]:
    init_key, look_key = jax.random.split(key)

    def epoch(state, _):
      return epochs.update(state, values)

    def look(state, key):
      state, metrics = jax.lax.scan(epoch, state, None, length=num_epochs // num_looks)
      returns = evaluate(policy_of(make_setup(env, config), state.policy), env, key, _EPISODES)
      return state, {
        "return": jnp.mean(returns),
        "model_loss": metrics["model_loss"][-1],
        "gradient_norm": jnp.mean(metrics["actor_gradient_norm"]),
      }

    return jax.lax.scan(look, epochs.init(init_key, values), jax.random.split(look_key, num_looks))

  states, found = jax.jit(jax.vmap(member))(jax.random.split(key, num_seeds))
  return states, {name: np.asarray(value) for name, value in found.items()}


def directions(params: PyTree, key: jax.Array) -> tuple[PyTree, PyTree]:
  """Two random directions, each array of which has the length of the parameters' own."""
  leaves, structure = jax.tree.flatten(params)
  drawn = [
    [jax.random.normal(leaf_key, leaf.shape, leaf.dtype) for leaf, leaf_key in zip(leaves, keys, strict=True)]
    for keys in jax.random.split(key, (2, len(leaves)))
  ]
  first, second = (
    structure.unflatten(
      [one * jnp.linalg.norm(leaf) / jnp.linalg.norm(one) for one, leaf in zip(direction, leaves, strict=True)]
    )
    for direction in drawn
  )
  return first, second


def surface(objective: Callable[[PyTree], jax.Array], params: PyTree, size: int, key: jax.Array) -> np.ndarray:
  """The objective over a square around the parameters, `[size, size]`, the first direction downwards."""
  first, second = directions(params, key)
  steps = jnp.linspace(-_REACH, _REACH, size)

  def at(place: jax.Array) -> jax.Array:
    return objective(jax.tree.map(lambda x, one, two: x + place[0] * one + place[1] * two, params, first, second))

  grid = jnp.stack(jnp.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
  return np.asarray(jax.jit(lambda grid: jax.lax.map(at, grid))(grid)).reshape(size, size)


def random_surface(system: Random, horizon: int, size: int, key: jax.Array) -> np.ndarray:
  """The mean of the summed rewards through random networks, over a square around the policy's parameters."""
  system_key, direction_key = jax.random.split(key)
  drawn = draw_system(system, _STARTS, system_key)

  def mean(policy: PyTree) -> jax.Array:
    steps = jnp.asarray(horizon)
    return jnp.mean(jax.vmap(drawn.total, in_axes=(None, 0, 0, None))(policy, drawn.starts, drawn.noise, steps))

  return surface(mean, drawn.policy, size, direction_key)


class Objective(NamedTuple):
  """RP-DP's objective as a function of the policy's parameters, without the entropy's part.

  Attributes:
    params: the policy's, without the directions of power iterations.
    totals: `J_h` of each start, `[B]`, from parameters, starts `[B, O]` and noise `[h + 1, B, A]`.
    starts: random ones out of the buffer, `[B, O]`.
    noise: `[h + 1, B, A]`.
  """

  params: PyTree
  totals: Callable[[PyTree, jax.Array, jax.Array], jax.Array]
  starts: jax.Array
  noise: jax.Array


def objective_of(
  env: Environment, config: Config, state: TrainingState, horizon: int, num_starts: int, key: jax.Array
) -> Objective:
  """The objective of a training in a state, through as many steps as one likes.

  Args:
    env, config: of the training.
    state: of one member.
    horizon: steps through the model, whatever it was trained with.
    num_starts: `B`.
    key: draws starts and noise.
  """
  setup, networks = with_action_critics(make_setup(env, config), config.expansion.num_critics)
  start_key, noise_key = jax.random.split(key)
  normalize = policy_of(setup, state.policy).normalize
  is_normalized = config.actor.spectral_norm

  def totals(params: PyTree, starts: jax.Array, noise: jax.Array) -> jax.Array:
    actor = state.actor | {"network": params} if is_normalized else params

    def value(obs: jax.Array, action: jax.Array) -> jax.Array:
      raw = networks.action_values(state.critic, normalize(obs), action)
      return least(in_units_of_rewards(raw, state.value_statistics))

    agent = Agent(
      policy=lambda obs: networks.policy(actor, normalize(obs)),
      predict=lambda obs, action: world_model.predict(state.model, config.model, obs, action),
      value=value,
      discount=config.discount,
      alpha=0.0,
    )
    return expand(agent, starts, noise).total

  starts = state.model.buffer.draw(start_key, (num_starts,)).obs
  noise = jax.random.normal(noise_key, (horizon + 1, num_starts, env.action_size), starts.dtype)
  return Objective(state.actor["network"] if is_normalized else state.actor, totals, starts, noise)


def learned_surface(objective: Objective, size: int, key: jax.Array) -> np.ndarray:
  """The mean objective over a square around the policy's parameters, `[size, size]`."""
  starts, noise = objective.starts, objective.noise
  return surface(lambda params: jnp.mean(objective.totals(params, starts, noise)), objective.params, size, key)


def relative_variance(objective: Objective) -> float:
  """Variance of a start's gradient by the parameters, over the squared length of the mean."""

  def of_start(start: jax.Array, noise: jax.Array) -> jax.Array:
    gradient = jax.grad(lambda params: objective.totals(params, start[None], noise[:, None])[0])(objective.params)
    return ravel_pytree(gradient)[0]

  gradients = jax.jit(jax.vmap(of_start, in_axes=(0, 1)))(objective.starts, objective.noise)
  return float(jnp.sum(jnp.var(gradients, axis=0, ddof=1)) / jnp.sum(jnp.mean(gradients, axis=0) ** 2))


def roughness(surface: np.ndarray) -> float:
  """Share of the surface's variation from point to point that is not its trend: second over first differences."""
  first = np.concatenate([np.diff(surface, axis=axis).ravel() for axis in (0, 1)])
  second = np.concatenate([np.diff(surface, n=2, axis=axis).ravel() for axis in (0, 1)])
  return float(np.sqrt(np.mean(second**2) / np.mean(first**2)))
