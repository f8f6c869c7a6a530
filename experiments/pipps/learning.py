"""The learning loop of PIPPS on the cart-pole: a trial, a model of all trials, a policy improved on the model, again.

Parmas, Rasmussen, Peters, Doya, "PIPPS: Flexible Model-Based Policy Search Robust to the Curse of Chaos", ICML 2018.
"""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gippo_jax.experiments.pipps import cartpole
from gippo_jax.experiments.pipps import gaussian_process as gp
from gippo_jax.experiments.pipps.cartpole import RadialBasis
from gippo_jax.experiments.pipps.imagination import ESTIMATORS
from gippo_jax.plain import Plain

# Upright: within 30 degrees, all through the last half second.
UPRIGHT_ANGLE = np.pi / 6.0
UPRIGHT_STEPS = 5
# The pole is swung up when so many of the evaluation's episodes end upright.
SUCCESS_SHARE = 0.8
NUM_EPISODES = 30
# Trials for which one size of the data set, and so one compiled program, serves.
_TRIALS_PER_SIZE = 3


@dataclasses.dataclass(frozen=True)
class Settings:
  """Of a learning run.

  Attributes:
    estimator: of the gradient, one of `imagination.ESTIMATORS`.
    num_trials: at most; the first, random one does not count.
    num_particles: of a cloud.
    horizon: steps of a tenth of a second, of a trial and of a cloud.
    num_updates: of the policy in a trial.
    learning_rate: of Adam, which begins anew in every trial.
  """

  estimator: str = "tp"
  num_trials: int = 15
  num_particles: int = 100
  horizon: int = 30
  num_updates: int = 100
  learning_rate: float = 0.02


class Episode(NamedTuple):
  """On the true physics.

  Attributes:
    states: `[T + 1, 4]`.
    observations: the states with noise, which is all that policy and model see, `[T + 1, 4]`.
    pushes: in N, `[T]`.
  """

  states: jax.Array
  observations: jax.Array
  pushes: jax.Array


def play(policy: RadialBasis, key: jax.Array, horizon: int, is_random: bool = False) -> Episode:
  """An episode from the hanging pole; with `is_random` the pushes are drawn evenly from all that are allowed."""
  start_key, noise_key, push_key = jax.random.split(key, 3)
  start = jnp.asarray(cartpole.HANGING) + cartpole.START_STD * jax.random.normal(start_key, (cartpole.STATE_SIZE,))
  noise = jnp.asarray(cartpole.NOISE)[None] * jax.random.normal(noise_key, (horizon + 1, cartpole.STATE_SIZE))
  drawn = jax.random.uniform(push_key, (horizon,), minval=-cartpole.LARGEST_FORCE, maxval=cartpole.LARGEST_FORCE)

  def step(state, given):
    noise, drawn = given
    push = drawn if is_random else cartpole.force(policy, state + noise)
    reached = cartpole.advance(state, push)
    return reached, (reached, push)

  _, (reached, pushes) = jax.lax.scan(step, start, (noise[:-1], drawn))
  states = jnp.concatenate([start[None], reached])
  return Episode(states, states + noise, pushes)


def improve(policy: RadialBasis, model: gp.Model, key: jax.Array, settings: Settings) -> tuple[RadialBasis, jax.Array]:
  """Descends the cost of particles on the model; returns the policy and the cost before each update, `[U]`."""
  optimizer = optax.adam(settings.learning_rate, eps=1e-4)
  estimate = ESTIMATORS[settings.estimator]
  shape = (settings.num_particles, cartpole.STATE_SIZE)
  # A particle is what would be observed.
  start_std = jnp.hypot(cartpole.START_STD, jnp.asarray(cartpole.NOISE))

  def update(carry, key):
    policy, moments = carry
    start_key, noise_key, resampling_key = jax.random.split(key, 3)
    start = jnp.asarray(cartpole.HANGING)[None] + start_std[None] * jax.random.normal(start_key, shape)
    noise = jax.random.normal(noise_key, (settings.horizon, *shape))
    resampling = jax.random.normal(resampling_key, (settings.horizon, *shape))
    cost, gradient = estimate(policy, model, start, noise, resampling)
    gradient = jax.tree.map(jnp.nan_to_num, gradient)
    # optax mixes types, which strict promotion forbids.
    with jax.numpy_dtype_promotion("standard"):
      updates, moments = optimizer.update(gradient, moments)
    return (jax.tree.map(jnp.add, policy, updates), moments), cost

  keys = jax.random.split(key, settings.num_updates)
  (policy, _), costs = jax.lax.scan(update, (policy, optimizer.init(policy)), keys)
  return policy, costs


