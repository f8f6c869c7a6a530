"""What hears of a run: the files, a table, a tracker, a user's own; and that no start repeats a row."""

import csv
import json
import sys
import types

import numpy as np
import pytest

from gippo_jax.config import Config, RunConfig
from gippo_jax.errors import UserError
from gippo_jax.parsing import Experiment
from gippo_jax.runs.ended import tell_ended
from gippo_jax.runs.files import Failures
from gippo_jax.runs.loggers import Guarded, Logger, Start, require_loggers
from gippo_jax.runs.recording import Recorder
from gippo_jax.runs.rows import read_rows, resume_rows
from gippo_jax.runs.sinks import CsvFile, RowsFile
from gippo_jax.runs.tracking import Tracker, read_mark, tracker_of
from gippo_jax.runs.workdir import Workdir
from tests.summaries import make_summary

SEEDS = [3, 4]


class FakeModule(types.ModuleType):
  """wandb's three calls; keeps what it hears."""

  def __init__(self, error=None):
    super().__init__("fake")
    self.begun, self.heard, self.ended, self._error = [], [], 0, error

  def init(self, **arguments):
    if self._error:
      raise self._error
    self.begun.append(arguments)

  def log(self, numbers, step):
    self.heard.append((step, numbers))

  def finish(self):
    self.ended += 1


@pytest.fixture
def wandb(monkeypatch):
  module = FakeModule()
  monkeypatch.setitem(sys.modules, "wandb", module)
  return module


def start_of(folder, epoch=0, tell=print, seeds=SEEDS):
  return Start(folder, "a_label", {"algorithm": "lr"}, list(seeds), epoch, steps_per_epoch=10, tell=tell)


def record(folder, epochs, loggers=(), epoch=0, tell=print, seeds=SEEDS):
  """A start that makes so many epochs and is killed: rows of these epochs, nothing at the end."""
  workdir = Workdir(folder)
  resume_rows(workdir, list(seeds), np.full(len(seeds), epoch), epoch, 1, tell)
  recorder = Recorder([RowsFile(Failures(tell)), *loggers], start_of(folder, epoch, tell, seeds), log_interval=1)
  shape = (len(seeds), epochs)
  done = np.broadcast_to(np.arange(epoch + 1, epoch + epochs + 1), shape)
  metrics = {
    "return": np.where(done == 1, np.nan, -0.5 * done),
    "episodes": done,
    "age": np.stack([done, 2.0 * done], axis=-1),
  }
  recorder.write(epoch, metrics, 100.0, 50, np.zeros(len(seeds), bool))
  return recorder


def table(folder):
  with (folder / "metrics.csv").open() as file:
    return list(csv.DictReader(file))


def as_table(row):
  wide = {name: value for name, value in row.items() if not isinstance(value, list)}
  wide |= {
    f"{name}/{index}": entry
    for name, value in row.items()
    if isinstance(value, list)
    for index, entry in enumerate(value)
  }
  return {name: "" if value is None else str(value) for name, value in wide.items()}


def test_the_table_holds_the_rows(tmp_path):
  record(tmp_path, 5, [CsvFile()])
  assert [(row["epoch"], row["seed"]) for row in read_rows(Workdir(tmp_path))][:3] == [(1, 3), (1, 4), (2, 3)]
  assert table(tmp_path) == [as_table(row) for row in read_rows(Workdir(tmp_path))]
  assert table(tmp_path)[0]["return"] == ""
  assert table(tmp_path)[2]["age/1"] == "4.0"


def test_a_start_that_goes_back_repeats_no_row(tmp_path):
  record(tmp_path, 5, [CsvFile()])
  record(tmp_path, 6, [CsvFile()], epoch=2)  # the last checkpoint was of epoch 2
  assert [row["epoch"] for row in table(tmp_path) if row["seed"] == "3"] == [str(epoch) for epoch in range(1, 9)]
  assert table(tmp_path) == [as_table(row) for row in read_rows(Workdir(tmp_path))]


def test_a_table_asked_for_late_is_whole(tmp_path):
  record(tmp_path, 2)
  record(tmp_path, 1, [CsvFile()], epoch=2)
  assert [row["epoch"] for row in table(tmp_path)] == ["1", "1", "2", "2", "3", "3"]
  (tmp_path / "metrics.csv").unlink()
  experiment = Experiment(Config(), RunConfig(), {"name": "dejong"})
  tell_ended(Workdir(tmp_path), experiment, make_summary(2, seeds=SEEDS, epochs=3), [CsvFile()], pytest.fail)
  assert list(table(tmp_path)[0]) == [
    *("epoch", "seed", "steps", "steps_per_second", "return", "episodes", "age/0", "age/1")
  ]
  assert len(table(tmp_path)) == 6


def test_a_new_column_is_added_to_the_lines_before(tmp_path):
  file = CsvFile()
  file.begin(start_of(tmp_path))
  file.log([{"epoch": 1, "seed": 3, "loss": 0.5}])
  file.log([{"epoch": 2, "seed": 3, "alpha": 1.0}, {"epoch": 3, "seed": 3, "loss": float("inf"), "alpha": 2.0}])
  assert [list(row.values()) for row in table(tmp_path)] == [
    ["1", "3", "0.5", ""],
    ["2", "3", "", "1.0"],
    ["3", "3", "", "2.0"],
  ]


