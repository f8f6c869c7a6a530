"""The paper's physics tasks: `physics.py:cartpole`, `:hopper`, `:ant`; `:ant,generalized` on another backend.

`cartpole` is the closed-form one; with a backend (`cartpole,spring`) it is the same task on Brax. `cartpole_walls`, the
closed-form one between stiff walls, takes its settings. Half cheetah, walker and humanoid take Ant's. A second or third
word names the algorithm, GI-PPO by default: settings that belong to an algorithm (SHAC and PE have one learned log
standard deviation, starting at -1) follow it.
"""

# A ConfigDict's fields are of any type to a type checker.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

from ml_collections import ConfigDict

from gippo_jax import registry
from gippo_jax.errors import UserError
from gippo_jax.experiments.configs.first_order import FIRST_ORDER, set_rates
from gippo_jax.parsing import default_config

BACKENDS = ("spring", "generalized", "positional", "mjx")
_LOCOMOTION = ("ant", "hopper", "half_cheetah", "walker2d", "humanoid")
_CLOSED_FORM = ("cartpole", "cartpole_walls")


def get_config(argument: str = "cartpole") -> ConfigDict:
  """Configuration of one task.

  Args:
    argument: `cartpole`, `cartpole_walls`, `ant`, `hopper`, `half_cheetah`, `walker2d` or `humanoid`, and after commas
      a backend and an algorithm.

  Raises:
    UserError: for an unknown task or word.
  """
  task, *words = argument.split(",")
  algorithms = registry.algorithms()
  if task not in (*_CLOSED_FORM, *_LOCOMOTION):
    raise UserError(f"physics.py:{argument}: no such task; known: {', '.join([*_CLOSED_FORM, *_LOCOMOTION])}")
  unknown = [word for word in words if word not in BACKENDS and word not in algorithms]
  if unknown:
    raise UserError(
      f"physics.py:{argument}: {unknown[0]!r} is neither backend nor algorithm; known: {', '.join(BACKENDS)}; "
      f"{', '.join(algorithms)}"
    )
  backend = next((word for word in words if word in BACKENDS), None)
  algorithm = next((word for word in words if word in algorithms), "gippo")

  config = default_config()
  config.statistics_prior = "paper"
  config.algorithm = algorithm
  config.num_envs = 64
  config.horizon = 32
  config.normalize_values = False
  config.rematerialize = True
  config.rp.gae_lambda = config.lrp.gae_lambda = config.tp.gae_lambda = 1.0
  config.actor.fixed_std = algorithm.removesuffix("_model") in FIRST_ORDER  # with a learned model all else is the same
  config.actor.initial_log_std = -1.0
  config.critic.units = (64, 64)
  config.likelihood_ratio.learning_rate = 1e-4
  config.alpha.update_factor = 1.02
  config.alpha.max_out_of_range_ratio = 0.75
  config.ppo.minibatch_size = 2048
  if task == "cartpole_walls" and backend:
    raise UserError(
      f"physics.py:{argument}: {backend!r} is not allowed; allowed: no backend, the walls are closed form"
    )
  if task in _CLOSED_FORM:
    _set_cartpole(config, task, backend)
  else:
    _set_locomotion(config, task, backend or "spring")
  return config


def _set_cartpole(config: ConfigDict, task: str, backend: str | None) -> None:
  config.env.name = task
  if backend:
    config.env.name = "cartpole_swing_up"
    config.env.backend = backend
  config.num_epochs = 500
  config.actor.units = (64, 64)
  config.critic.learning_rate = 1e-3
  set_rates(config, 1e-2)
  config.alpha.initial = 0.5
  config.alpha.learning_rate = 1e-2
  config.ppo.learning_rate = 3e-4
  config.ppo.rate_schedule = "adaptive_kl"
  config.ppo.kl_threshold = 0.008


def _set_locomotion(config: ConfigDict, task: str, backend: str) -> None:
  config.env.name = task
  config.env.backend = backend
  config.num_epochs = 2000
  config.actor.units = (128, 64, 32)
  config.critic.learning_rate = 2e-3
  set_rates(config, 2e-3)
  config.alpha.initial = 0.5
  config.alpha.learning_rate = 5e-4
  config.alpha.max_out_of_range_ratio = 0.5
  config.ppo.learning_rate = 1e-4
  if task == "hopper":
    config.num_envs = 256
    config.critic.learning_rate = 2e-4
    config.alpha.initial = 0.005
    config.alpha.learning_rate = 5e-3
    config.alpha.max_out_of_range_ratio = 0.75
