"""What the presets of the shared benchmarks have in common: one set of settings, none of it for a single task."""

# A ConfigDict's fields are of any type to a type checker.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

from collections.abc import Iterable

from ml_collections import ConfigDict

from gippo_jax import registry
from gippo_jax.errors import UserError
from gippo_jax.experiments.configs import any as default_settings


def settings(environment: str, algorithm: str, num_steps: int, num_envs: int = 16, horizon: int = 32) -> ConfigDict:
  """The settings of `any.py`, by default with a quarter of its environments, for a number of environment steps.

  Samples are dear where others count them: 16 environments make four times as many updates of them as 64.

  Args:
    environment: name, e.g. `brax:ant`.
    algorithm: its name.
    num_steps: environment steps of a whole training, rounded up to windows.
    num_envs: environments side by side; a minibatch is a quarter of their window.
    horizon: steps of a window.
  """
  config = default_settings.get_config(algorithm)
  config.env.name = environment
  config.alpha.rule = "paper"  # the tables have a column for each rule
  config.num_envs, config.horizon = num_envs, horizon
  config.ppo.minibatch_size = num_envs * config.horizon // 4
  config.num_epochs = -(-num_steps // (config.num_envs * config.horizon))
  return config


def algorithm_of(preset: str, argument: str, words: Iterable[str], others: Iterable[str] = ()) -> str:
  """The algorithm among the words behind a task's name, GI-PPO by default.

  Args:
    preset: name of the configuration file, for the message.
    argument: the whole of what follows the colon, for the message.
    words: behind the task's name.
    others: further words that are allowed.

  Raises:
    UserError: for a word that is neither.
  """
  algorithms, others = registry.algorithms(), tuple(others)
  for word in words:
    if word not in algorithms and word not in others:
      raise UserError(f"{preset}:{argument}: {word!r} is not allowed; allowed: {', '.join([*others, *algorithms])}")
  return next((word for word in words if word in algorithms), "gippo")


def require_task(preset: str, argument: str, task: str, known: Iterable[str]) -> None:
  """Checks a task's name.

  Raises:
    UserError: listing the known ones.
  """
  if task not in known:
    raise UserError(f"{preset}:{argument}: no such task; known: {', '.join(known)}")