def test_a_tracker_hears_every_epoch_once(tmp_path, wandb):
  record(tmp_path, 5, [Tracker("wandb", "pendulum")])
  recorder = record(tmp_path, 6, [Tracker("wandb", "pendulum")], epoch=2)
  recorder.finish(make_summary(2, seeds=SEEDS, steps=80, evaluation_return=[-1.5, float("nan")]))
  first, second = wandb.begun
  assert first == second
  assert (first["project"], first["resume"], first["name"]) == ("pendulum", "allow", tmp_path.name)
  assert first["config"] == {"algorithm": "lr"}
  *rows, (last_step, last) = wandb.heard
  assert [step for step, _ in rows] == [10 * epoch for epoch in range(1, 9)]
  assert rows[0][1] == {
    **{"epoch": 1.0, "seed_3/return/episodes": 1.0, "seed_4/return/episodes": 1.0},
    **{f"seed_{seed}/algorithm/age/{index}": index + 1.0 for seed in SEEDS for index in (0, 1)},
  }
  assert rows[1][1]["seed_3/return/mean"] == -1.0
  assert last_step == 80
  assert last == {"seed_3/evaluation/final": -1.5, "seed_3/evaluation/best": 0.0, "seed_4/evaluation/best": 0.0}
  assert wandb.ended == 1


def test_a_tracker_asked_for_late_hears_the_rows_before(tmp_path, wandb):
  record(tmp_path, 3, seeds=[3])
  record(tmp_path, 2, [Tracker("wandb")], epoch=3, seeds=[3])
  assert [step for step, _ in wandb.heard] == [10, 20, 30, 40, 50]
  assert wandb.heard[1][1]["return/mean"] == -1.0


def test_a_folder_goes_on_with_its_tracker(tmp_path, wandb, monkeypatch):
  assert tracker_of(tmp_path, None, None) is None
  record(tmp_path, 1, [tracker_of(tmp_path, "wandb", "pendulum")])
  mark = read_mark(tmp_path)
  assert (mark.tracker, mark.project, mark.epoch) == ("wandb", "pendulum", 1)
  record(tmp_path, 1, [tracker_of(tmp_path, None, None)], epoch=1)
  assert [arguments["id"] for arguments in wandb.begun] == [mark.run] * 2
  assert tracker_of(tmp_path, "none", None) is None
  # Another tracker begins a run of its own, and hears everything.
  trackio = FakeModule()
  monkeypatch.setitem(sys.modules, "trackio", trackio)
  record(tmp_path, 1, [tracker_of(tmp_path, "trackio", None)], epoch=2)
  assert [step for step, _ in trackio.heard] == [10, 20, 30]
  (arguments,) = trackio.begun
  assert arguments["name"].startswith(f"{tmp_path.name}-")
  assert arguments.keys() == {"project", "config", "resume", "name"}
  (tmp_path / "tracker.json").write_text('{"tracker": 3}')
  assert read_mark(tmp_path) is None


def test_trackers_that_cannot_be_had(tmp_path, monkeypatch):
  with pytest.raises(UserError, match="--tracker: 'mlflow' is unknown; allowed: wandb, trackio, none"):
    Tracker("mlflow")
  monkeypatch.setitem(sys.modules, "trackio", None)
  with pytest.raises(UserError, match=r'trackio is not installed: pip install "gippo_jax\[trackio\]"'):
    Tracker("trackio")
  monkeypatch.setitem(sys.modules, "wandb", FakeModule(RuntimeError("No API key\nmore")))
  with pytest.raises(UserError, match=r"wandb.init raised RuntimeError: No API key; allowed: .* --tracker=none"):
    Tracker("wandb").begin(start_of(tmp_path))


class Own(Logger):
  """Only what it cares for."""

  def __init__(self, fails_at=None):
    self.epochs, self._fails_at = [], fails_at

  def log(self, rows):
    if self._fails_at is not None and rows[-1]["epoch"] >= self._fails_at:
      raise ZeroDivisionError("what a pity")
    self.epochs += [row["epoch"] for row in rows]


def test_a_loggers_fault_does_not_end_the_run(tmp_path):
  told, good, bad = [], Own(), Own(fails_at=2)
  loggers = [Guarded(bad, told.append), Guarded(good, told.append)]
  record(tmp_path, 1, loggers, tell=told.append)
  recorder = record(tmp_path, 2, loggers, epoch=1, tell=told.append)
  recorder.sync()
  recorder.finish(make_summary(2))
  assert told == ["Own.log raised ZeroDivisionError: what a pity; it hears no more of this run"]
  assert good.epochs == [1, 1, 2, 2, 3, 3]
  assert bad.epochs == [1, 1]


def test_what_is_no_logger_is_refused():
  require_loggers([Own(), CsvFile()])
  with pytest.raises(UserError, match="which has no begin, log, sync, finish; allowed: objects with begin"):
    require_loggers([print])
  with pytest.raises(UserError, match="a class; allowed: objects"):
    require_loggers([Own])


def test_rows_are_strict_json(tmp_path):
  record(tmp_path, 1)
  (line, _) = (tmp_path / "metrics.jsonl").read_text().splitlines()
  assert json.loads(line)["return"] is None
