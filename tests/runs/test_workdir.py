"""What a folder holds and what may be done with it."""

import json

import pytest

from gippo_jax.config import Config, RunConfig
from gippo_jax.errors import UserError
from gippo_jax.parsing import HISTORY, METRICS_VERSION, Experiment
from gippo_jax.runs import metrics_version
from gippo_jax.runs.summary import write_summary
from gippo_jax.runs.workdir import Workdir
from tests.summaries import make_summary

ENV = {"name": "dejong", "dimension": 1}


def experiment(num_epochs=10, **run):
  return Experiment(Config(num_epochs=num_epochs), RunConfig(**run), ENV)


@pytest.fixture
def finished(tmp_path):
  workdir = Workdir(tmp_path / "run")
  workdir.open(experiment())
  write_summary(workdir.summary, make_summary(epochs=10))
  return workdir


def test_a_field_that_was_added_since_at_its_default_makes_no_other_configuration(finished):
  values = json.loads(finished.config.read_text())
  for name in ("statistics_prior", "init_from", "plugins"):
    del values[name]
  del values["actor"]["activation"]
  finished.config.write_text(json.dumps(values))
  finished.check(experiment())
  assert finished.finished_summary(10)["status"] == "finished"
  with pytest.raises(UserError, match=r"holds a run with config\.seed = 1, asked for 2"):
    finished.check(experiment(seed=2))


def test_metrics_that_were_counted_otherwise_are_not_gone_on_with(finished):
  values = json.loads(finished.config.read_text())
  assert values.pop(METRICS_VERSION) == finished.metrics_version() == metrics_version.CURRENT
  finished.config.write_text(json.dumps(values))  # of a run before there were versions
  finished.check(experiment())
  finished.config.write_text(json.dumps(values | {METRICS_VERSION: 7}))
  with pytest.raises(UserError, match=r"metrics of version 7, those of today are of version 1"):
    finished.check(experiment())


def test_a_finished_run_may_go_on_with_more_epochs(finished):
  with pytest.raises(UserError, match="num_epochs = 10, asked for 20"):
    finished.check(experiment(20))
  finished.open(experiment(20), may_go_on=True)
  assert json.loads(finished.config.read_text())[HISTORY] == [10]
  assert finished.finished_summary(20) is None
  finished.check(experiment(20))  # interrupted, and taken up again
  with pytest.raises(UserError, match="num_epochs = 20, asked for 10"):
    finished.check(experiment(10), may_go_on=True)
  with pytest.raises(UserError, match="num_epochs = 20, asked for 30"):  # it has not finished its 20
    finished.check(experiment(30), may_go_on=True)
  write_summary(finished.summary, make_summary(epochs=20))
  finished.open(experiment(30), may_go_on=True)
  assert json.loads(finished.config.read_text())[HISTORY] == [10, 20]


def test_an_interrupted_or_diverged_run_does_not_change_its_epochs(finished):
  for status in ("interrupted", "diverged"):
    write_summary(finished.summary, make_summary(epochs=5, status=status))
    with pytest.raises(UserError, match="num_epochs = 10, asked for 20"):
      finished.check(experiment(20), may_go_on=True)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"status": "finished"}', "\0\0"])
def test_a_summary_that_cannot_be_read_counts_as_none(finished, text):
  finished.summary.write_text(text)
  assert finished.finished_summary() is None


def test_no_change_of_a_summary_is_read_in_silence(finished):
  """Broken by reading without the checksum: a digit that changes is another result in a table."""
  content = finished.summary.read_bytes()
  whole = finished.read_summary()
  for place in range(len(content)):
    for bit in (0, 3):
      damaged = bytearray(content)
      damaged[place] ^= 1 << bit
      finished.summary.write_bytes(damaged)
      assert finished.read_summary() in (None, whole)


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_a_configuration_that_cannot_be_read_is_told(finished, text):
  finished.config.write_text(text)
  with pytest.raises(UserError, match="cannot be read as a run's configuration"):
    finished.check(experiment())


def test_home_and_remote_folders(monkeypatch, tmp_path):
  monkeypatch.setenv("HOME", str(tmp_path))
  assert Workdir("~/runs/x").path == tmp_path / "runs" / "x"
  with pytest.raises(UserError, match="'gs://bucket/x' is not allowed"):
    Workdir("gs://bucket/x")


@pytest.mark.parametrize("name", ["metrics.jsonl", "summary.json", "checkpoint", "policy_seed_3.npz", "optuna.db"])
def test_a_folder_without_its_configuration_is_nobodys(tmp_path, name):
  """Broken by asking for config.json alone: a run goes on under any configuration."""
  (tmp_path / "notes.txt").write_text("mine")
  Workdir(tmp_path).check(experiment())  # a user's own files are no run
  (tmp_path / name).write_text("")
  with pytest.raises(UserError, match=f"holds {name} of a run, but not its config.json"):
    Workdir(tmp_path).check(experiment())


@pytest.mark.parametrize(
  "changes",
  [
    {"seeds": "1"},
    {"seeds": [1, 2]},
    {"epochs": 1.5},
    {"epochs": True},
    {"best_return": [None, None]},
    {"status": 3},
    {"memory_bytes": {"peak": None}},
  ],
)
def test_a_summary_of_another_form_counts_as_none(finished, changes):
  """Broken by looking for names alone: whoever uses the numbers ends in a traceback."""
  write_summary(finished.summary, make_summary() | changes)
  assert finished.read_summary() is None
