"""The loop on the host: what fails around it, how it ends, and that it can be done again bit for bit."""

import csv
import dataclasses
import functools
import json
import signal
import struct

import jax.numpy as jnp
import numpy as np
import pytest

from gippo_jax import envs
from gippo_jax.config import RunConfig
from gippo_jax.errors import UserCodeError, UserError
from gippo_jax.parsing import Experiment
from gippo_jax.programs import evaluation
from gippo_jax.programs.members import make_members
from gippo_jax.runs import checkpoint as checkpoints
from gippo_jax.runs.arrays import named_leaves, read_arrays, write_arrays
from gippo_jax.runs.lock import locked
from gippo_jax.runs.loggers import Logger
from gippo_jax.runs.progress import NoProgress
from gippo_jax.runs.rows import read_rows
from gippo_jax.runs.runner import run
from gippo_jax.runs.sinks import CsvFile
from gippo_jax.runs.stored import open_run
from gippo_jax.runs.verification import verify
from gippo_jax.runs.workdir import Workdir
from tests.configs import ALGORITHMS, config_of

ENV = {"name": "point_mass", "dimension": 2, "episode_length": 5}


def experiment_of(algorithm="lr", num_epochs=30, **options):
  small = {"units": (4,)}
  config = config_of(
    algorithm,
    num_envs=4,
    horizon=4,
    num_epochs=num_epochs,
    actor=small,
    critic=small | {"num_iterations": 2},
    ppo={"minibatch_size": 8, "num_passes": 1},
  )
  return Experiment(config, RunConfig(num_seeds=2, evaluation_episodes=4, **options), ENV)


def environment():
  return envs.make(**ENV)


class Listener(NoProgress):
  """Does something after so many chunks."""

  def __init__(self, after=-1, act=lambda: None):
    self.notes, self.updates, self._after, self._act = [], 0, after, act

  def note(self, text):
    self.notes.append(text)

  def update(self, epoch, fields):
    self.updates += 1
    if self.updates == self._after:
      self._act()


@functools.cache
def compiled(algorithm="lr"):
  """Members of `experiment_of`, compiled once for all tests."""
  members = make_members(environment(), experiment_of(algorithm).config, 2)
  members.compile(members.abstract_states())
  return members


def train(path, experiment=None, progress=None, loggers=()):
  experiment = experiment or experiment_of()
  make = lambda *_: compiled(experiment.config.algorithm)  # noqa: E731
  return run(experiment, environment(), Workdir(path), progress or Listener(), make, loggers=loggers)


def leaves_of(path):
  return {name: leaf.array.tobytes() for name, leaf in read_arrays(checkpoints.latest(path / "checkpoint"))[0].items()}


def interrupt():
  signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize(
  "algorithm", [pytest.param(name, marks=() if name in ("lr", "gippo") else pytest.mark.slow) for name in ALGORITHMS]
)
def test_trained_again_or_interrupted_a_run_is_the_same_bit_for_bit(tmp_path, algorithm):
  """Broken by a key that is not in the checkpoint: the resumed one differs. Also: `verify` says so of each."""
  experiment = experiment_of(algorithm)
  whole = train(tmp_path / "whole", experiment)
  again = train(tmp_path / "again", experiment)
  stopped = train(tmp_path / "stopped", experiment, Listener(2, interrupt))
  assert (stopped["status"], stopped["epochs"]) == ("interrupted", 10)
  resumed = train(tmp_path / "stopped", experiment)
  assert (whole["starts"], resumed["starts"]) == (1, 2)
  assert leaves_of(tmp_path / "whole") == leaves_of(tmp_path / "again") == leaves_of(tmp_path / "stopped")
  assert whole["state_hashes"] == again["state_hashes"] == resumed["state_hashes"]
  assert len(set(whole["state_hashes"])) == 2
  rows = [
    [
      {**json.loads(line), "steps_per_second": 0}
      for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()
    ]
    for name in ("whole", "again", "stopped")
  ]
  assert rows[0] == rows[1] == rows[2]
  stored = open_run(tmp_path / "stopped")
  for from_start, first in ((False, 10), (True, 0)):
    verdict = verify(stored, compiled(algorithm), NoProgress(), from_start)
    assert (verdict.first, verdict.last, verdict.difference) == (first, 30, None)
    assert verdict.compared == (4 if first else 8)


