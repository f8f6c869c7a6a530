"""The environment axis over devices: the same numbers, really partitioned."""

import json
import os
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax import envs
from gippo_jax.errors import UserError
from gippo_jax.learning.sharding import spread
from gippo_jax.programs.devices import num_cores
from gippo_jax.programs.members import make_members
from gippo_jax.programs.sharded import ShardedMembers, _raw, check_divisible
from gippo_jax.runs import checkpoint as checkpoints
from gippo_jax.runs.checkpoint import Checkpoint
from gippo_jax.runs.history import History
from tests.commands import CONFIG, ROOT, check_error, command, environment_of, execute
from tests.programs.test_members import config_of

ENV = envs.make("point_mass", dimension=2, episode_length=5)
EPOCHS = 3

# Writes every number of state, metrics and evaluation.
WORKER = """
import sys, jax, numpy as np
from tests import conftest
from tests.programs.test_devices import config_of_run, numbers_of
from gippo_jax.programs.sharded import ShardedMembers, _raw
from tests.programs.test_devices import ENV, EPOCHS, check_partition
jax.config.update("jax_num_cpu_devices", 4)
assert len(jax.devices()) == 4
for algorithm in sys.argv[2:]:
  members = ShardedMembers(ENV, config_of_run(algorithm), 1, EPOCHS)
  states = members.init([3])
  members.compile(states)
  states, pending = members.launch(states, EPOCHS)
  metrics = members.fetch(pending)
  check_partition(members, states)
  np.savez(sys.argv[1] + "/" + algorithm, *numbers_of(members, states, metrics))
"""


def config_of_run(algorithm):
  return config_of(algorithm).replace(num_envs=8)


def numbers_of(members, states, metrics):
  evaluation = members.evaluate(states, 3)
  return [np.asarray(_raw(leaf)) for leaf in jax.tree.leaves((members.gather(states), metrics, evaluation))]


def check_partition(members, states):
  """Two of the eight environments on each of four devices, and no communication while they are stepped."""
  for leaf in jax.tree.leaves((states.environment, states.episode_start, states.returns.running)):
    assert leaf.shape[:2] == (1, 8)
    assert {shard.data.shape[:2] for shard in leaf.addressable_shards} == {(1, 2)}
  assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves((states.actor, states.returns.recent)))
  text = members.program_text
  assert "f64[4,2,2]" in text  # the noise of a window: steps, environments, actions
  waiting = [line for line in text.splitlines() if re.search(r" (all-\w+|collective-\w+)\(", line)]
  assert any("all-reduce" in line for line in waiting)
  # What is exchanged comes after the rollout, whose loop is the only one over batched (`vmap`) environments.
  of_rollout = re.compile(r"jit\(update\).*while/body.*vmap")
  assert of_rollout.search(text)
  assert not [line for line in waiting if of_rollout.search(line)]


def train(members, seeds):
  states = members.init(seeds)
  members.compile(states)
  states, pending = members.launch(states, EPOCHS)
  return numbers_of(members, states, members.fetch(pending))


def assert_near(actual, expected):
  assert len(actual) == len(expected) > 30
  for a, b in zip(actual, expected, strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-11)


def four_devices(tmp_path, *algorithms):
  environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
  process = subprocess.run(
    [sys.executable, "-c", WORKER, str(tmp_path), *algorithms],
    env=environment,
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=500,
    check=False,
  )
  assert process.returncode == 0, process.stderr[-4000:]


def compare(tmp_path, algorithms):
  """Four devices, against `Members`, which runs the member on one."""
  four_devices(tmp_path, *algorithms)
  for algorithm in algorithms:
    with np.load(tmp_path / f"{algorithm}.npz") as archive:
      sharded = list(archive.values())
    assert_near(sharded, train(make_members(ENV, config_of_run(algorithm), 1, EPOCHS), [3]))


@pytest.mark.slow
def test_four_devices_compute_what_one_does(tmp_path):
  compare(tmp_path, ["shac"])


@pytest.mark.slow
def test_four_devices_compute_what_one_does_for_every_algorithm(tmp_path):
  compare(tmp_path, ["gippo", "ppo", "lr", "rp", "lrp", "pe"])


def test_a_checkpoint_moves_between_arrangements(tmp_path):
  """From environments over two devices to one device and back."""
  sharded, alone = (kind(ENV, config_of_run("lr"), 1, EPOCHS) for kind in (ShardedMembers, make_members))
  states = sharded.init([3])
  before = [np.asarray(_raw(leaf)) for leaf in jax.tree.leaves(states)]
  for index, (source, target) in enumerate([(sharded, alone), (alone, sharded)]):
    folder = tmp_path / str(index)
    checkpoints.save(folder, Checkpoint(source.gather(states), 7, History(run_seconds=1.0, precision="float64")))
    restored = checkpoints.restore(folder, target.gather(target.init([4])))
    assert (restored.epoch, restored.history.run_seconds) == (7, 1.0)
    states = target.place(restored.states)
    for a, b in zip(jax.tree.leaves(states), before, strict=True):
      np.testing.assert_array_equal(_raw(a), b)
  assert len(states.environment.current.obs.addressable_shards) == 2


def test_environments_that_cannot_be_shared_out_are_refused():
  check_divisible(8, 4)
  with pytest.raises(UserError, match=r"config.num_envs: 6 .* on 4 devices; allowed: a multiple of 4"):
    check_divisible(6, 4)
  with pytest.raises(UserError, match=r"config.num_envs: 3"):
    ShardedMembers(ENV, config_of_run("lr").replace(num_envs=3), 1, EPOCHS)


def test_without_a_mesh_nothing_is_asked_for():
  text = jax.jit(lambda x: spread(x, 1)).lower(jnp.zeros((3, 4))).as_text()
  assert "sharding" not in text


def test_the_command_shards_environments(tmp_path):
  flags = (os.environ.get("XLA_FLAGS", ""), "--xla_force_host_platform_device_count=4")
  environment = environment_of(JAX_PLATFORMS="cpu", XLA_FLAGS=" ".join(flags))

  def run(*arguments):
    words = command("gippo_jax.main", f"--config={CONFIG}:ackley2", "--config.algorithm=lr", *arguments)
    return execute(environment, *words)

  common = ("--shard_environments", "--config.num_epochs=3", f"--workdir={tmp_path / 'run'}")
  refused = run(*common, "--config.num_envs=30", "--config.critic.num_minibatches=1")
  check_error(refused, "config.num_envs: 30")
  assert not (tmp_path / "run").exists()
  process = run(
    *common,
    "--config.num_envs=8",
    "--config.actor.units=(4,)",
    "--config.critic.units=(4,)",
    "--config.critic.num_iterations=1",
  )
  assert process.returncode == 0, process.stderr
  summary = json.loads((tmp_path / "run" / "summary.json").read_text())
  assert summary["status"] == "finished"
  assert summary["device"].endswith("x 4")


def test_cores_are_counted_on_systems_that_do_not_say_which_are_allowed(monkeypatch):
  """Broken by asking for the allowed ones everywhere: on macOS every command dies."""
  monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {2, 5}, raising=False)
  assert num_cores() == 2
  monkeypatch.delattr(os, "sched_getaffinity")
  monkeypatch.setattr(os, "cpu_count", lambda: 3)
  assert num_cores() == 3
  monkeypatch.setattr(os, "cpu_count", lambda: None)
  assert num_cores() == 1
