"""Storages of studies: which there are, and several processes on one study."""

import contextlib
import csv
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from gippo_jax.errors import UserError
from gippo_jax.runs.owners import Owner
from gippo_jax.runs.workdir import Workdir
from gippo_jax.tune.opening import open_study
from gippo_jax.tune.storage import Storage, opened, parse_storage
from gippo_jax.tune.study import Options
from gippo_jax.tune.workers import Workers
from tests.commands import CONFIG, ROOT, call, check_error, command
from tests.tune.test_study import RATE, experiment_of, space_of

optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.mark.parametrize(
  ("text", "storage"),
  [
    ("journal:runs/a.log", Storage("journal", "runs/a.log")),
    ("sqlite:///runs/a.db", Storage("sqlite", "runs/a.db")),
    ("sqlite:////runs/a.db", Storage("sqlite", "/runs/a.db")),
    ("postgresql://me:secret@host/db", Storage("database", "postgresql://me:secret@host/db")),
    ("mysql+pymysql://me@host/db", Storage("database", "mysql+pymysql://me@host/db")),
  ],
)
def test_storages_are_read(text, storage):
  assert parse_storage(text) == storage
  assert storage.is_shared == (storage.kind != "sqlite")


@pytest.mark.parametrize("text", ["", "journal:", "redis://host", "runs/a.db", "sqlite", "moon://x", "sqlite://"])
def test_an_unknown_storage_lists_the_known_ones(text):
  with pytest.raises(UserError, match=r"--storage: .*allowed: sqlite:///PATH, journal:PATH, or a database's URL"):
    parse_storage(text)


@given(st.sampled_from(["", "journal:", "sqlite://", "mysql://", "mysql+", "postgresql://a:b@"]), st.text())
def test_any_text_is_read_or_refused_in_words(scheme, rest):
  with contextlib.suppress(UserError):
    assert parse_storage(scheme + rest).kind in ("sqlite", "journal", "database")


def test_a_database_without_its_driver_names_what_to_install(monkeypatch):
  monkeypatch.setitem(sys.modules, "psycopg2", None)
  storage = parse_storage("postgresql+psycopg2://me@host/db")
  with pytest.raises(UserError, match="needs psycopg2: pip install psycopg2-binary"), opened(storage):
    pytest.fail("opened")


def test_sqlite_is_for_one_process(tmp_path):
  storage = parse_storage(f"sqlite:///{tmp_path}/a.db")
  one = "SQLite is for one process at a time, several need journal:PATH"
  with opened(storage), pytest.raises(UserError, match=one), opened(storage):
    pytest.fail("opened twice")
  with opened(storage):
    pass


@pytest.mark.parametrize("content", [b"mine\n", b"[1]\n", b"3", b"\xff", b"{}\n"])
def test_what_is_no_journal_is_refused(tmp_path, content):
  """Broken by leaving it to Optuna, which appends to whatever file there is."""
  (tmp_path / "a.log").write_bytes(content)
  storage = parse_storage(f"journal:{tmp_path}/a.log")
  with pytest.raises(UserError, match="is not a journal"), opened(storage):
    pytest.fail("opened")
  assert (tmp_path / "a.log").read_bytes() == content


def test_a_storage_s_study_of_another_kind_is_refused(tmp_path):
  space, storage = space_of(tmp_path, RATE), parse_storage(f"journal:{tmp_path}/a.log")
  options = Options(4, 1, storage=storage)

  def open_with(name, experiment, space, options):
    with open_study(Workdir(tmp_path / name), experiment, space, options) as study:
      return study.study_name

  assert open_with("first", experiment_of(), space, options) == open_with("again", experiment_of(), space, options)
  with pytest.raises(
    UserError, match=r"has config\.num_epochs = 30, asked for 40; allowed: the same .*another --study"
  ):
    open_with("second", experiment_of(num_epochs=40), space, options)
  with pytest.raises(UserError, match=r"has config\.tune\.sampler_seed = 0, asked for 1"):
    open_with("third", experiment_of(), space, dataclasses.replace(options, sampler_seed=1))
  with pytest.raises(UserError, match="has another space"):
    open_with("fourth", experiment_of(), space_of(tmp_path, RATE + "\n"), options)
  assert open_with("fifth", experiment_of(num_epochs=40), space, dataclasses.replace(options, name="other")) == "other"


