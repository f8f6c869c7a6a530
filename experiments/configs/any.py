"""Defaults for an environment of your own: `any:gippo`, `any:ppo`, ...; the environment is `--config.env.name`."""

# A ConfigDict's fields are of any type to a type checker.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

from ml_collections import ConfigDict

from gippo_jax.experiments.configs.first_order import RELATIVES, set_rates
from gippo_jax.parsing import default_config


def get_config(algorithm: str = "gippo") -> ConfigDict:
  """The settings that most tasks of continuous control begin with.

  64 environments, windows of 32 steps, networks of two hidden layers of 64, minibatches of a quarter of the window, and
  SHAC's learned log standard deviation that starts at -1. Nothing of it was tuned for a task. GI-PPO goes by the safe
  rule: the paper's alpha has a unit, so that no first value suits an unknown task.

  Args:
    algorithm: its name.
  """
  config = default_config()
  config.algorithm = algorithm
  config.num_envs = 64
  config.horizon = 32
  config.num_epochs = 500
  config.actor.units = (64, 64)
  config.actor.fixed_std = True
  config.actor.initial_log_std = -1.0
  config.critic.units = (64, 64)
  config.ppo.minibatch_size = 512
  config.ppo.learning_rate = 3e-4
  set_rates(config, 1e-2, RELATIVES)
  config.alpha.rule = "safe"
  config.alpha.initial = 0.1  # of the paper's rule, for those who choose it
  return config
