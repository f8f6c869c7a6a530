"""The render command on a short run."""

import re

import pytest
from PIL import Image

from tests.commands import call, check_error


@pytest.fixture(scope="module")
def trained(run, tmp_path_factory):
  """The folder of a run of two seeds and two epochs."""
  workdir = tmp_path_factory.mktemp("runs") / "pace_car"
  process = run(
    "gippo_jax.main",
    "--config=experiments/configs/traffic.py:pace_car_2,ppo",
    *("--config.num_epochs=2", "--config.num_seeds=2", "--config.num_envs=4", "--config.horizon=4"),
    *("--config.ppo.minibatch_size=16", "--config.actor.units=(8,)", "--config.critic.units=(8,)"),
    f"--workdir={workdir}",
  )
  assert process.returncode == 0, process.stderr
  return workdir


def test_the_page_is_of_the_best_seed_or_the_one_asked_for(run, trained, tmp_path):
  out = tmp_path / "new" / "rollout.html"
  process = run("gippo_jax", "render", f"--workdir={trained}", f"--out={out}")
  assert process.returncode == 0, process.stderr
  assert re.search(r"\d+ steps, return \S+, seed [12]", process.stdout)
  page = out.read_text()
  assert "ppo, seed" in page
  assert run("gippo_jax", "render", f"--workdir={trained}", f"--out={out}").returncode == 0
  assert out.read_text() == page  # the same episode again
  assert run("gippo_jax", "render", f"--workdir={trained}", f"--out={out}", "--seed=2", "--explore").returncode == 0
  assert "ppo, seed 2" in out.read_text()
  assert out.read_text() != page


def test_a_moving_picture_and_a_frame(run, trained, tmp_path):
  moving, frame = tmp_path / "rollout.gif", tmp_path / "rollout.png"
  assert run("gippo_jax", "render", f"--workdir={trained}", f"--out={moving}", "--seconds=1").returncode == 0
  with Image.open(moving) as image:
    assert image.n_frames == 12
  assert run("gippo_jax", "render", f"--workdir={trained}", f"--out={frame}", "--at=1").returncode == 0
  with Image.open(frame) as image:
    assert image.width > 500


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (("--out=x.mp4",), "allowed: a name that ends in .html, .gif or .png"),
    (("--seed=7",), "--seed: 7 is not in the run; allowed: 1, 2"),
    (("--workdir=/nowhere",), "/nowhere holds no run"),
    (("rubbish",), "'rubbish' is not a flag"),
    (("--out=/proc/nosuch/x.html",), "cannot be written"),
  ],
)
def test_bad_arguments_end_in_one_line(trained, tmp_path, arguments, words):
  process = call("gippo_jax", "render", f"--workdir={trained}", f"--out={tmp_path / 'x.html'}", *arguments)
  check_error(process, words)
