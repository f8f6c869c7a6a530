"""PIPPS as a whole: its parts in small, and the command with what it leaves behind and what it refuses."""

import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax.envs.base import Renderable
from gippo_jax.errors import UserError
from gippo_jax.experiments.pipps import cartpole, learning, records, report, showing
from tests.commands import call, check_error, snapshot

SMALL = learning.Settings(num_trials=1, num_particles=6, horizon=2, num_updates=2)


@pytest.fixture(scope="module")
def policy():
  return cartpole.random_policy(jax.random.key(0), num_centres=5, log_scale=-1.0)


@pytest.fixture(scope="module")
def episode(policy):
  return jax.jit(lambda key: learning.play(policy, key, 8))(jax.random.key(1))


def test_the_policy_acts_on_what_is_observed(policy, episode):
  np.testing.assert_allclose(cartpole.force(policy, episode.observations[:-1]), episode.pushes, rtol=1e-12)
  np.testing.assert_allclose(cartpole.advance(episode.states[:-1], episode.pushes), episode.states[1:], rtol=1e-9)
  assert np.all(np.abs(episode.pushes) <= cartpole.LARGEST_FORCE)
  many = jax.jit(jax.vmap(lambda key: learning.play(policy, key, 8)))(jax.random.split(jax.random.key(2), 500))
  np.testing.assert_allclose(np.std(many.observations - many.states, axis=(0, 1)), cartpole.NOISE, rtol=0.05)
  np.testing.assert_allclose(np.std(many.states[:, 0], axis=0), cartpole.START_STD, rtol=0.15)


def test_the_first_trial_pushes_at_random(policy):
  pushes = jax.jit(lambda key: learning.play(policy, key, 400, is_random=True).pushes)(jax.random.key(0))
  assert np.min(pushes) < -9.0
  assert np.max(pushes) > 9.0
  assert abs(np.mean(pushes)) < 1.0


def test_the_data_are_observed_changes_and_grow_by_sizes(episode):
  recorded = learning.Recorded(horizon=8)
  for count, size in ((1, 24), (3, 24), (4, 48)):
    while sum(map(len, recorded._inputs)) < 8 * count:
      recorded.add(episode)
    data = recorded.data()
    assert data.inputs.shape == (size, 5)
    assert np.sum(data.used) == 8 * count
  np.testing.assert_allclose(data.inputs[:8, :4], episode.observations[:-1])
  np.testing.assert_allclose(data.inputs[:8, 4] * cartpole.LARGEST_FORCE, episode.pushes)
  np.testing.assert_allclose(data.inputs[:8, :4] + data.targets[:8], episode.observations[1:])


def test_upright_is_all_through_the_last_half_second():
  states = np.zeros((4, 31, 4))
  states[0, :25, 1] = np.pi  # upright in time
  states[1, 28, 1] = 0.6  # falls over
  states[2, -1, 1] = 2.0 * np.pi  # upright after a turn, which the cost does not take for upright
  assert learning.upright_share(states) == 0.5


def test_updates_move_the_policy_by_about_the_rate(policy):
  recorded = learning.Recorded(horizon=2)
  recorded.add(jax.jit(lambda key: learning.play(policy, key, 6, is_random=True))(jax.random.key(0)))
  programs = learning.programs_of(SMALL)
  moved, costs = programs.improve(policy, programs.fit(recorded.data()), jax.random.key(1))
  assert costs.shape == (2,)
  assert np.all(np.isfinite(costs))
  change = jax.tree.map(lambda new, old: np.max(np.abs(new - old)), moved, policy)
  assert all(0.0 < size < 0.05 for size in change)


def record_of(**fields):
  trials = [{"trial": 1, "cost": 20.0}, {"trial": 2, "cost": fields.pop("cost", 10.0)}]
  policy = cartpole.random_policy(jax.random.key(0), num_centres=3)._asdict()
  record = {
    "settings": {"estimator": "tp", "horizon": 30},
    "seed": 0,
    "solved": 2,
    "trials": trials,
    "policy": {name: np.asarray(leaf).tolist() for name, leaf in policy.items()},
    "seconds": 40.0,
    "processor_seconds": 30.0,
  }
  return record | fields


def test_the_table_counts_what_swung_up():
  found = [record_of(), record_of(solved=None, cost=9.0, seed=1)]
  (row,) = report.table(found).splitlines()[2:]
  assert row == "| TP | 1 of 2 | 2, - | 10.0, 9.0 | 80 | 60 |"
  assert report.best_of(found)["seed"] == 0
  assert report.title_of(found[0]) == "PIPPS, TP, seed 0, after 2 trials"


