"""Gradient of a window's return by its first action against the window's length: the curse of chaos, measured."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax import envs
from gippo_jax.plain import Plain

ACTION_STD = 0.3
WARM_UP = 32


def first_action_gradients(
  env: envs.Environment, horizons: Sequence[int], warm_up: int, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Gradients of one environment's undiscounted returns by the first action, in reverse mode as in training.

  The environment runs with time limit and automatic reset under normal actions of deviation `ACTION_STD`, held fixed.
  The window begins after `warm_up` steps, so that it is not always the start of an episode. No gradient crosses the end
  of an episode.

  Args:
    env: unbatched environment, without wrappers.
    horizons: steps over which the rewards are summed, ascending.
    warm_up: steps before the first action.
    key: draws the start and the actions.

  Returns:
    The gradients `[H, A]`, and 1 where an episode ended within the horizon, `[H]`.
  """
  member = envs.vectorize(env, 1).env
  last = np.asarray(horizons) - 1
  start_key, action_key = jax.random.split(key)
  actions = ACTION_STD * jax.random.normal(action_key, (warm_up + horizons[-1], env.action_size))

  def returns(first_action):
    def step(state, action):
      state = member.step(state, action)
      return state, (state.current.reward, state.done)

    moves = actions.at[warm_up].set(first_action)
    # The warm-up is part of the same scan: a simulator's step takes long to compile, and is compiled once.
    _, (rewards, done) = jax.lax.scan(jax.checkpoint(step), member.reset(start_key), moves)
    return jnp.cumsum(rewards[warm_up:])[last], jax.lax.cummax(done[warm_up:])[last]

  return jax.jacrev(returns, has_aux=True)(actions[warm_up])


def describe_gradients(gradients: np.ndarray) -> dict[str, list[float]]:
  """Norms and variance over the environments, those left out whose gradient is not finite.

  Args:
    gradients: `[N, H, A]`.

  Returns:
    For each horizon: `median_norm`, `mean_norm`, `largest_norm`, `variance` (trace of the sample covariance) and
    `nonfinite` (share of the environments).
  """
  rows = []
  for samples in np.moveaxis(gradients.astype(float), 1, 0):
    usable = np.isfinite(samples).all(axis=-1)
    samples = samples[usable]
    norms = np.linalg.norm(samples, axis=-1)
    rows.append(
      {
        "median_norm": float(np.median(norms)) if len(norms) else np.nan,
        "mean_norm": float(np.mean(norms)) if len(norms) else np.nan,
        "largest_norm": float(np.max(norms)) if len(norms) else np.nan,
        "variance": float(np.sum(np.var(samples, axis=0, ddof=1))) if len(norms) > 1 else np.nan,
        "nonfinite": float(np.mean(~usable)),
      }
    )
  return {name: [row[name] for row in rows] for name in rows[0]}


def measure_horizons(env: envs.Environment, horizons: Sequence[int], num_envs: int, warm_up: int = WARM_UP) -> Plain:
  """How gradients grow with the horizon in one environment.

  Args:
    env: unbatched environment, without wrappers.
    horizons: ascending.
    num_envs: environments, each with a start and noise of its own.
    warm_up: steps before the window.

  Returns:
    What `describe_gradients` says, and `ended` (share of the windows in which an episode ended, for each horizon).
    Where the gradient cannot be computed, only `failed`, with the reason.
  """
  keys = jax.random.split(jax.random.key(0), num_envs)
  try:
    program = jax.jit(jax.vmap(lambda key: first_action_gradients(env, horizons, warm_up, key))).lower(keys)
  except (NotImplementedError, TypeError, ValueError) as error:
    return {"failed": str(error).strip().splitlines()[0]}
  gradients, ended = jax.device_get(program.compile()(keys))
  return describe_gradients(gradients) | {"ended": np.mean(ended, axis=0, dtype=float).tolist()}