def test_verify_names_the_first_difference(tmp_path):
  """Broken by comparing nothing: a changed array and a changed row go unseen."""
  experiment = experiment_of()
  train(tmp_path, experiment)
  file = checkpoints.latest(tmp_path / "checkpoint")
  leaves, metadata = read_arrays(file)
  name = "states/value_statistics/mean"
  changed = leaves[name]._replace(array=np.nextafter(leaves[name].array, np.inf))
  write_arrays(file, leaves | {name: changed}, metadata)
  assert verify(open_run(tmp_path), compiled(), NoProgress()).difference == f"epoch 30: array {name}"
  lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
  row = json.loads(lines[4])
  row["critic_loss"] *= 1 + 1e-12
  (tmp_path / "metrics.jsonl").write_text("\n".join([*lines[:4], json.dumps(row), *lines[5:]]) + "\n")
  verdict = verify(open_run(tmp_path), compiled(), NoProgress())
  assert verdict.difference == "epoch 20, seed 1: metric critic_loss"


def test_what_cannot_be_evaluated_is_told_before_the_training(tmp_path, monkeypatch):
  """Broken by tracing it at the end: 30 epochs are trained first."""

  def fails(*_):
    raise TypeError("body_fun output and input must have identical types")

  monkeypatch.setattr("gippo_jax.programs.program.continue_episodes", fails)
  progress = Listener()
  with pytest.raises(UserCodeError, match="'point_mass' cannot be evaluated: TypeError: body_fun"):
    run(experiment_of(), environment(), Workdir(tmp_path), progress)
  assert progress.updates == 0


def test_an_interrupted_run_evaluates_nothing(tmp_path, monkeypatch):
  """Broken by evaluating whatever was trained: a job that is to end at once spends its grace on it."""
  monkeypatch.setattr("gippo_jax.programs.members.run_to_end", lambda *_: pytest.fail("evaluated"))
  summary = train(tmp_path, progress=Listener(1, interrupt))
  assert summary["status"] == "interrupted"
  written = json.loads((tmp_path / "summary.json").read_text())
  assert written["evaluation_return"] == written["best_evaluation_return"] == [None, None]
  assert written["evaluation_failed"] == [0, 0]
  assert Workdir(tmp_path).read_summary()["status"] == "interrupted"


@dataclasses.dataclass(frozen=True)
class Endless:
  """A point mass whose episodes have 10^9 steps."""

  inner = envs.make("point_mass", dimension=1)
  observation_size = 2
  action_size = 1
  episode_length = 10**9
  differentiable = True

  def reset(self, key):
    return self.inner.reset(key)

  def step(self, state, action):
    reached = self.inner.step(state, action)
    return reached.replace(terminated=jnp.zeros_like(reached.reward), truncated=jnp.zeros_like(reached.reward))


def test_a_long_evaluation_hears_signals(tmp_path, monkeypatch):
  """Broken by one program for all steps: nothing is heard until the last of 10^9."""
  slices = []
  advance = evaluation.run_to_end

  def counted(step, episodes, stop):
    def one(now):
      slices.append(None)
      if len(slices) == 3:
        interrupt()
      return step(now)

    return advance(one, episodes, stop)

  monkeypatch.setattr("gippo_jax.programs.members.run_to_end", counted)
  summary = run(experiment_of(num_epochs=2), Endless(), Workdir(tmp_path), Listener())
  assert (summary["status"], summary["epochs"], len(slices)) == ("interrupted", 2, 3)


def test_a_checkpoint_that_cannot_be_written_does_not_end_the_run(tmp_path):
  """Broken by letting the error through: the run ends with it."""
  progress = Listener(1, lambda: (tmp_path / "checkpoint").write_text("a file"))
  summary = train(tmp_path, progress=progress)
  assert (summary["status"], summary["failed_writes"]) == ("finished", 1)
  assert any("checkpoint cannot be written" in note and "is of epoch 0" in note for note in progress.notes)


def test_rows_that_cannot_be_written_do_not_end_the_run(tmp_path):
  progress = Listener(1, lambda: (tmp_path / "metrics.jsonl").mkdir())
  with pytest.raises(UserError, match=r"metrics\.jsonl cannot be read"):  # the curve is drawn from the rows in the end
    train(tmp_path, progress=progress)
  assert checkpoints.latest_epoch(tmp_path / "checkpoint") == 30
  (tmp_path / "metrics.jsonl").rmdir()
  progress = Listener()
  assert train(tmp_path, progress=progress)["status"] == "finished"


def test_output_that_nobody_reads_does_not_end_the_run(tmp_path):
  class Gone(NoProgress):
    def update(self, epoch, fields):
      raise BrokenPipeError

    def note(self, text):
      raise OSError(28, "No space left on device")

  assert train(tmp_path, progress=Gone())["status"] == "finished"


