"""`python -m gippo_jax gradients` as a user runs it."""

import json

import pytest

from tests.commands import ROOT, SMALL, call, check_error, command, environment_of, execute

ENVIRONMENT = """
import jax
import jax.numpy as jnp

from gippo_jax.envs import State


class Wall:
  observation_size, action_size, episode_length, differentiable, name = 2, 1, 20, True, "wall"

  def reset(self, key):
    place, zero = jax.random.uniform(key, (2,)), jnp.zeros(())
    return State({"place": place}, place, zero, zero, zero)

  def step(self, state, action):
    place, zero = jnp.clip(state.physics["place"] + action[0], 0.0, 1.0), jnp.zeros(())
    return State({"place": place}, place, -distance(place), zero, zero)


def distance(place):
  return jnp.linalg.norm(place)
"""


@pytest.fixture(scope="module")
def gradients(tmp_path_factory):
  """The command, in a folder with an environment of your own."""
  folder = tmp_path_factory.mktemp("own")
  (folder / "wall.py").write_text(ENVIRONMENT)
  environment = environment_of(PYTHONPATH=f"{ROOT}:{folder}")
  return lambda *flags, module="gradients": execute(environment, *command("gippo_jax", module, *flags))


@pytest.fixture(scope="module")
def trained(gradients, tmp_path_factory):
  workdir = tmp_path_factory.mktemp("run") / "wall"
  process = gradients(
    *("--config=any:shac", "--config.env.name=wall:Wall", "--config.num_epochs=2", "--config.num_envs=8"),
    *("--config.horizon=4", "--config.critic.num_minibatches=2", *SMALL, f"--workdir={workdir}"),
    module="train",
  )
  assert process.returncode in (0, 1), process.stderr  # gradients that are not finite are many here
  return workdir


def test_the_report(gradients, tmp_path):
  out = tmp_path / "new" / "report.json"
  process = gradients(
    *("--config=any:shac", "--config.env.name=wall:Wall", "--config.horizon=4", "--num_envs=4", "--num_steps=8"),
    *("--examined=2", f"--out={out}"),
  )
  assert process.returncode == 1, process.stderr
  for words in ("wall:Wall: 4 environments, 8 steps, random actions", "sqrt of (0)", "in distance", "hint:"):
    assert words in process.stdout
  report = json.loads(out.read_text())
  (operation,) = report["operations"]
  assert (report["samples"], report["horizon"], report["failed"]) == (32, 4, 0)
  assert (operation["primitive"], operation["lines"][0]["function"]) == ("sqrt", "distance")
  assert report["broken"] > 0


def test_of_a_run_its_policy_and_its_configuration_are_taken(gradients, trained):
  process = gradients(f"--workdir={trained}", "--num_steps=4", "--noexplore", "--policy=final")
  assert process.returncode in (0, 1), process.stderr
  assert f"8 environments, 4 steps, the final policy of {trained}" in process.stdout
  assert "windows of 4 steps" in process.stdout


def test_exit_code_0_where_all_is_finite(gradients):
  process = gradients("--config=any:shac", "--config.env.name=linear_quadratic", "--num_envs=2", "--num_steps=32")
  assert process.returncode == 0, process.stderr
  assert "values not finite: 0 %" in process.stdout


@pytest.mark.parametrize(
  ("flags", "words"),
  [
    ((), "--config is missing; allowed: --config=any:shac"),
    (("--config=any:shac", "--config.env.name=cartpole", "--num_steps=33"), "a multiple of config.horizon = 32"),
    (("--config=any:shac", "--config.env.name=cartpole", "--num_envs=0"), "--num_envs: '0' is not allowed"),
    (("--config=any:shac", "--config.env.name=cartpole", "--examples=none"), "--examples"),
    (("--workdir=/nowhere/at/all",), "--workdir: /nowhere/at/all holds no run"),
  ],
)
def test_bad_words_end_in_one_line(flags, words):
  check_error(call("gippo_jax", "gradients", *flags), words)


def test_a_run_without_a_policy(tmp_path, trained):
  (tmp_path / "config.json").write_text((trained / "config.json").read_text())
  check_error(call("gippo_jax", "gradients", f"--workdir={tmp_path}"), "holds no trained policy")


def test_a_policy_of_another_environment(trained):
  process = call("gippo_jax", "gradients", "--config=any:shac", "--config.env.name=cartpole", f"--workdir={trained}")
  check_error(process, "its policy sees 2 observations, the environment has 5; allowed: the run's own environment")
