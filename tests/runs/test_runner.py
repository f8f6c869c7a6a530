"""The host's side of a run: what becomes of a member that diverges."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np

from gippo_jax import envs
from gippo_jax.config import Config, RunConfig
from gippo_jax.parsing import Experiment
from gippo_jax.runs.progress import NoProgress
from gippo_jax.runs.runner import run
from gippo_jax.runs.workdir import Workdir


@dataclasses.dataclass(frozen=True)
class BrokenForSome:
  """A point mass that, by the draw of its first start, pays more for good than a square can hold."""

  inner = envs.make("point_mass", dimension=1, episode_length=5)
  observation_size = 2
  action_size = 1
  episode_length = 1000
  differentiable = True

  def reset(self, key):
    state = self.inner.reset(key)
    return state.replace(physics=(state.physics, jax.random.bernoulli(key, 0.25)))

  def step(self, state, action):
    physics, broken = state.physics
    state = self.inner.step(state.replace(physics=physics), action)
    reward = jnp.where(broken, 1e200, state.reward)
    return state.replace(physics=(state.physics, broken), reward=reward, terminated=jnp.zeros_like(reward))


def test_a_seed_that_diverges_is_recorded_and_the_others_finish(tmp_path):
  config = Config(
    algorithm="lr",
    num_envs=2,
    horizon=4,
    num_epochs=30,
    actor={"units": (4,)},
    critic={"units": (4,), "num_iterations": 1},
  )
  env = BrokenForSome()
  experiment = Experiment(config, RunConfig(num_seeds=4), {"name": "broken"})
  workdir = Workdir(tmp_path)
  summary = run(experiment, env, workdir, NoProgress())
  assert summary["status"] == "finished"
  assert summary["epochs"] == 30
  assert sorted(set(summary["diverged"])) == [False, True]
  written = json.loads((tmp_path / "summary.json").read_text())
  assert written["diverged"] == summary["diverged"]
  rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
  for row in rows:
    lost = summary["diverged"][summary["seeds"].index(row["seed"])]
    assert (row["critic_loss"] is None) == lost
  for reason, lost in zip(summary["reasons"], summary["diverged"], strict=True):
    assert (reason == "epoch 30: 100 % of the critic's steps were skipped, the critic's loss was inf") == lost
  assert np.all(np.isfinite([row["critic_loss"] for row in rows if row["critic_loss"] is not None]))


@dataclasses.dataclass(frozen=True)
class FailsInTheThirdStep:
  """A point mass whose simulator fails in the third step of every episode."""

  inner = envs.make("point_mass", dimension=1)
  observation_size = 2
  action_size = 1
  episode_length = 1000
  differentiable = True

  def reset(self, key):
    state = self.inner.reset(key)
    return state.replace(physics=(state.physics, jnp.zeros((), jnp.int32)))

  def step(self, state, action):
    physics, steps = state.physics
    state = self.inner.step(state.replace(physics=physics), action)
    obs = state.obs * jnp.where(steps == 2, jnp.nan, 1.0)
    return state.replace(physics=(state.physics, steps + 1), obs=obs)


def test_a_simulator_that_keeps_failing_ends_the_run_and_is_named(tmp_path):
  """A third of the steps fails, in all environments at once: in steps 3, 6, 9, ...; windows have four steps."""
  config = Config(
    algorithm="shac",
    num_envs=2,
    horizon=4,
    num_epochs=60,
    actor={"units": (4,)},
    critic={"units": (4,), "num_iterations": 1},
  )
  env = FailsInTheThirdStep()
  experiment = Experiment(config, RunConfig(tolerated_share=0.4), {"name": "failing"})
  workdir = Workdir(tmp_path / "tolerated")
  # The gradients of a failed step and of those before it in the window are dropped, which is more than failed.
  summary = run(experiment._replace(run=RunConfig(tolerated_share=1.0)), env, workdir, NoProgress())
  assert summary["status"] == "finished"
  workdir = Workdir(tmp_path / "not_tolerated")
  summary = run(experiment, env, workdir, NoProgress())
  assert summary["status"] == "diverged"
  assert summary["epochs"] < 60
  (reason,) = summary["reasons"]
  assert "of the samples' gradients were not finite" in reason
  assert "of environment 0" in reason
  epoch = int(reason.split(":")[0].removeprefix("epoch "))
  step = int(reason.split("at step ")[1].split()[0])
  assert step % 3 == 0
  assert 4 * (epoch - 1) < step <= 4 * epoch
