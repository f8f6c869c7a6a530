"""PPO and GI-PPO with and without an optimistic step of the actor, on the problems of the other tables."""

from ml_collections import ConfigDict

from gippo_jax.experiments.configs import functions, physics, traffic
from gippo_jax.experiments.tables.family import Budget, Family, Problem

PROBLEMS = {
  "dejong1": Problem("De Jong-1", "functions.py:dejong1", {}, {}),
  "ackley64": Problem("Ackley-64", "functions.py:ackley64", {}, {}),
  "cartpole": Problem("Cart-pole", "physics.py:cartpole", {}, {}),
  "pace_car_2": Problem("Traffic (b), 2 lanes", "traffic.py:pace_car_2", {}, {}),
}
_PRESETS_OF = {"functions.py": functions, "physics.py": physics, "traffic.py": traffic}


def _config(argument: str, algorithm: str) -> ConfigDict:
  preset, _, task = argument.partition(":")
  if preset == "functions.py":
    config = functions.get_config(task)
    config.algorithm = algorithm
    return config
  return _PRESETS_OF[preset].get_config(f"{task},{algorithm}")


FAMILY = Family(
  PROBLEMS,
  ("ppo", "ppo_lazy", "ppo_meta", "gippo", "gippo_lazy", "gippo_meta"),
  _config,
  {
    "quick": {"dejong1": Budget(2, 0.1)},
    "functions": dict.fromkeys(("dejong1", "ackley64"), Budget(5, 1.0)),
    "paper": dict.fromkeys(PROBLEMS, Budget(5, 1.0)),
  },
  minimises=False,
  document="methods_optimism.md",
  compares=True,
)
