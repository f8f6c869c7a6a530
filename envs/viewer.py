"""A self-contained web page that plays an episode: a scene in plain data inside `viewer.html`."""

import json
import pathlib
from typing import Any

import numpy as np

from gippo_jax.envs.base import Trajectory

Scene = dict[str, Any]

_VIEWER = pathlib.Path(__file__).parent / "viewer.html"
_REWARD_COLOR = "#009E73"


def page(scene: Scene) -> str:
  """The page: play and pause, a time slider, curves in step.

  Args:
    scene: `title`, `subtitle`, `timeStep` (s), `rewards` of the steps, `curves`, and `kind` with what that kind of
      picture draws: `straight` and `ring` roads, `cartpole`, `quadrotor`.
  """
  # "</" would end the script element that holds the data.
  data = json.dumps(scene, allow_nan=False).replace("</", "<\\/")
  return _VIEWER.read_text().replace("/*SCENE*/", data)


def reward_curve(trajectory: Trajectory) -> Scene:
  """The curve of the rewards."""
  # The start has no reward; its first step's stands there, so that curves share their time axis.
  values = np.concatenate([trajectory.rewards[:1], trajectory.rewards])
  line = {"name": "reward of the step", "color": _REWARD_COLOR, "values": rounded(values)}
  return {"title": "reward", "reference": None, "referenceName": "", "lines": [line]}


def rounded(values: np.ndarray) -> list:
  """Three digits behind the point are enough for a picture."""
  return np.round(np.asarray(values, float), 3).tolist()
