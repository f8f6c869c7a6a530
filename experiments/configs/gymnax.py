"""gymnax's tasks with derivatives: `gymnax.py:Pendulum-v1`, and after a comma an algorithm.

The settings are those of `shared_tasks.py`, the same for all tasks; only the number of steps differs. Needs
`pip install "gippo_jax[gymnax]"`.
"""

# A ConfigDict's fields are of any type to a type checker.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

from ml_collections import ConfigDict

from gippo_jax.experiments.configs import shared_tasks

# Environment steps of a whole training.
TASKS = {
  "Pendulum-v1": 100_000,
  "MountainCarContinuous-v0": 1_000_000,
  "PointRobot-misc": 1_000_000,
  "Reacher-misc": 1_000_000,
  "Swimmer-misc": 1_000_000,
}


def get_config(argument: str = "Pendulum-v1") -> ConfigDict:
  """Configuration of one task.

  Args:
    argument: one of `TASKS`, and after a comma an algorithm, GI-PPO by default.

  Raises:
    UserError: for an unknown task or word.
  """
  task, *words = argument.split(",")
  shared_tasks.require_task("gymnax.py", argument, task, TASKS)
  algorithm = shared_tasks.algorithm_of("gymnax.py", argument, words)
  config = shared_tasks.settings(f"gymnax:{task}", algorithm, TASKS[task])
  if task == "PointRobot-misc":
    config.env.dense_reward = True  # its other reward has no gradient
  return config
