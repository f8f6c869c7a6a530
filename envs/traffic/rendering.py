"""Pictures of traffic: a scene in plain data, played by `envs.viewer` or drawn frame by frame."""

from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from gippo_jax.envs.base import Trajectory
from gippo_jax.envs.traffic import idm, road
from gippo_jax.envs.traffic.road import TARGET_SPEED, VEHICLE_LENGTH
from gippo_jax.envs.viewer import Scene, reward_curve, rounded

if TYPE_CHECKING:
  from matplotlib.axes import Axes

  from gippo_jax.envs.traffic.pace_car import PaceCar
  from gippo_jax.envs.traffic.ring import Ring

_CONTROLLED, _OTHERS = "#D55E00", "#0072B2"
_FAILURES = ("collision", "out_of_lane", "too_far", "behind")
_CAR_LENGTH = 5.0
_CAR_WIDTH = 2.0


def pace_car_scene(env: "PaceCar", trajectory: Trajectory, title: str) -> Scene:
  """What a picture of a pace car's episode needs; lengths in m, speeds in m/s, angles in rad.

  Args:
    env: the environment.
    trajectory: of one episode.
    title: heading of the page.
  """
  physics = trajectory.states.physics
  count = len(trajectory.rewards) + 1
  lateral = np.repeat(road.LANE_WIDTH * np.arange(env.num_lanes), env.vehicles_per_lane)
  car = physics.pace_car
  others = physics.speed.reshape(count, -1)
  reasons = [name.replace("_", " ") for name in _FAILURES if getattr(physics, name)[-1] > 0]
  x = np.concatenate([car.x[:, None], physics.x.reshape(count, -1)], axis=1)
  return {
    "title": title,
    "subtitle": _subtitle(trajectory, env.time_step, ", ".join(reasons)),
    "timeStep": env.time_step,
    "kind": "straight",
    "road": {
      "lanes": env.num_lanes,
      "laneWidth": road.LANE_WIDTH,
      "span": float(np.clip(np.max(np.ptp(x, axis=1)) + 30.0, 80.0, 250.0)),
    },
    "vehicles": {
      "x": rounded(x),
      "y": rounded(np.concatenate([car.y[:, None], np.broadcast_to(lateral, others.shape)], axis=1)),
      "heading": rounded(np.concatenate([car.heading[:, None], np.zeros_like(others)], axis=1)),
      "speed": rounded(np.concatenate([car.speed[:, None], others], axis=1)),
    },
    "vehicleLength": _CAR_LENGTH,
    "controlled": 0,
    "target": TARGET_SPEED,
    "targetName": "target",
    "fastest": float(env.idm.target_speed),
    "rewards": rounded(trajectory.rewards),
    "curves": [
      {
        "title": "speed (m/s)",
        "reference": TARGET_SPEED,
        "referenceName": "target",
        "lines": [
          {"name": "mean of the IDM vehicles", "color": _OTHERS, "values": rounded(others.mean(axis=1))},
          {"name": "pace car", "color": _CONTROLLED, "values": rounded(car.speed)},
        ],
      },
      reward_curve(trajectory),
    ],
  }


