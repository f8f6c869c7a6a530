"""What a sweep trains: each member as if it ran alone, in a folder of its own."""

import csv
import json
import os
import signal
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax import envs
from gippo_jax.config import Config, RunConfig, traced
from gippo_jax.parsing import METRICS_VERSION, Experiment
from gippo_jax.programs.epochs import make_epochs, train
from gippo_jax.runs import checkpoint, metrics_version
from gippo_jax.runs.history import History
from gippo_jax.runs.policy_files import Sizes
from gippo_jax.runs.progress import NoProgress
from gippo_jax.runs.runner import Outcome
from gippo_jax.runs.workdir import Workdir
from gippo_jax.sweep.execute import Options, execute, prepare
from gippo_jax.sweep.folder import SweepFolder
from gippo_jax.sweep.pictures import draw_heat_maps, draw_parallel_coordinates
from gippo_jax.sweep.plan import group_members, make_members
from gippo_jax.sweep.results import report
from gippo_jax.sweep.space import assignments, expand
from gippo_jax.sweep.split import split
from tests.configs import ALGORITHMS
from tests.programs.test_members import EPOCHS, assert_equal, config_of
from tests.runs.test_runner import BrokenForSome
from tests.summaries import make_summary

POINT_MASS = {"name": "point_mass", "dimension": 2, "episode_length": 5}


def sweep(path, base, space, env, **options):
  """Plans and trains a sweep of one group."""
  settings = assignments(space, None, 0)
  members = make_members(expand(base, settings), settings)
  folder = SweepFolder(path, base, settings, members)
  folder.check()
  (group,) = group_members(members)
  prepared = prepare(group, env, settings, folder, Options(**options))
  folder.open(pytest.fail)
  assert execute([prepared], folder, NoProgress, lambda: None) == "finished"
  with folder.turn():
    folder.chunks.close()
  return settings, members, folder, prepared


@pytest.mark.parametrize(
  "algorithm", [pytest.param(name, marks=() if name == "lr" else pytest.mark.slow) for name in ALGORITHMS]
)
def test_a_member_equals_the_same_configuration_run_alone(tmp_path, algorithm):
  """Three settings that differ in several fields, two chunks (the second one shorter), on two devices."""
  env = envs.make(**POINT_MASS)
  base = Experiment(config_of(algorithm), RunConfig(seed=7, log_interval=1, evaluation_episodes=2), POINT_MASS)
  name = {
    "gippo": "ppo",
    "lr": "likelihood_ratio",
    "shac_model": "shac",
    "gippo_model": "ppo",
    "rp_dp": "expansion",
    "rp_dr": "expansion",
  }.get(algorithm, algorithm)
  space = {f"{name}.learning_rate": [1e-3, 2e-3, 5e-3], "critic.learning_rate": [1e-3], "discount": [0.9]}
  _, members, folder, prepared = sweep(tmp_path, base, space, env, members_per_chunk=2)
  assert (prepared.num_chunks, prepared.longest) == (2, 2)
  assert not (tmp_path / "chunks").exists()
  alone = jax.jit(lambda key, config: train(env, config, key, EPOCHS))
  curves = []
  for member in members:
    state, metrics = alone(jax.random.key(7), traced(member.experiment.config))
    workdir = folder.workdir_of(member)
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape), leaf.dtype), state)
    saved = checkpoint.restore(workdir.checkpoint, like)
    assert saved.epoch == EPOCHS
    assert_equal(jax.tree.map(lambda leaf: leaf[0], saved.states), state)
    np.testing.assert_array_equal(jax.random.key_data(saved.states.key[0]), jax.random.key_data(state.key))
    rows = [json.loads(line) for line in workdir.metrics.read_text().splitlines()]
    assert [(row["epoch"], row["seed"]) for row in rows] == [(epoch, 7) for epoch in range(1, EPOCHS + 1)]
    curves.append([row["critic_loss"] for row in rows])
    np.testing.assert_allclose(curves[-1], metrics["critic_loss"], rtol=1e-10)
    stored = json.loads(json.dumps(member.experiment.to_dict()))
    assert json.loads(workdir.config.read_text()) == stored | {METRICS_VERSION: metrics_version.CURRENT}
    assert workdir.finished_summary()["best_return"] == [pytest.approx(float(state.returns.best), rel=1e-10)]
  assert not np.allclose(curves[0], curves[1])


