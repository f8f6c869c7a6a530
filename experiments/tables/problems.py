"""The problems of the paper's tables, family by family, with the numbers it prints and what the authors' code costs."""

from collections.abc import Iterable

from gippo_jax.experiments.tables import benchmarks, learned_models, optimism, rivals
from gippo_jax.experiments.tables.family import Budget, Family, Preset, Problem

# Paper: Table 1. The digits beyond the printed ones are from the authors' result files.
FUNCTIONS = {
  "dejong1": Problem(
    "De Jong-1",
    "functions:dejong1",
    {"lr": -1.2456e-06, "rp": -1.4185e-08, "ppo": -5.2068e-05, "lrp": -6.3580e-08, "gippo": -3.8378e-10},
  ),
  "dejong64": Problem(
    "De Jong-64",
    "functions:dejong64",
    {"lr": -7.3780e-04, "rp": -9.2831e-07, "ppo": -1.0768e-03, "lrp": -3.0529e-06, "gippo": -1.0404e-06},
  ),
  "ackley1": Problem(
    "Ackley-1",
    "functions:ackley1",
    {"lr": -1.2772, "rp": -0.48215, "ppo": -0.24889, "lrp": -1.2255, "gippo": -5.2389e-04},
  ),
  "ackley64": Problem(
    "Ackley-64",
    "functions:ackley64",
    {"lr": -0.63782, "rp": -8.9449e-03, "ppo": -0.13761, "lrp": -3.2602e-02, "gippo": -3.6001e-03},
  ),
}

# Paper: figures of the traffic runs; the digits are from the authors' result files.
TRAFFIC = {
  "pace_car_1": Problem(
    "1 lane (a)", "traffic:pace_car_1", {"lr": 945.31, "rp": 947.40, "ppo": 946.34, "lrp": 947.18, "gippo": 943.47}
  ),
  "pace_car_2": Problem(
    "2 lanes (b)", "traffic:pace_car_2", {"lr": 434.73, "rp": 545.19, "ppo": 489.50, "lrp": 679.54, "gippo": 873.69}
  ),
  "pace_car_3": Problem(
    "3 lanes (c)", "traffic:pace_car_3", {"lr": 116.37, "rp": 102.99, "ppo": 181.28, "lrp": 152.92, "gippo": 157.45}
  ),
  "pace_car_4": Problem(
    "4 lanes (d)", "traffic:pace_car_4", {"lr": 125.91, "rp": 131.17, "ppo": 131.82, "lrp": 127.78, "gippo": 137.13}
  ),
  "pace_car_10": Problem(
    "10 lanes (e)",
    "traffic:pace_car_10",
    {"lr": 22.291, "rp": 22.753, "ppo": 32.543, "lrp": 27.973, "gippo": 44.376},
  ),
}


# Paper: figures of the physics runs, on another simulator; the digits are from the authors' result files.
# The paper's RP is SHAC there.
_PAPER_CARTPOLE = {"lr": -1350.8, "shac": -495.76, "ppo": -1093.6, "pe": -1275.0, "gippo": -509.32}
PHYSICS = {
  "cartpole": Problem("Cart-pole swing-up", "physics:cartpole", _PAPER_CARTPOLE),
  "cartpole_spring": Problem("Cart-pole swing-up, Brax", "physics:cartpole,spring", _PAPER_CARTPOLE),
  "hopper": Problem(
    "Hopper", "physics:hopper", {"lr": 4084.0, "shac": 5176.0, "ppo": 4452.2, "pe": 431.68, "gippo": 4776.8}
  ),
  "ant": Problem("Ant", "physics:ant", {"lr": 1778.4, "shac": 7066.3, "ppo": 4797.4, "pe": 901.04, "gippo": 5933.0}),
}


def _presets(problems: Iterable[str]) -> dict[str, Preset]:
  return {
    "quick": dict.fromkeys(problems, Budget(3, 0.2)),
    "paper": dict.fromkeys(problems, Budget(5, 1.0)),
  }


_PHYSICS_PRESETS = {
  "quick": {"cartpole": Budget(3, 1.0)},
  # What two CPU cores do within 90 minutes.
  "cpu": {
    "cartpole": Budget(5, 1.0),
    "cartpole_spring": Budget(5, 1.0),
    "hopper": Budget(3, 0.15, (("num_envs", 64),)),
    "ant": Budget(3, 0.15),
  },
  "paper": dict.fromkeys(PHYSICS, Budget(5, 1.0)),
}

_COLUMNS = ("lr", "rp", "ppo", "lrp", "tp", "gippo", "gippo_safe")
FAMILIES = {
  "functions": Family(FUNCTIONS, _COLUMNS, _presets(FUNCTIONS), minimises=True),
  "traffic": Family(TRAFFIC, _COLUMNS, _presets(TRAFFIC), minimises=False),
  "physics": Family(
    PHYSICS,
    ("lr", "shac", "ppo", "pe", "tp", "gippo", "gippo_safe"),
    _PHYSICS_PRESETS,
    minimises=False,
  ),
  "benchmarks": benchmarks.FAMILY,
  "rivals": rivals.FAMILY,
  "optimism": optimism.FAMILY,
  "learned_models": learned_models.FAMILY,
}
