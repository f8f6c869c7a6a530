"""Brax's own tasks with their own rewards: `brax.py:ant`, and after commas a backend and an algorithm.

The settings are those of `shared_tasks.py`, the same for all tasks; only the number of steps differs. `physics.py` has
the paper's tasks, whose rewards are others.
"""

# A ConfigDict's fields are of any type to a type checker.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

from ml_collections import ConfigDict

from gippo_jax.experiments.configs import shared_tasks
from gippo_jax.experiments.configs.physics import BACKENDS

# Environment steps of a whole training.
TASKS = {
  "ant": 10_000_000,
  "halfcheetah": 10_000_000,
  "hopper": 10_000_000,
  "walker2d": 10_000_000,
  "reacher": 5_000_000,
  "pusher": 5_000_000,
  "inverted_pendulum": 1_000_000,
  "inverted_double_pendulum": 1_000_000,
}


def get_config(argument: str = "ant") -> ConfigDict:
  """Configuration of one task.

  Args:
    argument: one of `TASKS`, and after commas a backend, `spring` by default, and an algorithm, GI-PPO by default.

  Raises:
    UserError: for an unknown task or word.
  """
  task, *words = argument.split(",")
  shared_tasks.require_task("brax.py", argument, task, TASKS)
  algorithm = shared_tasks.algorithm_of("brax.py", argument, words, BACKENDS)
  config = shared_tasks.settings(f"brax:{task}", algorithm, TASKS[task])
  config.rematerialize = True
  config.env.backend = next((word for word in words if word in BACKENDS), "spring")
  if config.env.backend == "mjx":
    config.env.iterations = 1
  return config