def test_a_page_plays_the_policy_between_its_pushes():
  record = record_of()
  trajectory = report.show(record)
  assert len(trajectory.rewards) == 500
  assert isinstance(showing.Shown(), Renderable)
  scene = json.loads(
    re.search(r'<script id="scene"[^>]*>(.*?)</script>', showing.Shown().page(trajectory, "t"), re.S)[1]
  )
  assert scene["timeStep"] == 0.01
  assert len(scene["cart"]["x"]) == len(scene["rewards"]) + 1 == 501
  episode = learning.play(showing.policy_of(record), jax.random.key(0), 50)
  np.testing.assert_allclose(trajectory.states.physics.position[::10], episode.states[:, 0], rtol=1e-9)
  # The tip's side: with an angle of the physics that grows from upright, the tip moves against the cart's direction.
  np.testing.assert_allclose(trajectory.states.physics.angle[::10], -episode.states[:, 1], rtol=1e-9)
  np.testing.assert_allclose(np.sum(trajectory.rewards[9::10]) * 10.0, -np.sum(cartpole.cost(episode.states[1:])))


def test_a_run_is_read_again_and_says_what_does_not_fit(tmp_path):
  settings = SMALL
  path = tmp_path / "tp_seed_0.json"
  record = record_of(settings=vars(settings))
  path.write_text(json.dumps(record))
  told = []
  assert records.learned(settings, 0, tmp_path, told.append) == record
  assert told == ["tp, seed 0: from tp_seed_0.json"]
  other = dataclasses.replace(settings, num_trials=2)
  with pytest.raises(UserError, match=r"was learned with num_trials 1, not 2; allowed: the same settings, or another"):
    records.learned(other, 0, tmp_path, told.append)
  path.write_text(path.read_text()[:50])
  with pytest.raises(UserError, match=r"tp_seed_0\.json is damaged; allowed: remove it"):
    records.learned(settings, 0, tmp_path, told.append)


def test_the_command_leaves_runs_a_table_a_picture_and_a_page(run, tmp_path):
  """One run is there already, the other is learned."""
  out, docs = tmp_path / "out", tmp_path / "docs"
  for folder in (out, docs):
    folder.mkdir()
  (docs / "methods_pipps.md").write_text("before\n<!-- begin pipps -->\n<!-- end pipps -->\nafter\n")
  (out / "tp_seed_0.json").write_text(json.dumps(record_of(settings=vars(SMALL))))
  before = snapshot(out)
  words = ("--estimators=tp,gr", "--seeds=1", "--trials=1", "--particles=6", "--horizon=2", "--updates=2")
  process = run("experiments.pipps", *words, f"--out={out}", f"--docs={docs}")
  assert process.returncode == 0, process.stderr
  assert "tp, seed 0: from tp_seed_0.json" in process.stdout
  assert "gr, seed 0, trial 1: cost" in process.stdout
  after = snapshot(out)
  assert {path.name for path in after} >= {"gr_seed_0.json", "pipps.md", "pipps.png", "pipps.svg", "swing_up.html"}
  assert all(after[path] == when for path, when in before.items())
  assert "| TP | 1 of 1 | 2 |" in (docs / "methods_pipps.md").read_text()
  made = {path.name for path in (docs / "images").iterdir()}
  assert made == {"pipps.png", "pipps.svg", "pipps.csv", "pipps_swing_up.gif"}
  assert all("policy" not in record for record in json.loads((docs / "pipps.json").read_text()))


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (("--particles=1",), "--particles: 1 is not allowed; allowed: even numbers of at least 6"),
    (("--horizon=1",), "--horizon: 1 is not allowed; allowed: at least 2"),
  ],
)
def test_errors_end_in_one_line(arguments, message, tmp_path):
  check_error(call("experiments.pipps", *arguments, f"--out={tmp_path / 'out'}"), message)
  assert not (tmp_path / "out").exists()


def test_a_kernel_matrix_that_no_jitter_helps_ends_the_run(monkeypatch):
  broken = learning.programs_of(SMALL)._replace(
    fit=lambda data: learning.gp.condition(
      jax.tree.map(lambda leaf: leaf * jnp.nan, learning.gp.initial_hyperparameters(data)), data
    )
  )
  monkeypatch.setattr(learning, "programs_of", lambda settings: broken._replace(fit=jax.jit(broken.fit)))
  with pytest.raises(UserError, match="kernel matrix of output 0: not positive definite"):
    learning.learn(SMALL, 0, lambda line: None)


@pytest.mark.slow
def test_it_learns_to_swing_the_pole_up():
  record = learning.learn(learning.Settings(num_trials=10), 0, lambda line: None)
  assert record["solved"] is not None
  assert record["trials"][-1]["cost"] < 20.0
