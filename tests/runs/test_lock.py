"""Locks: who may write into a folder, and what a killed holder leaves."""

import json
import os
import socket
import subprocess
import sys
import threading

import pytest

from gippo_jax.errors import UserError
from gippo_jax.runs.lock import locked


def test_a_folder_is_one_process_s(tmp_path):
  """Broken by not asking the system for the lock: both enter."""
  folder = tmp_path / "run"
  with locked(folder):
    text = f"is being written by process {os.getpid()} on {socket.gethostname()} since"
    with pytest.raises(UserError, match=text), locked(folder):
      pytest.fail("entered twice")
    assert (folder / "lock").exists()  # the refused one left it
  assert list(folder.iterdir()) == []
  with locked(folder):
    pass


def test_what_a_killed_process_left_is_stale(tmp_path):
  """Broken by trusting the file alone: refused for ever."""
  code = f"""
import os, pathlib, signal
from gippo_jax.runs.lock import locked
with locked(pathlib.Path({str(tmp_path)!r})):
  print("held", flush=True)
  os.kill(os.getpid(), signal.SIGKILL)
"""
  killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
  assert killed.stdout == "held\n"
  assert json.loads((tmp_path / "lock").read_text())["host"] == socket.gethostname()
  with locked(tmp_path):
    assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("left", ["", "{", "[]", '{"pid": 1}', "\0"])
def test_a_lock_that_cannot_be_read_is_nobodys(tmp_path, left):
  (tmp_path / "lock").write_text(left)
  with locked(tmp_path):
    pass


def test_a_lock_of_another_machine_counts_until_it_is_removed(tmp_path):
  (tmp_path / "lock").write_text(json.dumps({"pid": 1, "host": "elsewhere", "since": "yesterday"}))
  text = f"process 1 on elsewhere since yesterday.*remove {tmp_path / 'lock'}"
  with pytest.raises(UserError, match=text), locked(tmp_path):
    pytest.fail("entered")
  assert (tmp_path / "lock").exists()


def test_locks_of_other_names_are_others(tmp_path):
  with locked(tmp_path), locked(tmp_path, name="a.db.lock"):
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.db.lock", "lock"]
  assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_told(tmp_path):
  (tmp_path / "file").write_text("mine")
  with pytest.raises(UserError, match="cannot be written"), locked(tmp_path / "file"):
    pytest.fail("entered")
  assert (tmp_path / "file").read_text() == "mine"


def test_who_has_patience_enters_when_the_other_leaves(tmp_path):
  """Broken by giving up at once, and by keeping the descriptor that waits."""
  holder = locked(tmp_path)
  holder.__enter__()
  leaving = threading.Timer(0.2, holder.__exit__, (None, None, None))
  leaving.start()
  with locked(tmp_path, patience=30.0):
    assert not leaving.is_alive()
  with locked(tmp_path), pytest.raises(UserError, match="is being written by"), locked(tmp_path, patience=0.1):
    pytest.fail("entered")
