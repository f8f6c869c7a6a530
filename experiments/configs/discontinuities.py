"""Problems with jumps: `discontinuities.py:ball_over_wall`, `pushing_stiff`, ..., and after a comma an algorithm.

The settings are those of `any.py` but for the length of a window: one step where an episode is one step.
"""

# A ConfigDict's fields are of any type to a type checker.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

from ml_collections import ConfigDict

from gippo_jax.experiments.configs import shared_tasks

_STIFF = {"stiffness": 1000.0, "damping": 0.01, "episode_length": 200}
# Environment, its parameters, and environment steps of a whole training.
TASKS = {
  "ball_over_wall": ("ball_over_wall", {}, 64_000),
  "momentum_transfer": ("momentum_transfer", {}, 64_000),
  "pushing_soft": ("pushing", {}, 500_000),
  "pushing_stiff": ("pushing", _STIFF, 500_000),
  "friction": ("friction", {}, 500_000),
  "tennis": ("tennis", {}, 1_000_000),
  "double_pendulum": ("double_pendulum", {}, 500_000),
}


def get_config(argument: str = "ball_over_wall") -> ConfigDict:
  """Configuration of one task.

  Args:
    argument: one of `TASKS`, and after a comma an algorithm, GI-PPO by default.

  Raises:
    UserError: for an unknown task or word.
  """
  task, *words = argument.split(",")
  shared_tasks.require_task("discontinuities.py", argument, task, TASKS)
  algorithm = shared_tasks.algorithm_of("discontinuities.py", argument, words)
  name, parameters, num_steps = TASKS[task]
  is_one_step = name in ("ball_over_wall", "momentum_transfer")
  config = shared_tasks.settings(name, algorithm, num_steps, num_envs=64, horizon=1 if is_one_step else 32)
  config.env.update(parameters)
  config.expansion.horizon = min(config.expansion.horizon, config.horizon)
  return config
