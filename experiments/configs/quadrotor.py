"""The quadrotor: `quadrotor.py:hover`, `quadrotor.py:figure_eight`, and after a comma an algorithm.

The settings are those of `any.py`, the same for both, save SHAC's rate and its relatives': at 1e-2 it does not settle
here.
"""

# A ConfigDict's fields are of any type to a type checker.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

from ml_collections import ConfigDict

from gippo_jax.experiments.configs import shared_tasks
from gippo_jax.experiments.configs.first_order import RELATIVES, set_rates

# Environment steps of a whole training.
TASKS = {"hover": 1_000_000, "figure_eight": 1_000_000}


def get_config(argument: str = "hover") -> ConfigDict:
  """Configuration of one task.

  Args:
    argument: one of `TASKS`, and after a comma an algorithm, GI-PPO by default.

  Raises:
    UserError: for an unknown task or word.
  """
  task, *words = argument.split(",")
  shared_tasks.require_task("quadrotor.py", argument, task, TASKS)
  algorithm = shared_tasks.algorithm_of("quadrotor.py", argument, words)
  config = shared_tasks.settings("quadrotor", algorithm, TASKS[task], num_envs=64)
  config.env.task = task
  set_rates(config, 3e-3, ("pe", *RELATIVES))
  return config
