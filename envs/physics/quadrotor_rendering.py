"""Pictures of the quadrotor: an oblique view of its flight over a floor, the vehicle drawn larger than it is."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax.envs.base import Trajectory
from gippo_jax.envs.physics import quaternion
from gippo_jax.envs.viewer import Scene, reward_curve, rounded

if TYPE_CHECKING:
  from matplotlib.axes import Axes

  from gippo_jax.envs.physics.quadrotor import Quadrotor

ENLARGEMENT = 4.0
_FLOWN, _TARGET, _SHADOW, _FLOOR = "#0072B2", "#555555", "#c9ccc2", "#dfe2d9"
# Front right, back right, back left, front left.
_ROTORS = ("#D55E00", "#0072B2", "#56B4E9", "#E69F00")
_PLACES = np.array([(1.0, -1.0), (-1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)])
_GRID = 0.5  # m
# Seen from the right and behind at 28 degrees above the horizon, as parallel rays.
_AZIMUTH, _ELEVATION = np.deg2rad(-62.0), np.deg2rad(28.0)
_VIEW = np.array(
  [
    [-np.sin(_AZIMUTH), np.cos(_AZIMUTH), 0.0],
    [-np.sin(_ELEVATION) * np.cos(_AZIMUTH), -np.sin(_ELEVATION) * np.sin(_AZIMUTH), np.cos(_ELEVATION)],
  ]
)


def scene(env: "Quadrotor", trajectory: Trajectory, title: str) -> Scene:
  """What the page needs; lengths in m, thrusts in units of hovering.

  Args:
    env: the environment.
    trajectory: of one episode.
    title: heading of the page.
  """
  body, thrust, phase = trajectory.states.physics
  position = np.asarray(body.position, float)
  target = np.asarray(env.target(jnp.asarray(phase))[0], float)
  share = np.asarray(thrust, float) / env.hover_thrust
  # Columns of the rotation, each as long as a rotor's place along it.
  reach = ENLARGEMENT * np.sqrt(0.5) * env.arm_length
  axes = reach * np.swapaxes(np.asarray(jax.vmap(quaternion.matrix)(body.attitude), float), 1, 2)
  around = np.linspace(0.0, 2.0 * np.pi, 121)
  path = np.asarray(env.target(jnp.asarray(around))[0], float)
  floor = _floor(np.concatenate([position, path]), 2.0 * reach)
  corners = np.array([(x, y, floor[4]) for x in floor[:2] for y in floor[2:4]])
  outline = np.concatenate([corners, position + 2.5 * reach, position - 2.5 * reach, path]) @ _VIEW.T
  distance = np.sqrt(np.sum((position - target) ** 2, 1))
  names = ("front right", "back right", "back left", "front left")
  return {
    "title": title,
    "subtitle": (
      f"{len(trajectory.rewards)} steps of {env.time_step:g} s, return {np.sum(trajectory.rewards):.1f}; vehicle "
      f"drawn {ENLARGEMENT:g} times as large, the rotors' thrusts as bars, its front in orange"
    ),
    "timeStep": env.time_step,
    "kind": "quadrotor",
    "quadrotor": {
      "position": rounded(position),
      "axes": rounded(axes),
      "thrust": rounded(share),
      "target": rounded(target),
      "path": rounded(path),
      "floor": rounded(floor),
      "grid": _GRID,
      "view": _VIEW.tolist(),
      "bounds": rounded(np.concatenate([outline.min(0), outline.max(0)])),
      "rotors": [{"place": place, "color": color} for place, color in zip(_PLACES.tolist(), _ROTORS, strict=True)],
    },
    "rewards": rounded(trajectory.rewards),
    "curves": [
      {
        "title": "distance to the target (m)",
        "reference": 0.0,
        "referenceName": "at the target",
        "lines": [{"name": "distance", "color": _FLOWN, "values": rounded(distance)}],
      },
      {
        "title": "thrust, in units of hovering",
        "reference": 1.0,
        "referenceName": "hovering",
        "lines": [
          {"name": name, "color": color, "values": rounded(values)}
          for name, color, values in zip(names, _ROTORS, share.T, strict=True)
        ],
      },
      reward_curve(trajectory),
    ],
  }


def draw(axes: "Axes", scene: Scene, step: int) -> None:
  """Draws one frame as the page does; what has been flown up to it is shown.

  Args:
    axes: of matplotlib, empty.
    scene: what to draw.
    step: index of the frame.
  """
  from matplotlib.patches import Polygon

  shown = scene["quadrotor"]
  position, path = np.asarray(shown["position"]), np.asarray(shown["path"])
  forward, left, up = np.asarray(shown["axes"][step])
  place, x0, x1, y0, y1, z = position[step], *shown["floor"]
  for x in np.arange(x0, x1 + 1e-6, _GRID):
    _line(axes, [(x, y0, z), (x, y1, z)], color=_FLOOR, linewidth=1)
  for y in np.arange(y0, y1 + 1e-6, _GRID):
    _line(axes, [(x0, y, z), (x1, y, z)], color=_FLOOR, linewidth=1)
  flown = position[: step + 1]
  _line(axes, flown * [1.0, 1.0, 0.0] + [0.0, 0.0, z], color=_SHADOW, linewidth=2)
  _line(axes, path, color=_TARGET, linewidth=1, linestyle=(0, (4, 3)))
  axes.plot(*(_VIEW @ np.asarray(shown["target"][step])), marker="x", color=_TARGET, markersize=7)
  _line(axes, flown, color=_FLOWN, linewidth=1.5)
  _line(axes, [place, place * [1.0, 1.0, 0.0] + [0.0, 0.0, z]], color=_SHADOW, linewidth=1, linestyle=":")
  around = np.linspace(0.0, 2.0 * np.pi, 25)[:, None]
  for rotor, share in zip(shown["rotors"], shown["thrust"][step], strict=True):
    hub = place + rotor["place"][0] * forward + rotor["place"][1] * left
    _line(axes, [place, hub], color="#333333", linewidth=2)
    disc = hub + 0.65 * (np.cos(around) * forward + np.sin(around) * left)
    axes.add_patch(Polygon(disc @ _VIEW.T, facecolor=rotor["color"], alpha=0.35, edgecolor=rotor["color"], zorder=3))
    _line(axes, [hub, hub + share * up], color=rotor["color"], linewidth=3, zorder=4)
  left_end, bottom, right_end, top = shown["bounds"]
  axes.set_xlim(left_end, right_end)
  axes.set_ylim(bottom, top)
  axes.set_aspect("equal")
  axes.set_axis_off()
  distance = np.sqrt(np.sum((place - np.asarray(shown["target"][step])) ** 2))
  axes.set_title(f"{step * scene['timeStep']:.1f} s, {distance:.2f} m from the target", fontsize="medium")


def _floor(points: np.ndarray, margin: float) -> np.ndarray:
  """Ends of the floor along x and y, on the grid, and its height: `[5]`, m."""
  low = _GRID * np.floor((points.min(0) - margin) / _GRID)
  high = _GRID * np.ceil((points.max(0) + margin) / _GRID)
  return np.array([low[0], high[0], low[1], high[1], low[2]])


def _line(axes: "Axes", points: object, **style: object) -> None:
  axes.plot(*(_VIEW @ np.asarray(points, float).T), **style)  # pyright: ignore[reportArgumentType]
