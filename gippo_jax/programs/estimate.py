"""How much memory a run takes at least, before anything is compiled; see `memory` for what there is."""

import jax

from gippo_jax.config import Config, traced
from gippo_jax.envs.base import Environment
from gippo_jax.programs.epochs import make_epochs
from gippo_jax.programs.evaluation import begin_episodes
from gippo_jax.programs.memory import require, tree_bytes


def require_run(env: Environment, config: Config, num_members: int, num_episodes: int) -> None:
  """Refuses a run whose states, windows or evaluation alone cannot fit; only shapes are computed.

  Args:
    env: unbatched environment.
    config: hyper-parameters.
    num_members: trained side by side.
    num_episodes: of the evaluation.

  Raises:
    UserError: when there is less memory.
  """
  key = jax.eval_shape(lambda: jax.random.key(0))
  states = tree_bytes(jax.eval_shape(make_epochs(env, config).init, key, traced(config)))
  number = jax.eval_shape(lambda: traced(config)).discount.dtype.itemsize
  # A step of the window keeps the observation before and after, the action and its noise, mean and deviation.
  window = config.num_envs * config.horizon * (2 * env.observation_size + 4 * env.action_size) * number
  require(num_members * states + window, f"the training of {num_members} seeds")
  # The loop that runs them holds the episodes twice.
  require(2 * evaluation_bytes(env, num_episodes), f"the evaluation in {num_episodes} episodes side by side")


def evaluation_bytes(env: Environment, num_episodes: int) -> int:
  """Of episodes side by side."""
  key = jax.eval_shape(lambda: jax.random.key(0))
  return num_episodes * tree_bytes(jax.eval_shape(lambda key: begin_episodes(env, key, 1), key))
