"""Algorithms that learn a model, with few samples, beside SHAC, which has the simulator's own derivative."""

from gippo_jax.experiments.configs import learned_model
from gippo_jax.experiments.tables.family import Budget, Family, Problem

PROBLEMS = {
  "pendulum": Problem("Pendulum-v1 (gymnax)", "Pendulum-v1", {}, {}),
  "cartpole": Problem("Cart-pole", "cartpole", {}, {}),
  "point_mass": Problem("Point mass", "point_mass", {}, {}),
}
FAMILY = Family(
  PROBLEMS,
  ("shac", "shac_model", "gippo_model", "rp_dp", "rp_dp_normalized", "rp_dr", "rp_dr_normalized"),
  lambda task, algorithm: learned_model.get_config(f"{task},{algorithm}"),
  {"quick": {"point_mass": Budget(2, 0.1)}, "cpu": dict.fromkeys(PROBLEMS, Budget(5, 1.0))},
  minimises=False,
  document="methods_learned_model.md",
  compares=True,
)
