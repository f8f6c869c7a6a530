"""Our environments for Brax's own trainers."""

from typing import Any

from gippo_jax.envs.base import Environment


def to_brax(env: Environment) -> Any:
  """Turns an environment into a `brax.envs.Env`, e.g. for `brax.training.agents.ppo.train`.

  Hand the trainer `episode_length=env.episode_length`: Brax's wrappers count the steps. They also take an early end for
  a termination, even where the environment truncates itself; `info["truncation"]` of the unwrapped environment says
  which it was.

  Args:
    env: the unbatched environment.

  Returns:
    The Brax environment, without time limit.
  """
  from gippo_jax.envs.adapters.brax_export import BraxEnvironment  # Brax takes seconds to import

  return BraxEnvironment(env)
