"""PPO and GI-PPO with and without an optimistic step of the actor, on the problems of the other tables."""

from gippo_jax.experiments.tables.family import Budget, Family, Problem

PROBLEMS = {
  "dejong1": Problem("De Jong-1", "functions:dejong1", {}),
  "ackley64": Problem("Ackley-64", "functions:ackley64", {}),
  "cartpole": Problem("Cart-pole", "physics:cartpole", {}),
  "pace_car_2": Problem("Traffic (b), 2 lanes", "traffic:pace_car_2", {}),
}


FAMILY = Family(
  PROBLEMS,
  ("ppo", "ppo_lazy", "ppo_meta", "gippo", "gippo_lazy", "gippo_meta"),
  {
    "quick": {"dejong1": Budget(2, 0.1)},
    "functions": dict.fromkeys(("dejong1", "ackley64"), Budget(5, 1.0)),
    "paper": dict.fromkeys(PROBLEMS, Budget(5, 1.0)),
  },
  minimises=False,
  document="methods_optimism.md",
  compares=True,
)
