"""Training through a learned model with few samples: `learned_model.py:Pendulum-v1`, `:cartpole`, `:point_mass`.

After a comma an algorithm, RP-DP by default. The pendulum, gymnax's, needs `pip install "gippo_jax[gymnax]"`.
"""

# A ConfigDict's fields are of any type to a type checker.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

from ml_collections import ConfigDict

from gippo_jax.experiments.configs import any as default_settings
from gippo_jax.experiments.configs import shared_tasks

# Environment steps of a whole training.
TASKS = {"Pendulum-v1": 15_360, "cartpole": 102_400, "point_mass": 15_360}


def get_config(argument: str = "Pendulum-v1") -> ConfigDict:
  """The settings of `any.py` with four environments and a model of two hidden layers of 64 ReLU.

  RP-DP and RP-DR have ReLU without layer normalisation in policy and critics, too, as their authors have, 32 gradient
  steps an epoch, and constant rates of 1e-3. Nothing is tuned for a task.

  Args:
    argument: one of `TASKS`, and after a comma an algorithm.

  Raises:
    UserError: for an unknown task or word.
  """
  task, *words = argument.split(",")
  shared_tasks.require_task("learned_model.py", argument, task, TASKS)
  algorithm = shared_tasks.algorithm_of("learned_model.py", argument, words) if words else "rp_dp"
  config = default_settings.get_config(algorithm)
  config.env.name = f"gymnax:{task}" if task == "Pendulum-v1" else task
  config.num_envs, config.horizon = 4, 32
  config.num_epochs = -(-TASKS[task] // (config.num_envs * config.horizon))
  config.model.units = (64, 64)
  config.model.activation = "relu"
  config.model.capacity = 32_768
  config.ppo.minibatch_size = 32
  if algorithm in ("rp_dp", "rp_dr"):
    config.actor.fixed_std = False
    config.actor.activation = config.critic.activation = "relu"
    config.actor.layer_norm = config.critic.layer_norm = False
    config.adam.beta1, config.adam.beta2 = 0.9, 0.999
    config.critic.learning_rate = config.critic.final_learning_rate = 1e-3
    config.expansion.minibatch_size = 128
    config.expansion.learning_rate = config.expansion.final_learning_rate = 1e-3
  return config
