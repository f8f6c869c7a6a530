"""The page that plays an episode, opened in a real browser."""

import json
import os
import re
import shutil
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from gippo_jax import envs
from gippo_jax.envs.base import Renderable, Trajectory

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
# Where a browser must be there, its absence is a failure.
needs_browser = pytest.mark.skipif(
  BROWSER is None and "GIPPO_JAX_REQUIRE_BROWSER" not in os.environ, reason="no Chromium on this machine"
)

ENVIRONMENTS = {
  "pace_car": envs.make("pace_car", scenario="b", episode_length=120),
  "ring": envs.make("ring", episode_length=60),
  "cartpole": envs.make("cartpole", episode_length=60),
  "quadrotor": envs.make("quadrotor", task="figure_eight", episode_length=60),
}


def trajectory_of(env, action=0.1):
  """An episode under a constant action, up to its end."""
  actions = jnp.full((env.episode_length, env.action_size), action)
  start = jax.jit(env.reset)(jax.random.key(0))

  def step(state, action):
    state = env.step(state.replace(terminated=jnp.zeros(())), action)
    return state, state

  _, reached = jax.lax.scan(step, start, actions)
  states = jax.tree.map(lambda first, rest: np.concatenate([np.asarray(first)[None], rest]), start, reached)
  ended = np.flatnonzero(states.terminated)
  length = int(ended[0]) if ended.size else env.episode_length
  states = jax.tree.map(lambda leaf: leaf[: length + 1], states)
  return Trajectory(states, np.asarray(actions[:length]), states.reward[1:])


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def shown(request):
  env = ENVIRONMENTS[request.param]
  return env, trajectory_of(env)


def scene_of(page):
  return json.loads(re.search(r'<script id="scene" type="application/json">(.*?)</script>', page, re.DOTALL)[1])


def test_a_page_holds_the_episode(shown):
  env, trajectory = shown
  assert isinstance(env, Renderable)
  page = env.page(trajectory, "a </script> title")
  scene = scene_of(page)
  assert scene["title"] == "a </script> title"
  steps = len(trajectory.rewards)
  if scene["kind"] == "cartpole":
    shown = [scene["cart"]["x"], scene["cart"]["angle"]]
  elif scene["kind"] == "quadrotor":
    shown = [scene["quadrotor"][name] for name in ("position", "axes", "thrust", "target")]
  else:
    shown = scene["vehicles"].values()
  for values in shown:
    assert len(values) == steps + 1
    assert len({np.shape(row) for row in values}) == 1
  assert len(scene["rewards"]) == steps
  np.testing.assert_allclose(scene["rewards"], trajectory.rewards, atol=1e-3)
  assert not re.search(r'(src|href)="(?!data:)', page)  # nothing is fetched from elsewhere


def test_the_scene_of_the_pace_car_is_the_simulators():
  env = ENVIRONMENTS["pace_car"]
  trajectory = trajectory_of(env)
  scene = scene_of(env.page(trajectory, ""))
  observation = trajectory.states.obs.reshape(len(trajectory.rewards) + 1, 4, -1)
  x, y = np.asarray(scene["vehicles"]["x"]), np.asarray(scene["vehicles"]["y"])
  np.testing.assert_allclose(x - x[:, :1], observation[:, 0], atol=2e-3)
  np.testing.assert_allclose(y - y[:, :1], observation[:, 1], atol=2e-3)
  np.testing.assert_allclose(np.asarray(scene["vehicles"]["speed"])[:, 1:], observation[:, 2, 1:], atol=2e-3)
  assert "ended by" in scene["subtitle"]


def test_the_scene_of_the_quadrotor_is_the_simulators():
  env = ENVIRONMENTS["quadrotor"]
  trajectory = trajectory_of(env)
  shown = scene_of(env.page(trajectory, ""))["quadrotor"]
  body = trajectory.states.physics.body
  np.testing.assert_allclose(shown["position"], body.position, atol=1e-3)
  axes = np.array(shown["axes"])
  # Drawn four times as large: a rotor lies at place[0] forward + place[1] left, an arm's length from the centre.
  for rotor in shown["rotors"]:
    hub = rotor["place"][0] * axes[:, 0] + rotor["place"][1] * axes[:, 1]
    np.testing.assert_allclose(np.sum(hub**2, 1), (4.0 * env.arm_length) ** 2, rtol=0.02)
  w, x, y, z = np.moveaxis(body.attitude, 1, 0)
  up = np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x**2 + y**2)], 1)
  np.testing.assert_allclose(axes[:, 2] / np.linalg.norm(axes[:, 2], axis=1, keepdims=True), up, atol=0.01)
  # Every point of the path and of the flight is within the picture.
  points = np.concatenate([shown["position"], shown["path"]]) @ np.array(shown["view"]).T
  assert np.all(points >= np.array(shown["bounds"][:2]) - 1e-3)
  assert np.all(points <= np.array(shown["bounds"][2:]) + 1e-3)


@needs_browser
def test_a_browser_plays_the_page(shown, tmp_path):
  env, trajectory = shown
  page = tmp_path / "rollout.html"
  page.write_text(env.page(trajectory, "test"))
  last = len(trajectory.rewards)

  early, _, _ = browse(page, tmp_path / "early.png", "#step=0")
  late, text, console = browse(page, tmp_path / "late.png", f"#step={last}")
  assert not console, console
  assert f'data-frame="{last}"' in text
  assert f"step {last} of {last}" in text
  for picture in (early, late):
    assert len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 50  # not an empty page
  assert np.mean(np.any(early != late, axis=-1)) > 1e-3  # something has moved

  # Left alone, it plays.
  _, text, console = browse(page, tmp_path / "playing.png", "")
  assert not console
  assert int(re.search(r'data-frame="(\d+)"', text)[1]) > 0


def browse(page, picture, fragment):
  """Screenshot, the document after its scripts ran, and what the console said."""
  assert BROWSER, "GIPPO_JAX_REQUIRE_BROWSER is set, but there is no Chromium"
  command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
  command += ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"]
  command += [f"--user-data-dir={picture.parent / 'profile'}", "--window-size=1060,720", "--virtual-time-budget=2000"]
  command += ["--enable-logging=stderr"]
  address = page.as_uri() + fragment
  shot = subprocess.run([*command, f"--screenshot={picture}", address], capture_output=True, timeout=120, check=True)
  text = subprocess.run([*command, "--dump-dom", address], capture_output=True, text=True, timeout=120, check=True)
  console = [line for line in shot.stderr.decode().splitlines() if "CONSOLE" in line]
  return np.asarray(Image.open(picture).convert("RGB")), text.stdout, console


def test_a_frame_is_drawn(shown):
  env, trajectory = shown
  pictures = []
  for step in (0, len(trajectory.rewards)):
    figure = Figure(figsize=(6, 2))
    env.draw(figure.subplots(), trajectory, step)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pictures.append(np.asarray(canvas.buffer_rgba()))
  assert np.any(pictures[0] != pictures[1])
  assert len(np.unique(pictures[0].reshape(-1, 4), axis=0)) > 20