def test_a_member_that_diverges_is_frozen_and_the_others_go_on(tmp_path):
  """In one batch, and with what is done again when a split was killed."""
  config = Config(
    algorithm="lr",
    num_envs=2,
    horizon=4,
    num_epochs=100,
    actor={"units": (4,)},
    critic={"units": (4,), "num_iterations": 1},
  )
  experiment = Experiment(config, RunConfig(num_seeds=4, evaluation_episodes=2), {"name": "broken"})
  space = {"likelihood_ratio.learning_rate": [1e-3]}
  settings, members, folder, prepared = sweep(tmp_path, experiment, space, BrokenForSome(), arrangement="vmap")
  assert prepared.arranged.members.program.arrangement == "vmap"
  summaries = [folder.summary_of(member) for member in members]
  diverged = [summary["status"] == "diverged" for summary in summaries]
  assert sorted(set(diverged)) == [False, True]
  for member, summary, lost in zip(members, summaries, diverged, strict=True):
    assert summary["diverged"] == [lost]
    # Lost after 20 bad epochs, which is seen at the end of their chunk.
    assert 20 <= summary["epochs"] < 100 if lost else summary["epochs"] == 100
    rows = [json.loads(line) for line in folder.workdir_of(member).metrics.read_text().splitlines()]
    assert rows[-1]["epoch"] == summary["epochs"]
    assert checkpoint.latest_epoch(folder.workdir_of(member).checkpoint) == summary["epochs"]
    assert ("the critic's loss was" in (summary["reasons"][0] or "")) == lost

  results = report(folder, members, settings, "evaluation_return", "finished", ["plan"])
  (entry,) = results["settings"]
  assert (entry["seeds"], entry["diverged"]) == (diverged.count(False), diverged.count(True))
  finished = [s["evaluation_return"][0] for s, lost in zip(summaries, diverged, strict=True) if not lost]
  assert entry["evaluation_return"]["mean"] == pytest.approx(np.mean(finished))
  low, high = entry["evaluation_return"]["interval_95"]
  assert low <= entry["evaluation_return"]["mean"] <= high
  best = json.loads((folder.best / "summary.json").read_text())
  assert best["evaluation_return"] == [max(finished)]
  assert [line.split(",")[3] for line in folder.table.read_text().splitlines()[1:]] == [
    "diverged" if lost else "finished" for lost in diverged
  ]


class Interrupted(NoProgress):
  """Gets the signal that SLURM sends before a job's time is up."""

  def update(self, epoch, fields):
    os.kill(os.getpid(), signal.SIGUSR1)


@pytest.mark.slow
def test_a_signal_gives_the_chunk_back_as_it_is(tmp_path):
  """Broken by keeping the claim: who goes on has to wait until its owner counts as gone."""
  env = envs.make(**POINT_MASS)
  base = Experiment(config_of("lr"), RunConfig(seed=7, evaluation_episodes=2), POINT_MASS)
  space = {"likelihood_ratio.learning_rate": [1e-3, 2e-3, 5e-3]}
  _, members, whole, prepared = sweep(tmp_path / "whole", base, space, env, members_per_chunk=2)
  folder = SweepFolder(tmp_path / "sweep", base, assignments(space, None, 0), members)
  folder.open(pytest.fail)
  assert execute([prepared], folder, Interrupted, lambda: None) == "interrupted"
  assert [piece.owner for piece in folder.chunks.pool.pieces()] == [None, None]
  assert folder.chunks.begun_length(members) == 2
  assert not any(map(folder.summary_of, members))
  assert execute([prepared], folder, NoProgress, lambda: None) == "finished"
  for member in members:
    assert folder.summary_of(member)["best_return"] == whole.summary_of(member)["best_return"]


