"""Pictures of a cart with a pole."""

from typing import TYPE_CHECKING, Protocol

import numpy as np

from gippo_jax.envs.base import Trajectory
from gippo_jax.envs.physics.swing_up import wrap_angle
from gippo_jax.envs.viewer import Scene, reward_curve, rounded

if TYPE_CHECKING:
  from matplotlib.axes import Axes

_CART, _POLE = "#0072B2", "#D55E00"


class CartAndPole(Protocol):
  """What a picture must know of an environment whose physics are those of `cartpole.CartpolePhysics`."""

  @property
  def half_length(self) -> float:
    """From the hinge to the pole's centre, m."""
    ...

  @property
  def time_step(self) -> float:
    """From one state of the episode to the next, s."""
    ...


def scene(env: CartAndPole, trajectory: Trajectory, title: str) -> Scene:
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
    "subtitle": f"{len(trajectory.rewards)} steps of {env.time_step:.4f} s, return {np.sum(trajectory.rewards):.1f}",
    "timeStep": env.time_step,
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


def draw(env: CartAndPole, axes: "Axes", trajectory: Trajectory, step: int) -> None:
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
  axes.set_title(f"{step * env.time_step:.1f} s", fontsize="medium")
