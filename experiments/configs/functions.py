"""Function optimisation, `functions.py:NAME DIMENSION` without the space: `ackley64`, `dejong1`, `rastrigin10`, ...

An algorithm may follow after a comma: `functions.py:ackley64,ppo`.

The numbers are those of the paper's runs, which tuned De Jong and Ackley in 1 and 64 dimensions. Other functions and
dimensions take the ones of the nearest dimension, untuned: on Rastrigin-10 GI-PPO ends at -70, PPO at -1.
"""

# A ConfigDict's fields are of any type to a type checker.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

import re

from ml_collections import ConfigDict

from gippo_jax.envs import FUNCTIONS
from gippo_jax.errors import UserError
from gippo_jax.experiments.configs import shared_tasks
from gippo_jax.parsing import default_config


def get_config(argument: str = "ackley64") -> ConfigDict:
  """Configuration of one problem.

  Args:
    argument: function and dimension, e.g. `ackley64`, and an algorithm after a comma, GI-PPO by default.

  Raises:
    UserError: for an unknown function or algorithm, or a dimension below 1.
  """
  problem, *words = argument.split(",")
  known = ", ".join(FUNCTIONS)
  match = re.fullmatch(r"([a-z_]+?)(-?\d+)?", problem)
  if match is None or match[1] not in FUNCTIONS:
    raise UserError(f"functions.py:{argument}: no such function; known: {known}, each followed by a dimension")
  if match[2] is None or int(match[2]) < 1:
    raise UserError(f"functions.py:{argument}: the dimension is {match[2] or 'missing'}; allowed: an integer >= 1")
  dimension = int(match[2])

  config = default_config()
  config.statistics_prior = "paper"
  config.algorithm = shared_tasks.algorithm_of("functions.py", argument, words)
  config.env.name = match[1]
  config.env.dimension = dimension
  config.num_envs = 64
  config.horizon = 1
  config.num_epochs = 2000
  config.ppo.learning_rate = 1e-4 if dimension == 1 else 1e-2
  config.likelihood_ratio.learning_rate, config.rp.learning_rate = _gradient_step_rates(match[1], dimension)
  # The authors' stored runs; their released De Jong-1 configuration says 1e-2 for LR+RP, which no run was made with.
  config.lrp.learning_rate = config.likelihood_ratio.learning_rate
  config.tp.learning_rate = config.rp.learning_rate
  # The authors' runs retried PPO at one lower rate only, and let its rate fall without a floor; the paper's results on
  # these problems depend on it (docs/algorithms.md).
  config.ppo.compound_retries = False
  config.ppo.min_learning_rate = 0.0
  return config


def _gradient_step_rates(function: str, dimension: int) -> tuple[float, float]:
  """Rates of LR (which LR+RP shares) and of RP."""
  if function == "dejong":
    return 1e-3, 1e-2
  return (1e-4 if dimension == 1 else 3e-4), 1e-3
