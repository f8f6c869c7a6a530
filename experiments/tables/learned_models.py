"""Algorithms that learn a model, with few samples, beside SHAC, which has the simulator's own derivative."""

from gippo_jax.experiments.tables.family import Budget, Family, Problem

PROBLEMS = {
  "pendulum": Problem("Pendulum-v1 (gymnax)", "learned_model:Pendulum-v1", {}),
  "cartpole": Problem("Cart-pole", "learned_model:cartpole", {}),
  "point_mass": Problem("Point mass", "learned_model:point_mass", {}),
}
FAMILY = Family(
  PROBLEMS,
  ("shac", "shac_model", "gippo_model", "rp_dp", "rp_dp_normalized", "rp_dr", "rp_dr_normalized"),
  {"quick": {"point_mass": Budget(2, 0.1)}, "cpu": dict.fromkeys(PROBLEMS, Budget(5, 1.0))},
  minimises=False,
  document="methods_learned_model.md",
  compares=True,
)
