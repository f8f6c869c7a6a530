"""Traffic: `traffic.py:pace_car_N` with N lanes (1, 2, 3, 4, 10: the paper's scenarios a to e), and `traffic.py:ring`.

`traffic.py:pace_car_5x3` makes a road of its own, here of 5 lanes with 3 vehicles behind in each.

The numbers are those of the paper's runs, the same for all scenarios. The ring, which is not in the paper, takes them
too. An algorithm may follow after a comma, `traffic.py:pace_car_2,rp`: then its own settings are in place too, which
for RP, whose runs were plain SHAC, and for SHAC's relatives means a standard deviation that does not depend on the
state.
"""

# A ConfigDict's fields are of any type to a type checker.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

import re

from ml_collections import ConfigDict

from gippo_jax.errors import UserError
from gippo_jax.experiments.configs.first_order import RELATIVES, set_rates
from gippo_jax.parsing import default_config

_SCENARIOS = {"pace_car_1": "a", "pace_car_2": "b", "pace_car_3": "c", "pace_car_4": "d", "pace_car_10": "e"}


def get_config(argument: str = "pace_car_2") -> ConfigDict:
  """Configuration of one problem.

  Args:
    argument: `pace_car_` and the number of lanes (or lanes x vehicles in each), or `ring`; and an algorithm after a
      comma, GI-PPO by default.

  Raises:
    UserError: for an unknown problem.
  """
  problem, _, algorithm = argument.partition(",")
  sizes = re.fullmatch(r"pace_car_(\d+)x(\d+)", problem)
  if problem != "ring" and problem not in _SCENARIOS and not sizes:
    known = ", ".join(_SCENARIOS)
    raise UserError(f"traffic.py:{argument}: no such problem; known: {known}, pace_car_LANESxVEHICLES, ring")

  config = default_config()
  config.statistics_prior = "paper"
  if problem == "ring":
    config.env.name = "ring"
    config.env.num_vehicles = 22
  else:
    config.env.name = "pace_car"
    if sizes:
      config.env.num_lanes, config.env.vehicles_per_lane = int(sizes[1]), int(sizes[2])
    else:
      config.env.scenario = _SCENARIOS[problem]
    config.env.lane_membership = "hard"
  config.num_envs = 64
  config.horizon = 32
  config.num_epochs = 500
  config.normalize_values = False
  config.rp.gae_lambda = config.lrp.gae_lambda = config.tp.gae_lambda = 1.0
  config.actor.units = (512, 64, 64)
  config.critic.units = (64, 64)
  config.likelihood_ratio.learning_rate = 3e-4
  set_rates(config, 1e-3, ("rp", "tp", *RELATIVES))
  config.lrp.learning_rate = 3e-4
  config.alpha.initial = 0.1
  config.alpha.learning_rate = 1e-5
  config.ppo.learning_rate = 3e-4
  config.ppo.minibatch_size = 2048
  if algorithm:
    config.algorithm = algorithm
    config.actor.fixed_std = algorithm in ("rp", "tp", *RELATIVES)
  return config
