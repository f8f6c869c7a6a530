"""MuJoCo Playground's control suite: `playground.py:CartpoleSwingup`, and after a comma an algorithm.

The settings are those of `shared_tasks.py`, the same for all tasks; only the number of steps differs. Needs
`pip install "gippo_jax[playground]"`.
"""

# A ConfigDict's fields are of any type to a type checker.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

from ml_collections import ConfigDict

from gippo_jax.experiments.configs import shared_tasks

# Environment steps of a whole training.
TASKS = {
  "CartpoleSwingup": 1_000_000,
  "CartpoleBalance": 1_000_000,
  "AcrobotSwingup": 5_000_000,
  "PendulumSwingup": 5_000_000,
  "BallInCup": 5_000_000,
  "ReacherEasy": 5_000_000,
  "ReacherHard": 5_000_000,
  "FishSwim": 3_000_000,
  "CheetahRun": 10_000_000,
  "WalkerRun": 10_000_000,
  "HopperHop": 10_000_000,
}
# Reverse mode passes one iteration of MuJoCo's solver only; these tasks' models ask for more.
_MORE_ITERATIONS = ("AcrobotSwingup", "PendulumSwingup", "FishSwim", "CheetahRun", "WalkerRun", "HopperHop")


def get_config(argument: str = "CartpoleSwingup") -> ConfigDict:
  """Configuration of one task.

  Args:
    argument: one of `TASKS`, and after a comma an algorithm, GI-PPO by default.

  Raises:
    UserError: for an unknown task or word.
  """
  task, *words = argument.split(",")
  shared_tasks.require_task("playground.py", argument, task, TASKS)
  algorithm = shared_tasks.algorithm_of("playground.py", argument, words)
  config = shared_tasks.settings(f"playground:{task}", algorithm, TASKS[task])
  config.rematerialize = True
  if task in _MORE_ITERATIONS:
    config.env.iterations = 1
  return config
