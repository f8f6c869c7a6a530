"""Chunks: every member that has not ended is in one of them, whoever cuts, and is trained by one worker."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gippo_jax.config import Config, RunConfig
from gippo_jax.parsing import Experiment
from gippo_jax.runs.owners import Owner
from gippo_jax.sweep import chunks as chunks_module
from gippo_jax.sweep.chunks import Chunks
from gippo_jax.sweep.claims import read_content
from gippo_jax.sweep.plan import chunk_length, make_members
from gippo_jax.sweep.space import assignments, expand

SETTINGS = assignments({"alpha.initial": [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 0.5]}, None, 0)
MEMBERS = make_members(expand(Experiment(Config(), RunConfig(), {"name": "dejong"}), SETTINGS), SETTINGS)


@pytest.fixture
def ended():
  """Indices of members that have."""
  return set()


@pytest.fixture
def chunks(tmp_path, ended):
  return Chunks(tmp_path / "chunks", MEMBERS, lambda member: member.index in ended)


def cut(chunks, longest, group=MEMBERS):
  with chunks.pool.turn():
    chunks.cut(group, longest, "map")


def indices(chunks):
  """Of the members that are planned, chunk by chunk."""
  return sorted([member.index for member in chunk] for chunk in chunks.plan(MEMBERS, len(MEMBERS)))


def finish(claimed):
  claimed.claim.finish()
  claimed.claim.release()


def test_what_is_planned_is_cut(chunks, ended):
  ended.add(1)
  planned = chunks.plan(MEMBERS, 2)
  assert [[member.index for member in chunk] for chunk in planned] == [[0, 2], [3, 4], [5]]
  assert chunks.is_empty
  cut(chunks, 2)
  cut(chunks, 2)  # another worker's, later
  assert indices(chunks) == [[0, 2], [3, 4], [5]]
  assert chunks.plan(MEMBERS, 2) == planned
  assert chunks.arrangement(MEMBERS) == "map"


def test_chunks_are_claimed_until_there_are_none(chunks, ended):
  """Broken by looking at a chunk before it is claimed alone: one that has ended is trained again."""
  cut(chunks, 2)
  first, second = chunks.claim(MEMBERS, 2), chunks.claim(MEMBERS, 2)
  assert [[member.index for member in claimed.members] for claimed in (first, second)] == [[0, 1], [2, 3]]
  assert [owner.pid for owner in chunks.owners] == [Owner.me().pid] * 2
  ended |= {4, 5}  # as if their worker had been killed just before it removed the chunk
  assert chunks.claim(MEMBERS, 2) is None
  ended |= {0, 1, 2, 3}
  finish(first)
  finish(second)
  assert chunks.owners == []
  with chunks.pool.turn():
    chunks.close()
  assert not chunks.pool.path.exists()


def test_a_chunk_that_is_given_up_goes_to_the_next_who_asks(chunks):
  cut(chunks, 3)
  claimed = chunks.claim(MEMBERS, 3)
  with claimed.claim:
    (claimed.claim.path / "metrics.jsonl").touch()
  assert chunks.begun_length(MEMBERS) == 3
  assert chunks.claim(MEMBERS, 3).members == claimed.members


def test_chunks_that_are_too_long_are_cut_anew_unless_somebody_trains_them(chunks):
  """Broken by cutting all: two workers train the same members."""
  cut(chunks, 3)
  claimed = chunks.claim(MEMBERS, 3)
  assert chunks.claim(MEMBERS, 1) is None
  cut(chunks, 1)
  assert indices(chunks) == [[0, 1, 2], [3], [4], [5]]
  claimed.claim.release()
  cut(chunks, 2)
  assert indices(chunks) == [[0, 1], [2], [3], [4], [5]]


def test_a_chunk_that_is_claimed_while_another_worker_cuts_is_not_cut_again(chunks, tmp_path, monkeypatch):
  """Broken by looking once: the chunk has its new name when the old one is read, and its members seem to have none."""
  cut(chunks, 2)
  other = Chunks(tmp_path / "chunks", MEMBERS, lambda member: False)
  claimed = []

  def read(path):
    monkeypatch.undo()
    claimed.append(other.claim(MEMBERS, 2))
    return read_content(path)

  with chunks.pool.turn():
    chunks._sweep_up()
    monkeypatch.setattr(chunks, "_sweep_up", lambda: None)
    monkeypatch.setattr(chunks_module, "read_content", read)
    chunks.cut(MEMBERS, 2, "map")
  assert [member.index for member in claimed[0].members] == [0, 1]
  assert indices(chunks) == [[0, 1], [2, 3], [4, 5]]


def test_groups_have_chunks_of_their_own(chunks):
  cut(chunks, 2, MEMBERS[:3])
  cut(chunks, 2, MEMBERS[3:])
  assert chunks.claim(MEMBERS[3:], 2).members == MEMBERS[3:5]
  assert chunks.begun_length(MEMBERS) == 0


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"members": 3}', '{"members": ["a"]}', '{"members": [true]}', "{}"])
def test_a_chunk_that_cannot_be_read_is_cut_anew(chunks, text):
  cut(chunks, 2)
  (chunks.pool.path / "0002" / "content.json").write_text(text)
  cut(chunks, 2)
  assert indices(chunks) == [[0, 1], [2, 3], [4, 5]]
  assert json.loads((chunks.pool.path / "0002" / "content.json").read_text())["members"] == [2, 3]


@given(st.integers(1, 5000), st.integers(1, 16), st.integers(1, 200))
def test_several_workers_get_several_chunks_each_as_far_as_members_go(num_members, num_devices, num_workers):
  length = chunk_length(num_members, None, num_devices, num_workers)
  assert 1 <= length <= num_members
  assert length % num_devices == 0 or length == num_members
  assert length <= 256 + num_devices
  if num_workers > 1:
    assert length <= max(num_devices, -(-num_members // (4 * num_workers)) + num_devices)
