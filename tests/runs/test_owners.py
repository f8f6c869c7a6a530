"""Names and signs of life of processes."""

import os
import pathlib
import socket
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gippo_jax.runs.owners import Heartbeat, Owner, Sightings, is_alive


@given(
  st.builds(
    Owner,
    st.from_regex(r"\A[a-zA-Z0-9_.-]+\Z"),
    st.integers(0, 2**32),
    st.from_regex(r"\A[0-9_]*\Z"),
    st.integers(0, 2**63),
  )
)
def test_names_are_written_and_read(owner):
  assert Owner.read(str(owner)) == owner


@given(st.text())
def test_other_texts_name_nobody(text):
  owner = Owner.read(text)
  assert owner is None or str(owner) == text


def test_this_process_has_a_name_of_its_own_each_time(monkeypatch):
  monkeypatch.setattr(socket, "gethostname", lambda: "my host/1")
  monkeypatch.setenv("SLURM_JOB_ID", "4711")
  first, second = Owner.me(), Owner.me()
  assert first != second
  assert Owner.read(str(first)) == first
  assert first.describe() == f"process {os.getpid()} on my-host-1 (job 4711)"
  assert first.is_of_this_machine
  assert not first._replace(host="elsewhere").is_of_this_machine


def test_processes_are_alive_or_not():
  assert is_alive(os.getpid())
  assert is_alive(1)
  assert not is_alive(2**22 + 1)
  assert not is_alive(2**80)


@pytest.mark.skipif(not pathlib.Path("/proc/self/stat").exists(), reason="looks at the process's state")
def test_a_process_that_nobody_has_taken_note_of_is_dead():
  """Broken by asking for its number alone, which it keeps until its parent waits for it."""
  child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
  assert is_alive(child.pid)
  child.kill()
  deadline = time.monotonic() + 10
  while is_alive(child.pid):
    assert time.monotonic() < deadline
    time.sleep(0.01)
  child.communicate()


def test_sightings_count_from_the_last_change():
  now = 0.0
  sightings = Sightings(lambda: now)
  seen = []
  for now, sign in ((1.0, "a"), (2.0, "a"), (5.0, "a"), (6.0, "b"), (8.0, "b")):  # noqa: B007
    seen.append(sightings.seconds_unchanged("name", sign))
  assert seen == [0.0, 1.0, 4.0, 0.0, 2.0]
  assert sightings.seconds_unchanged("other", "b") == 0.0


@pytest.mark.parametrize("last", [1, 3])
def test_a_heart_beats_until_there_is_nothing_to_beat_for(last):
  beats, ended = [], threading.Event()

  def beat():
    beats.append(len(beats))
    if len(beats) == last:
      ended.set()
    return len(beats) < last

  with Heartbeat(beat, 1e-3):
    assert ended.wait(10)
  assert len(beats) == last
