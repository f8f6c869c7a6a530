"""Pictures of the closed-form cart-pole."""

from typing import TYPE_CHECKING

import numpy as np

from gippo_jax.envs.base import Trajectory
from gippo_jax.envs.physics.swing_up import CONTROL_STEP, wrap_angle
from gippo_jax.envs.viewer import Scene, reward_curve, rounded

if TYPE_CHECKING:
  from matplotlib.axes import Axes

  from gippo_jax.envs.physics.cartpole import Cartpole

_CART, _POLE = "#0072B2", "#D55E00"


def scene(env: "Cartpole", trajectory: Trajectory, title: str) -> Scene:
  """What the page needs; lengths in m, angles in rad.

  Args:
    env: the environment.
    trajectory: of one episode.
    title: heading of the page.
  """
  physics = trajectory.states.physics
  angle = np.asarray(wrap_angle(physics.angle))
  return {
    "title": title,
    "subtitle": f"{len(trajectory.rewards)} steps of {CONTROL_STEP:.4f} s, return {np.sum(trajectory.rewards):.1f}",
    "timeStep": CONTROL_STEP,
    "kind": "cartpole",
    "cart": {"x": rounded(physics.position), "angle": rounded(physics.angle), "halfLength": env.half_length},
    "rewards": rounded(trajectory.rewards),
    "curves": [
      {
        "title": "state",
        "reference": 0.0,
        "referenceName": "upright",
        "lines": [
          {"name": "angle from upright (rad)", "color": _POLE, "values": rounded(angle)},
          {"name": "position of the cart (m)", "color": _CART, "values": rounded(physics.position)},
        ],
      },
      reward_curve(trajectory),
    ],
  }


def draw(env: "Cartpole", axes: "Axes", trajectory: Trajectory, step: int) -> None:
  """Draws one state; the rail stands still.

  Args:
    env: the environment.
    axes: of matplotlib, empty.
    trajectory: of one episode.
    step: index of the state.
  """
  from matplotlib.patches import Rectangle

  physics = trajectory.states.physics
  length = 2.0 * env.half_length
  x, angle = float(physics.position[step]), float(physics.angle[step])
  axes.axhline(0.0, color="#8a8d91", linewidth=2)
  axes.add_patch(Rectangle((x - 0.2, -0.1), 0.4, 0.2, color=_CART))
  axes.plot([x, x + length * np.sin(angle)], [0.0, length * np.cos(angle)], color=_POLE, linewidth=5)
  low, high = float(np.min(physics.position)), float(np.max(physics.position))
  axes.set_xlim(low - length - 0.2, high + length + 0.2)
  axes.set_ylim(-length - 0.2, length + 0.2)
  axes.set_aspect("equal")
  axes.set_yticks([])
  axes.set_xlabel("m")
  axes.set_title(f"{step * CONTROL_STEP:.1f} s", fontsize="medium")