def test_folders_and_pictures_of_a_large_sweep_are_cheap(tmp_path):
  """72 members with 200 rows of 30 numbers each: a few seconds, of which this is a generous bound."""
  space = {"alpha.initial": [1e-5, 1e-4, 1e-3], "ppo.learning_rate": [1e-4, 1e-3, 1e-2]}
  settings = assignments(space, None, 0)
  base = Experiment(Config(), RunConfig(num_seeds=8), {"name": "dejong", "dimension": 1})
  members = make_members(expand(base, settings), settings)
  folder = SweepFolder(tmp_path, base, settings, members)
  chunk = Workdir(tmp_path / "chunk")
  chunk.path.mkdir()
  numbers = {f"number_{index}": 0.5 * index for index in range(29)} | {"missing": None, "list": [1.0, None]}
  with chunk.metrics.open("w") as file:
    for epoch in range(10, 2010, 10):
      for index, member in enumerate(members):
        row = {"member": index, "epoch": epoch, "seed": member.seed, "steps": 64 * epoch, **numbers}
        file.write(json.dumps(row) + "\n")
  env = envs.make("dejong", dimension=1)
  one = jax.jit(make_epochs(env, base.config).init)(jax.random.key(0), traced(base.config))
  states = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (72, *leaf.shape)), one)
  states = states.replace(epoch=jnp.full(72, 2000))
  scores = [-(10.0**-(member.setting)) for member in members]
  by_member = {name: scores for name in ("best_return", "final_return", "evaluation_return", "best_evaluation_return")}
  summary = make_summary(72, epochs=2000, steps=128_000, run_seconds=60.0, compile_seconds=9.0, **by_member)
  split(
    chunk,
    members,
    Outcome(states, summary, Sizes(1, 1), History(watch={"lost": [False] * 72}, hashes=[""] * 72)),
    folder.members,
  )
  results = report(folder, members, settings, "best_return", "finished", [])
  assert results["best"]["setting"] == 8
  assert results["ranking"] == list(range(8, -1, -1))
  draw_heat_maps(results, folder.heat_map)
  draw_parallel_coordinates(results, folder.parallel_coordinates)
  assert folder.heat_map.stat().st_size > 5_000
  assert folder.parallel_coordinates.stat().st_size > 5_000
  ranked = read_table(folder.parallel_coordinates)
  assert [int(row["rank"]) for row in ranked] == list(range(1, 10))
  assert [float(row["mean best_return"]) for row in ranked] == [-(10.0**-setting) for setting in range(8, -1, -1)]
  (across, down), cells = tuple(settings[0]), read_table(folder.heat_map)
  assert [(cell["across"], cell["down"]) for cell in cells] == [(across, down)] * 9
  written = {(cell["across value"], cell["down value"]): float(cell["best mean best_return"]) for cell in cells}
  assert written == {
    (str(setting[across]), str(setting[down])): -(10.0**-index) for index, setting in enumerate(settings)
  }
  events = read_events(next(folder.workdir_of(members[3]).tensorboard.glob("seed_4/events*")))
  assert events[0].file_version == "brain.Event:2"
  assert [event.step for event in events[1:]] == [64 * epoch for epoch in range(10, 2010, 10)]
  assert {value.tag for value in events[-1].summary.value} == {
    *(f"algorithm/number_{index}" for index in range(29)),
    "algorithm/list/0",
  }


def read_table(picture):
  with picture.with_suffix(".csv").open() as file:
    return list(csv.DictReader(file))


def read_events(path):
  """Records are length, its checksum, data, its checksum."""
  from tensorboardX.proto.event_pb2 import Event

  content, events = path.read_bytes(), []
  while content:
    (length,) = struct.unpack("<Q", content[:8])
    events.append(Event.FromString(content[12 : 12 + length]))
    content = content[16 + length :]
  return events
