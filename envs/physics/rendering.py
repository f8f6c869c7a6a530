"""Pictures of a mechanism: Brax's viewer as a web page, or its geometry seen from the side."""

import html
import types
from typing import TYPE_CHECKING

import jax
import numpy as np

from gippo_jax.envs.base import Trajectory
from gippo_jax.envs.physics.engine import CONTROL_STEP, Engine

if TYPE_CHECKING:
  from matplotlib.axes import Axes

_MOST_FRAMES = 500
_PLANE, _SPHERE, _CAPSULE, _BOX = 0, 2, 3, 6


def page(engine: Engine, trajectory: Trajectory, title: str) -> str:
  """A web page that plays an episode in Brax's viewer, thinned to 500 frames.

  The episode is inside the page; the viewer's own scripts are fetched from the network when it is opened.

  Args:
    engine: the physics.
    trajectory: of one episode.
    title: heading of the page.
  """
  from brax.io import html as brax_html

  steps = len(trajectory.rewards)
  stride = -(-(steps + 1) // _MOST_FRAMES)
  positions, rotations = _link_poses(engine, trajectory, slice(None, None, stride))
  frames = [
    types.SimpleNamespace(x=types.SimpleNamespace(pos=position, rot=rotation))
    for position, rotation in zip(np.round(positions, 4), np.round(rotations, 4), strict=True)
  ]
  # The viewer's time between frames is the system's time step.
  shown = engine.system.tree_replace({"opt.timestep": CONTROL_STEP * stride})
  body = brax_html.render(shown, frames)  # pyright: ignore[reportArgumentType]
  heading = html.escape(f"{title}: {steps} steps of {CONTROL_STEP:.4f} s, return {np.sum(trajectory.rewards):.1f}")
  # The viewer draws on a canvas of its own; where its scripts could not be fetched, there is none.
  top = _TOP.replace("HEADING", heading)
  return body.replace("<title>Brax visualizer</title>", f'<meta charset="utf-8"><title>{heading}</title>').replace(
    "<body>", f"<body>{top}", 1
  )


def draw(axes: "Axes", engine: Engine, trajectory: Trajectory, step: int) -> None:
  """Draws one state seen along +y; the view follows the first link.

  Args:
    axes: of matplotlib, empty.
    engine: the physics.
    trajectory: of one episode.
    step: index of the state.
  """
  from matplotlib.patches import Circle, Polygon

  positions, rotations = (poses[0] for poses in _link_poses(engine, trajectory, slice(step, step + 1)))
  center = positions[0, 0]
  model = engine.system.mj_model
  has_ground = _PLANE in model.geom_type
  # Farther geoms first, so that nearer ones cover them.
  geoms = []
  for index in range(model.ngeom):
    link = model.geom_bodyid[index] - 1
    if link >= 0:
      place = positions[link] + _rotate(rotations[link], model.geom_pos[index])
      geoms.append((place[1], index, link, place))
  for _, index, link, place in sorted(geoms, key=lambda geom: -geom[0]):
    kind, size = model.geom_type[index], model.geom_size[index]
    directions = [_rotate(rotations[link], _rotate(model.geom_quat[index], axis)) for axis in np.eye(3)]
    style = {"facecolor": f"C{link % 10}", "edgecolor": "#111111", "linewidth": 0.6}
    if kind == _SPHERE:
      axes.add_patch(Circle(place[[0, 2]], size[0], **style))
    elif kind == _CAPSULE:
      axes.add_patch(Polygon(_capsule_outline(place, size[1] * directions[2], size[0]), **style))
    elif kind == _BOX:
      corners = [place + (i * size[0] * directions[0] + j * size[2] * directions[2]) for i, j in _CORNERS]
      axes.add_patch(Polygon(np.array(corners)[:, [0, 2]], **style))
  bottom, top = (-0.1, 1.6) if has_ground else (-1.2, 1.2)
  axes.axhspan(bottom, 0.0, color="#8a8d91") if has_ground else axes.axhline(0.0, color="#8a8d91", zorder=0)
  axes.set_xlim(center - 2.5, center + 2.5)
  axes.set_ylim(bottom, top)
  axes.set_aspect("equal")
  axes.set_xlabel("m")
  axes.set_title(f"{step * CONTROL_STEP:.1f} s, x = {center:.1f} m", fontsize="medium")


_TOP = """<p style="font-family: sans-serif; margin: 8px">HEADING</p>
<p id="offline" hidden style="font-family: sans-serif; margin: 8px; color: #b00">The episode is in this page, but its
viewer is fetched from the network (cdn.jsdelivr.net, unpkg.com) and did not arrive. A .gif or .png needs none.</p>
<script>
setTimeout(() => { document.getElementById("offline").hidden = !!document.querySelector("canvas"); }, 4000);
</script>"""

_CORNERS = ((-1, -1), (-1, 1), (1, 1), (1, -1))


def _link_poses(engine: Engine, trajectory: Trajectory, frames: slice) -> tuple[np.ndarray, np.ndarray]:
  poses = jax.jit(jax.vmap(engine.link_poses))(trajectory.states.physics.q[frames])
  positions, rotations = poses
  return np.asarray(positions, float), np.asarray(rotations, float)


def _rotate(quaternion: np.ndarray, vector: np.ndarray) -> np.ndarray:
  w, axis = quaternion[0], quaternion[1:]
  return vector + 2.0 * np.cross(axis, np.cross(axis, vector) + w * vector)


def _capsule_outline(place: np.ndarray, half: np.ndarray, radius: float) -> np.ndarray:
  """Outline of a capsule in the x-z plane, from its centre and the vector to the centre of one end."""
  half = half[[0, 2]]
  start = np.arctan2(half[1], half[0]) - 0.5 * np.pi
  arc = np.linspace(0.0, np.pi, 12)
  ends = [
    sign * half + radius * np.stack([np.cos(a), np.sin(a)], 1)
    for sign, a in ((1, start + arc), (-1, start + np.pi + arc))
  ]
  return place[[0, 2]] + np.concatenate(ends)