def ring_scene(env: "Ring", trajectory: Trajectory, title: str) -> Scene:
  """What a picture of an episode on the ring needs; lengths in m, speeds in m/s, angles in rad.

  Args:
    env: the environment.
    trajectory: of one episode.
    title: heading of the page.
  """
  physics = trajectory.states.physics
  circumference = float(physics.circumference[0])
  radius = circumference / (2.0 * np.pi)
  angle = physics.position / radius
  target = float(idm.equilibrium_speed(env.idm, jnp.asarray(circumference / env.num_vehicles - VEHICLE_LENGTH)))
  return {
    "title": title,
    "subtitle": _subtitle(trajectory, env.time_step, "collision" if physics.collision[-1] > 0 else ""),
    "timeStep": env.time_step,
    "kind": "ring",
    "road": {"radius": radius},
    "vehicles": {
      "x": rounded(radius * np.cos(angle)),
      "y": rounded(radius * np.sin(angle)),
      "heading": rounded(angle + 0.5 * np.pi),
      "speed": rounded(physics.speed),
    },
    "vehicleLength": VEHICLE_LENGTH,
    "controlled": 0 if env.control == "acceleration" else -1,
    "target": target,
    "targetName": "speed of the even flow",
    "fastest": 2.0 * target,
    "rewards": rounded(trajectory.rewards),
    "curves": [
      {
        "title": "speed (m/s)",
        "reference": target,
        "referenceName": "even flow",
        "lines": [
          {"name": "mean", "color": "#222222", "values": rounded(physics.speed.mean(axis=1))},
          {"name": "slowest", "color": _OTHERS, "values": rounded(physics.speed.min(axis=1))},
          {"name": "vehicle 0", "color": _CONTROLLED, "values": rounded(physics.speed[:, 0])},
        ],
      },
      reward_curve(trajectory),
    ],
  }


def draw(axes: "Axes", scene: Scene, step: int) -> None:
  """Draws one frame, with the viewer's colours.

  Args:
    axes: of matplotlib, empty.
    scene: what to draw.
    step: index of the frame.
  """
  from matplotlib import colors
  from matplotlib.patches import Circle, Rectangle
  from matplotlib.transforms import Affine2D

  palette = colors.LinearSegmentedColormap.from_list("speed", ["#0072B2", "#CDCDCD", "#D55E00"])
  vehicles = {name: np.asarray(values[step]) for name, values in scene["vehicles"].items()}
  layout = scene["road"]
  axes.set_facecolor("#eef0ea")
  if scene["kind"] == "ring":
    radius = layout["radius"]
    axes.add_patch(Circle((0.0, 0.0), radius, fill=False, linewidth=10, edgecolor="#8a8d91"))
    axes.set_xlim(-radius - 6.0, radius + 6.0)
    axes.set_ylim(-radius - 6.0, radius + 6.0)
  else:
    center = 0.5 * (vehicles["x"].min() + vehicles["x"].max())
    width, lanes, span = layout["laneWidth"], layout["lanes"], layout["span"]
    axes.add_patch(Rectangle((center - span, -0.5 * width), 2.0 * span, lanes * width, color="#8a8d91"))
    for border in range(1, lanes):
      axes.axhline((border - 0.5) * width, color="white", linestyle=(0, (4, 6)), linewidth=1)
    axes.set_xlim(center - 0.5 * span, center + 0.5 * span)
    axes.set_ylim(-0.5 * width - 1.0, (lanes - 0.5) * width + 1.0)
    axes.set_xlabel("m")
  axes.set_aspect("equal")
  axes.set_yticks([])
  length = scene["vehicleLength"]
  for index in reversed(range(vehicles["x"].size)):
    share = 0.5 * vehicles["speed"][index] / scene["target"]
    if share > 0.5:
      share = 0.5 + 0.5 * (vehicles["speed"][index] - scene["target"]) / (scene["fastest"] - scene["target"])
    box = Rectangle(
      (-0.5 * length, -0.5 * _CAR_WIDTH),
      length,
      _CAR_WIDTH,
      facecolor=palette(float(np.clip(share, 0.0, 1.0))),
      edgecolor="#111111",
      linewidth=2.2 if index == scene["controlled"] else 0.6,
    )
    turned = Affine2D().rotate(vehicles["heading"][index]).translate(vehicles["x"][index], vehicles["y"][index])
    box.set_transform(turned + axes.transData)
    axes.add_patch(box)
  mean = np.delete(vehicles["speed"], max(scene["controlled"], 0)).mean()
  axes.set_title(f"{step * scene['timeStep']:.1f} s, the other vehicles at {mean:.1f} m/s", fontsize="medium")


def _subtitle(trajectory: Trajectory, time_step: float, reason: str) -> str:
  steps = len(trajectory.rewards)
  return (
    f"{steps} steps of {time_step:g} s, return {np.sum(trajectory.rewards):.1f}, ended by {reason or 'the time limit'}"
  )
