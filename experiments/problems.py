"""The problems of the paper's tables, family by family, with the numbers it prints and what the authors' code costs."""

from collections.abc import Callable
from typing import NamedTuple

from ml_collections import ConfigDict

from experiments.configs import functions, traffic

# In the paper's order, with the names the paper gives them.
ALGORITHM_LABELS = {"lr": "LR", "rp": "RP", "ppo": "PPO", "lrp": "LR+RP", "gippo": "GI-PPO"}


class Problem(NamedTuple):
  """One row of a table.

  Attributes:
    label: for readers.
    argument: of the configuration file.
    paper: the paper's mean of the best returns, by algorithm.
    reference_seconds: time of the authors' PyTorch for one run of the paper's length on one thread of a machine like
      the one the benchmarks of this project were made on, by algorithm.
  """

  label: str
  argument: str
  paper: dict[str, float]
  reference_seconds: dict[str, float]


class Preset(NamedTuple):
  """How much of the paper's budget a table spends: seeds, and the share of the epochs."""

  num_seeds: int
  share_of_epochs: float


class Family(NamedTuple):
  """The problems of one table.

  Attributes:
    problems: by name.
    get_config: maps a problem's argument and an algorithm to the configuration.
    presets: by name; `paper` is the paper's budget.
    minimises: whether returns are minus a distance that is to become 0, to be compared by ratios.
  """

  problems: dict[str, Problem]
  get_config: Callable[[str, str], ConfigDict]
  presets: dict[str, Preset]
  minimises: bool


# Paper: Table 1. The digits beyond the printed ones are from the authors' result files.
FUNCTIONS = {
  "dejong1": Problem(
    "De Jong-1",
    "dejong1",
    {"lr": -1.2456e-06, "rp": -1.4185e-08, "ppo": -5.2068e-05, "lrp": -6.3580e-08, "gippo": -3.8378e-10},
    {"gippo": 171.0},
  ),
  "dejong64": Problem(
    "De Jong-64",
    "dejong64",
    {"lr": -7.3780e-04, "rp": -9.2831e-07, "ppo": -1.0768e-03, "lrp": -3.0529e-06, "gippo": -1.0404e-06},
    {"gippo": 344.0, "ppo": 96.0, "rp": 80.0, "lr": 76.0, "lrp": 96.0},
  ),
  "ackley1": Problem(
    "Ackley-1", "ackley1", {"lr": -1.2772, "rp": -0.48215, "ppo": -0.24889, "lrp": -1.2255, "gippo": -5.2389e-04}, {}
  ),
  "ackley64": Problem(
    "Ackley-64",
    "ackley64",
    {"lr": -0.63782, "rp": -8.9449e-03, "ppo": -0.13761, "lrp": -3.2602e-02, "gippo": -3.6001e-03},
    {"gippo": 166.0, "ppo": 94.0, "rp": 131.0, "lr": 131.0, "lrp": 182.0},
  ),
}

# Paper: figures of the traffic runs; the digits are from the authors' result files.
TRAFFIC = {
  "pace_car_1": Problem(
    "1 lane (a)", "pace_car_1", {"lr": 945.31, "rp": 947.40, "ppo": 946.34, "lrp": 947.18, "gippo": 943.47}, {}
  ),
  "pace_car_2": Problem(
    "2 lanes (b)", "pace_car_2", {"lr": 434.73, "rp": 545.19, "ppo": 489.50, "lrp": 679.54, "gippo": 873.69}, {}
  ),
  "pace_car_3": Problem(
    "3 lanes (c)", "pace_car_3", {"lr": 116.37, "rp": 102.99, "ppo": 181.28, "lrp": 152.92, "gippo": 157.45}, {}
  ),
  "pace_car_4": Problem(
    "4 lanes (d)", "pace_car_4", {"lr": 125.91, "rp": 131.17, "ppo": 131.82, "lrp": 127.78, "gippo": 137.13}, {}
  ),
  "pace_car_10": Problem(
    "10 lanes (e)", "pace_car_10", {"lr": 22.291, "rp": 22.753, "ppo": 32.543, "lrp": 27.973, "gippo": 44.376}, {}
  ),
}


def _function_config(argument: str, algorithm: str) -> ConfigDict:
  config = functions.get_config(argument)
  config.algorithm = algorithm
  return config


def _traffic_config(argument: str, algorithm: str) -> ConfigDict:
  return traffic.get_config(f"{argument},{algorithm}")


_PRESETS = {"quick": Preset(3, 0.2), "paper": Preset(5, 1.0)}
FAMILIES = {
  "functions": Family(FUNCTIONS, _function_config, _PRESETS, minimises=True),
  "traffic": Family(TRAFFIC, _traffic_config, _PRESETS, minimises=False),
}