class TestWorkers:
  """Of one study in memory, which stands for a shared one."""

  @pytest.fixture
  def study(self):
    return optuna.create_study(direction="maximize")

  def states(self, study):
    return [trial.state for trial in study.get_trials()]

  def test_of_two_last_trials_asked_for_at_once_one_stays(self, study):
    """Broken by counting before asking: both see room for one more, and the study has one too many."""
    first, second = Workers(study, alone=False), Workers(study, alone=False)
    asked = [first.ask(2), second.ask(2), first.ask(2), second.ask(2)]
    assert [trial is not None for trial in asked] == [True, True, False, False]
    assert self.states(study) == [TrialState.RUNNING] * 2 + [TrialState.FAIL] * 2
    study.tell(0, state=TrialState.FAIL)
    assert second.ask(2) is not None

  def test_trials_of_a_process_that_is_gone_are_failed(self, study):
    owner = Owner.me()
    gone = owner._replace(pid=2**22 + 1)  # above any process number
    elsewhere = owner._replace(host="elsewhere")
    for name in (str(owner), str(gone), str(elsewhere)):
      study.ask().set_user_attr("worker", name)
    workers = Workers(study, alone=False)
    assert workers.fail_abandoned() == 2
    assert self.states(study) == [TrialState.RUNNING, TrialState.FAIL, TrialState.RUNNING]

  def test_silence_longer_than_the_lease_counts_as_gone(self, study, monkeypatch):
    """Broken by comparing clocks of two machines, or by counting from the first sign of life instead of the last."""
    now = 0.0
    name = str(Owner.me()._replace(host="elsewhere"))
    study.ask().set_user_attr("worker", name)
    study.ask()  # killed before it could say whose it is
    workers = Workers(study, alone=False, lease=10.0)
    monkeypatch.setattr(workers._sightings, "_clock", lambda: now)
    for now, beats, at_work in ((0.0, 1, 2), (9.0, 2, 2), (9.9, 2, 2), (11.0, 2, 1), (18.0, 3, 1), (28.0, 3, 0)):  # noqa: B007
      study.set_user_attr(f"beats of {name}", beats)
      assert workers.fail_abandoned() == at_work
    assert self.states(study) == [TrialState.FAIL] * 2

  def test_alone_all_others_are_gone(self, study):
    study.ask().set_user_attr("worker", str(Owner.me()))
    assert Workers(study, alone=True).fail_abandoned() == 0
    assert self.states(study) == [TrialState.FAIL]

  def test_an_end_leaves_no_trial_of_its_own_running(self, study):
    workers, other = Workers(study, alone=False), Workers(study, alone=False)
    other.ask(3)
    with workers.working():
      workers.ask(3)
    assert self.states(study) == [TrialState.RUNNING, TrialState.FAIL]


# The first of two processes waits for the second at its first trial, or, told so, for ever. (The space is tried first.)
SPACE = """
import os, pathlib, time
calls = 0

def get_space(trial):
  global calls
  calls += 1
  rate = trial.suggest_float("rate", 1e-6, 1e-2, log=True)
  if calls == 65:
    here = pathlib.Path(__file__).parent
    (here / f"at_work.{os.getpid()}").touch()
    while os.environ.get("HANG") or len(list(here.glob("at_work.*"))) < 2:
      time.sleep(0.01)
  return {"likelihood_ratio.learning_rate": rate}
"""
SMALL = ("--config.algorithm=lr", "--config.num_epochs=8", "--config.actor.units=(4,)", "--config.critic.units=(4,)")


@pytest.fixture
def start(environment, tmp_path):
  """Starts the command on one study; the processes are ended with the test."""
  space, processes = space_of(tmp_path, SPACE).path, []

  def start(**variables):
    arguments = (f"--config={CONFIG}:dejong1", *SMALL, f"--space={space}", "--batch=1", "--trials=5")
    arguments = (*arguments, f"--storage=journal:{tmp_path}/journal.log", f"--workdir={tmp_path}/study")
    processes.append(
      subprocess.Popen(
        command("gippo_jax", "tune", *arguments),
        env=environment | variables,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
      )
    )
    return processes[-1]

  yield start
  for process in processes:
    process.kill()
    process.communicate()


def rows_of(folder):
  return list(csv.DictReader((folder / "study" / "trials.csv").read_text().splitlines()))


def test_what_a_killed_process_trained_is_drawn_again(start, tmp_path):
  killed = start(HANG="1")
  while not list(tmp_path.glob("at_work.*")):
    assert killed.poll() is None, killed.communicate()
    time.sleep(0.02)
  other = start()
  for line in other.stdout:
    if "4 of 5 trials done; waiting for the 1 of other processes" in line:
      os.kill(killed.pid, signal.SIGKILL)
      killed.wait()
      break
  output, errors = other.communicate(timeout=100)
  assert other.returncode == 0, errors
  assert "finished: 5 trials" in output
  outcomes = [row["outcome"] for row in rows_of(tmp_path)]
  assert outcomes[0] == "fail"
  assert len(outcomes) == 6
  assert "fail" not in outcomes[1:]


def test_two_processes_train_one_study(start, tmp_path):
  """Broken by drawing from the same seed in both (points are equal), or by each training all of them (ten trials)."""
  processes = [start(), start()]
  outputs = [process.communicate(timeout=200) for process in processes]
  assert [process.returncode for process in processes] == [0, 0], outputs
  trained = [re.findall(r"training trial (\d+)", output) for output, _ in outputs]
  rows = rows_of(tmp_path)
  finished = [row for row in rows if row["outcome"] in ("complete", "pruned")]
  assert len(finished) == 5
  assert sorted(trained[0] + trained[1]) == sorted(row["trial"] for row in finished)
  assert all(trained)
  assert len({row["likelihood_ratio.learning_rate"] for row in finished}) == 5
  best = json.loads((tmp_path / "study" / "best.json").read_text())
  assert best["value"] == max(float(row["value"]) for row in finished if row["value"])
  assert all(f"finished: 5 trials; the best is trial {best['trial']}" in output for output, _ in outputs)


def test_an_unknown_storage_ends_in_one_line(tmp_path):
  arguments = (f"--config={CONFIG}:dejong1", "--storage=redis://host", f"--workdir={tmp_path}/study")
  check_error(call("gippo_jax", "tune", *arguments), "--storage: 'redis://host'", "journal:PATH")
  assert not (tmp_path / "study").exists()