def test_a_folder_that_is_written_is_refused(tmp_path):
  """Broken by not locking: the second run goes on from the first one's checkpoint, beside it."""
  with locked(tmp_path), pytest.raises(UserError, match="is being written by process"):
    train(tmp_path)
  assert sorted(file.name for file in tmp_path.iterdir()) == []
  assert train(tmp_path)["status"] == "finished"


def test_goodput_is_the_share_of_all_starts(tmp_path):
  first = train(tmp_path, progress=Listener(2, interrupt))
  summary = train(tmp_path)
  assert summary["starts"] == 2
  assert summary["processor_seconds"] > first["processor_seconds"] > 0
  assert summary["goodput"] == pytest.approx(summary["run_seconds"] / summary["wall_seconds"])
  assert 0 < summary["goodput"] < 1


def test_events_are_in_their_file_when_the_chunk_is(tmp_path):
  """Broken by a thread that flushes every 30 s: a kill loses what it has not written."""
  sizes = []

  def look():
    sizes.append([file.stat().st_size for file in (tmp_path / "tensorboard").rglob("*tfevents*")])

  train(tmp_path, experiment_of(log_interval=1), Listener(3, look))
  assert len(sizes[0]) == 2
  assert all(size > 1000 for size in sizes[0])
  events = events_in(tmp_path / "tensorboard" / "seed_1")
  assert [event.step for event in events if event.summary.value] == [16 * epoch for epoch in range(1, 31)]
  recorded = [value.simple_value for event in events for value in event.summary.value if value.tag == "critic/loss"]
  rows = [row["critic_loss"] for row in read_rows(Workdir(tmp_path)) if row["seed"] == 1]
  np.testing.assert_allclose(recorded, rows, rtol=1e-6)


def events_in(folder):
  """All events, their checksums compared as TensorBoard does."""
  from tensorboardX.proto.event_pb2 import Event
  from tensorboardX.record_writer import masked_crc32c

  (file,) = folder.iterdir()
  content, events = file.read_bytes(), []
  while content:
    (length,), (of_length,) = struct.unpack("<Q", content[:8]), struct.unpack("<I", content[8:12])
    data, (of_data,) = content[12 : 12 + length], struct.unpack("<I", content[12 + length : 16 + length])
    assert (masked_crc32c(content[:8]), masked_crc32c(data)) == (of_length, of_data)
    events.append(Event.FromString(data))
    content = content[16 + length :]
  assert events[0].file_version == "brain.Event:2"
  return events


def test_a_state_of_another_shape_is_refused(tmp_path):
  experiment = experiment_of()
  train(tmp_path, experiment)
  file = checkpoints.latest(tmp_path / "checkpoint")
  leaves, metadata = read_arrays(file)
  other = {"states/returns/recent": named_leaves({"x": jnp.zeros((2, 7))})["x"]}
  write_arrays(file, leaves | other, metadata)
  with pytest.raises(UserError, match=r"states/returns/recent is float64\[2, 7\], float64\[2, 100\] was expected"):
    train(tmp_path, experiment)


class Hearer(Logger):
  """Keeps all that it hears."""

  def __init__(self):
    self.starts, self.rows, self.synced, self.summaries = [], [], 0, []

  def begin(self, start):
    self.starts.append(start)

  def log(self, rows):
    self.rows += rows

  def sync(self):
    self.synced += 1

  def finish(self, summary):
    self.summaries.append(summary)


class Killed(Exception):
  pass


def test_loggers_hear_of_a_run_that_is_killed_and_goes_on(tmp_path):
  def kill():
    raise Killed

  hearer, experiment = Hearer(), experiment_of(log_interval=1, checkpoint_seconds=1000)
  with pytest.raises(Killed):
    train(tmp_path, experiment, Listener(3, kill), [CsvFile(), hearer])
  assert hearer.summaries == []
  heard = len(hearer.rows)
  assert heard > 0
  summary = train(tmp_path, experiment, loggers=[hearer])  # the table is kept up to date unasked
  assert [start.epoch for start in hearer.starts] == [0, 0]
  assert hearer.starts[1].config["algorithm"] == "lr"
  assert [row["epoch"] for row in hearer.rows[heard:] if row["seed"] == 1] == list(range(1, 31))
  assert hearer.synced >= 1
  assert hearer.summaries == [summary]
  with (tmp_path / "metrics.csv").open() as file:
    table = list(csv.DictReader(file))
  assert [(int(row["epoch"]), int(row["seed"])) for row in table] == [
    (row["epoch"], row["seed"]) for row in read_rows(Workdir(tmp_path))
  ]
  assert len(table) == 60
