"""The host's side of a run: what becomes of a member that diverges."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np

import envs
from gippo_jax.config import Config, RunConfig
from gippo_jax.parsing import Experiment
from gippo_jax.progress import NoProgress
from gippo_jax.runner import run
from gippo_jax.workdir import Workdir


@dataclasses.dataclass(frozen=True)
class BrokenForSome:
  """A point mass that, by the draw of its first start, pays NaN for good."""

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
    reward = jnp.where(broken, jnp.nan, state.reward)
    return state.replace(physics=(state.physics, broken), reward=reward, terminated=jnp.zeros_like(reward))


def test_a_seed_that_diverges_is_recorded_and_the_others_finish(tmp_path):
  base = Config()
  config = base.replace(
    algorithm="lr",
    num_envs=2,
    horizon=4,
    num_epochs=30,
    actor=base.actor.replace(units=(4,)),
    critic=base.critic.replace(units=(4,), num_iterations=1),
  )
  env = BrokenForSome()
  experiment = Experiment(config, RunConfig(num_seeds=4), {"name": "broken"})
  workdir = Workdir(tmp_path)
  workdir.open(experiment.to_dict())
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
  assert np.all(np.isfinite([row["critic_loss"] for row in rows if row["critic_loss"] is not None]))