class Programs(NamedTuple):
  """What is compiled: `fit` and `improve` once for each size of the data set, the others once."""

  fit: Callable[[gp.Data], gp.Model]
  improve: Callable[[RadialBasis, gp.Model, jax.Array], tuple[RadialBasis, jax.Array]]
  explore: Callable[[RadialBasis, jax.Array], Episode]
  play: Callable[[RadialBasis, jax.Array], Episode]
  evaluate: Callable[[RadialBasis, jax.Array], Episode]


@functools.cache
def programs_of(settings: Settings) -> Programs:
  """Shared by all seeds."""

  def fit(data):
    return gp.condition(gp.fit(data, gp.initial_hyperparameters(data)), data)

  def play_one(policy, key):
    return play(policy, key, settings.horizon)

  return Programs(
    fit=jax.jit(fit),
    improve=jax.jit(functools.partial(improve, settings=settings)),
    explore=jax.jit(functools.partial(play, horizon=settings.horizon, is_random=True)),
    play=jax.jit(play_one),
    evaluate=jax.jit(jax.vmap(play_one, in_axes=(None, 0))),
  )


class Recorded:
  """Steps of all trials, as the model takes them."""

  def __init__(self, horizon: int):
    self._size = _TRIALS_PER_SIZE * horizon
    self._inputs: list[np.ndarray] = []
    self._targets: list[np.ndarray] = []

  def add(self, episode: Episode) -> None:
    """Adds an episode's steps: observation and push, and how the observation changed."""
    observations = np.asarray(episode.observations)
    pushes = np.asarray(episode.pushes)[:, None] / cartpole.LARGEST_FORCE
    self._inputs.append(np.concatenate([observations[:-1], pushes], axis=1))
    self._targets.append(np.diff(observations, axis=0))

  def data(self) -> gp.Data:
    """Filled up to the next size."""
    inputs, targets = np.concatenate(self._inputs), np.concatenate(self._targets)
    return gp.pad(inputs, targets, -(-len(inputs) // self._size) * self._size)


def learn(settings: Settings, seed: int, tell: Callable[[str], None]) -> Plain:
  """Learns until the pole is swung up, or trials end.

  Args:
    settings: of the run.
    seed: of everything that is drawn.
    tell: receives a line after every trial.

  Returns:
    Plain data: `settings`, `seed`, `solved` (number of the trial, or None), a row for every trial, the last policy, and
    what it took, in seconds of the clock and of the processor.

  Raises:
    UserError: when a kernel matrix is not positive definite, whatever the jitter.
  """
  begin, begin_processor = time.perf_counter(), time.process_time()
  programs = programs_of(settings)
  policy_key, random_key, key = jax.random.split(jax.random.key(seed), 3)
  policy = cartpole.random_policy(policy_key, log_scale=-1.0)
  recorded = Recorded(settings.horizon)
  recorded.add(programs.explore(policy, random_key))
  rows: list[Plain] = []
  solved = None
  while solved is None and len(rows) < settings.num_trials:
    key, improve_key, trial_key, evaluation_key = jax.random.split(key, 4)
    model = programs.fit(recorded.data())
    gp.require_positive_definite(model)
    policy, imagined = programs.improve(policy, model, improve_key)
    recorded.add(programs.play(policy, trial_key))
    evaluated = programs.evaluate(policy, jax.random.split(evaluation_key, NUM_EPISODES))
    row = {
      "trial": len(rows) + 1,
      "cost": float(jnp.mean(jnp.sum(cartpole.cost(evaluated.states[:, 1:]), axis=1))),
      "imagined": [float(imagined[0]), float(imagined[-1])],
      "upright": upright_share(np.asarray(evaluated.states)),
      "noise_std": np.sqrt(model.hyperparameters.noise).tolist(),
      "jitter_raises": int(np.sum(model.jitter_raises)),
    }
    rows.append(row)
    tell(
      f"{settings.estimator}, seed {seed}, trial {row['trial']}: cost {row['cost']:.2f} of {settings.horizon}, "
      f"upright in {row['upright']:.0%} of {NUM_EPISODES} episodes"
    )
    solved = row["trial"] if row["upright"] >= SUCCESS_SHARE else None
  return {
    "settings": dataclasses.asdict(settings),
    "seed": seed,
    "solved": solved,
    "trials": rows,
    "policy": {name: np.asarray(leaf).tolist() for name, leaf in policy._asdict().items()},
    "seconds": time.perf_counter() - begin,
    "processor_seconds": time.process_time() - begin_processor,
    "versions": {"jax": jax.__version__},
  }


def upright_share(states: np.ndarray) -> float:
  """Share of the episodes `[N, T + 1, 4]` that end upright."""
  angles = np.abs(states[:, -UPRIGHT_STEPS:, 1])
  return float(np.mean(np.max(angles, axis=1) < UPRIGHT_ANGLE))
