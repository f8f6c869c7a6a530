"""GI-PPO, PPO and the relatives of SHAC on the same problems with the same number of environment steps."""

# A ConfigDict's fields are of any type to a type checker.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

from gippo_jax.experiments.configs.first_order import RELATIVES
from gippo_jax.experiments.tables.family import Budget, Family, Problem

PROBLEMS = {
  "cartpole": Problem("Cart-pole", "physics:cartpole", {}),
  "cartpole_walls": Problem("Cart-pole between stiff walls", "physics:cartpole_walls", {}),
  "quadrotor": Problem("Quadrotor, hover", "quadrotor:hover", {}),
  "pace_car_2": Problem("Traffic (b), 2 lanes", "traffic:pace_car_2", {}),
  "hopper": Problem("Hopper (Brax)", "physics:hopper", {}),
  "ant": Problem("Ant (Brax)", "physics:ant", {}),
  "playground_CartpoleSwingup": Problem("CartpoleSwingup (Playground)", "playground:CartpoleSwingup", {}),
}
_CLOSED_FORM = ("cartpole", "cartpole_walls", "quadrotor", "pace_car_2")

# Passes backwards through a window's simulation in an epoch; AHAC's second one is of each step alone.
BACKWARD_PASSES = {"ppo": 0, "gippo": 1, "gippo_safe": 1, **dict.fromkeys(RELATIVES, 1), "ahac": 2}


_CPU = {
  **dict.fromkeys(_CLOSED_FORM, Budget(5, 1.0)),
  # What the physics table spends on two CPU cores.
  "hopper": Budget(5, 0.15, (("num_envs", 64),)),
  "ant": Budget(5, 0.15),
  "playground_CartpoleSwingup": Budget(5, 1.0),
}
FAMILY = Family(
  PROBLEMS,
  tuple(BACKWARD_PASSES),
  {"quick": {"cartpole": Budget(2, 0.1)}, "closed_form": {name: _CPU[name] for name in _CLOSED_FORM}, "cpu": _CPU},
  minimises=False,
  document="rivals.md",
  compares=True,
  backward_passes=BACKWARD_PASSES,
)
