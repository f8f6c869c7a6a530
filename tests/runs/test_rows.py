"""Rows of metrics: matched with a checkpoint, whatever has become of the file."""

import json

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gippo_jax.runs.rows import read_lines, read_rows, resume_rows
from gippo_jax.runs.workdir import Workdir


def row(epoch, seed, value=0.5):
  return {"epoch": epoch, "seed": seed, "steps": 64 * epoch, "return": value}


def write(workdir, lines):
  workdir.metrics.write_bytes(b"".join(lines))


def line(values):
  return json.dumps(values).encode() + b"\n"


def logged(last):
  return [1, *range(10, last + 1, 10)]


def resume(workdir, seeds, epoch, epochs=None):
  told = []
  resume_rows(workdir, seeds, np.asarray(epochs or [epoch] * len(seeds)), epoch, 10, told.append)
  return told


def test_rows_after_the_checkpoint_go_and_nothing_is_told(tmp_path):
  workdir = Workdir(tmp_path)
  write(workdir, [line(row(epoch, seed)) for epoch in logged(50) for seed in (1, 2)] + [b'{"epoch": 60, "se'])
  assert resume(workdir, [1, 2], 30) == []
  assert read_rows(workdir) == [row(epoch, seed) for epoch in logged(30) for seed in (1, 2)]


GARBAGE = [b"\xff\xfe\0", b"{}", b"[1]", b'{"epoch": "ten", "seed": 1, "steps": 3}', b"null", b'{"epoch": 10']
GARBAGE += [b"[" * 5000]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_garbage_costs_no_other_row(tmp_path, data):
  """Broken by stopping at the first line that cannot be read: every row behind it is gone."""
  workdir = Workdir(tmp_path)
  workdir.unreadable_metrics.unlink(missing_ok=True)
  lines = [line(row(epoch, 1)) for epoch in logged(100)]
  bad = data.draw(st.lists(st.sampled_from(GARBAGE), min_size=1, max_size=4))
  for garbage in bad:
    lines.insert(data.draw(st.integers(0, len(lines))), garbage + b"\n")
  write(workdir, lines)
  (told,) = resume(workdir, [1], 100)
  assert f"{len(bad)} lines cannot be read as rows; they are set aside in metrics.unreadable" in told
  assert read_rows(workdir) == [row(epoch, 1) for epoch in logged(100)]
  assert sorted(workdir.unreadable_metrics.read_bytes().splitlines()) == sorted(bad)
  assert resume(workdir, [1], 100) == []  # told once


def test_missing_rows_are_counted(tmp_path):
  workdir = Workdir(tmp_path)
  write(workdir, [line(row(epoch, 1)) for epoch in logged(50) if epoch not in (20, 30)])
  (told,) = resume(workdir, [1], 50)
  assert "2 rows of epochs up to 50 are missing" in told
  workdir.metrics.unlink()
  (told,) = resume(workdir, [1, 2], 20)
  assert "6 rows" in told


def test_a_member_that_was_given_up_misses_nothing(tmp_path):
  workdir = Workdir(tmp_path)
  write(workdir, [line(row(epoch, seed)) for epoch in logged(50) for seed in (1, 2) if seed == 1 or epoch <= 30])
  assert resume(workdir, [1, 2], 50, [50, 38]) == []


def test_of_two_rows_of_an_epoch_the_later_stays(tmp_path):
  workdir = Workdir(tmp_path)
  write(workdir, [line(row(1, 1, 1.0)), line(row(10, 1, 1.0)), line(row(10, 1, 2.0))])
  resume(workdir, [1], 10)
  assert read_rows(workdir) == [row(1, 1, 1.0), row(10, 1, 2.0)]


def test_members_of_a_sweep_with_equal_seeds_are_told_apart(tmp_path):
  workdir = Workdir(tmp_path)
  rows = [{"member": member, **row(epoch, 1)} for epoch in logged(20) for member in (0, 1)]
  write(workdir, map(line, rows))
  assert resume(workdir, [1, 1], 20) == []
  assert read_rows(workdir) == rows


def test_there_need_be_no_file(tmp_path):
  assert read_lines(Workdir(tmp_path)) == ([], [])
  assert resume(Workdir(tmp_path), [1], 0) == []
