"""Claims: a piece of work is one process's at a time, whoever asks, dies or falls silent."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gippo_jax.errors import UserError
from gippo_jax.runs.owners import Owner
from gippo_jax.sweep import claims
from gippo_jax.sweep.claims import CONTENT, Claim, Pool, read_content

NOBODY = 2**22 + 1  # above any process number


@pytest.fixture
def pool(tmp_path):
  """A pool with three pieces."""
  pool = Pool(tmp_path / "sweep" / "pool", lease=10.0)
  with pool.turn():
    for name in "abc":
      pool.add(name, {"members": [name]})
  return pool


def claim(pool, name) -> Claim | None:
  (piece,) = (piece for piece in pool.pieces() if piece.name == name)
  return pool.claim(piece)


def hand_to(pool, name, **changes):
  """Makes a piece somebody else's."""
  owner = Owner.me()._replace(**changes)
  path = pool.path / f"{name}@{owner}"
  (pool.path / name).rename(path)
  return path


def test_a_piece_is_claimed_once_and_free_again_unless_finished(pool):
  mine = claim(pool, "a")
  assert mine.content == {"members": ["a"]}
  assert claim(pool, "a") is None
  with mine:
    assert (mine.path / CONTENT).exists()
    assert mine.check()
  assert claim(pool, "a").path.exists()
  with claim(pool, "b") as other:
    (other.path / "checkpoint").mkdir()
    (other.path / "checkpoint" / "3.ckpt").touch()
    (other.path / "metrics.jsonl").touch()
    other.finish()
  assert [piece.name for piece in pool.pieces()] == ["a", "c"]


def test_of_many_that_ask_at_once_one_gets_it(pool):
  """Broken by a copy and a removal in place of the rename: several get the same."""
  names = [f"p{number:02d}" for number in range(50)]
  with pool.turn():
    for name in names:
      pool.add(name, {})
  begin, taken = threading.Barrier(4), []

  def ask():
    mine = Pool(pool.path)
    begin.wait(30)
    for name in names:
      for piece in mine.pieces():
        if piece.name == name and (claimed := mine.claim(piece)) is not None:
          taken.append(claimed.name)

  threads = [threading.Thread(target=ask) for _ in range(4)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join(60)
  assert sorted(taken) == names


def test_pieces_of_a_process_that_was_killed_are_taken_over_with_what_it_did(pool):
  """Broken by waiting for its lease: on one machine it is known at once."""
  code = f"""
import os, pathlib, signal
from gippo_jax.sweep.claims import Pool
pool = Pool(pathlib.Path({str(pool.path)!r}))
claim = pool.claim(pool.pieces()[0]).__enter__()
(claim.path / "metrics.jsonl").write_text("rows")
(claim.path / "metrics.jsonl.somewhere.1.tmp").write_text("half")
os.kill(os.getpid(), signal.SIGKILL)
"""
  killed = subprocess.run([sys.executable, "-c", code], check=False)
  assert killed.returncode == -signal.SIGKILL
  (left,) = (piece for piece in pool.pieces() if piece.owner)
  assert pool.is_free(left)
  mine = claim(pool, left.name)
  assert [path.name for path in sorted(mine.path.iterdir())] == [CONTENT, "metrics.jsonl"]


def test_what_is_locked_somebody_has_though_there_is_no_such_process(pool):
  """As in two containers that go by one machine's name."""
  mine = claim(pool, "a")
  theirs = mine.path.with_name(f"a@{Owner.me()._replace(pid=NOBODY)}")
  mine.path.rename(theirs)
  assert claim(pool, "a") is None
  mine.release()  # ends the lock
  assert claim(pool, "a") is not None


def test_silence_longer_than_the_lease_counts_as_gone(pool, monkeypatch):
  """Broken by comparing the clocks of two machines."""
  now = 0.0
  monkeypatch.setattr(pool._sightings, "_clock", lambda: now)
  path = hand_to(pool, "a", host="elsewhere", pid=1, since=0)
  for now, sign, taken in ((0.0, 7e9, False), (9.0, 1.0, False), (18.9, 1.0, False), (19.0, 1.0, True)):  # noqa: B007
    os.utime(path / CONTENT, (sign, sign))
    assert pool.is_free(next(piece for piece in pool.pieces() if piece.name == "a")) == taken
  assert claim(pool, "a") is not None


def test_who_comes_back_too_late_finds_out_and_harms_nobody(pool):
  mine = claim(pool, "a")
  theirs = mine.path.with_name(f"a@{Owner.me()}")
  with mine:
    mine.path.rename(theirs)
    assert not mine.check()
    assert mine.is_lost
    mine.finish()
    mine.path.mkdir()  # as writing a row would
    (mine.path / "metrics.jsonl").touch()
  assert [piece.path for piece in pool.pieces() if piece.name == "a"] == [theirs]


def test_a_claim_shows_signs_of_life(pool):
  pool._lease = 0.08
  with claim(pool, "a") as mine:
    first = (mine.path / CONTENT).stat().st_mtime_ns
    deadline = time.monotonic() + 10
    while (mine.path / CONTENT).stat().st_mtime_ns == first:
      assert time.monotonic() < deadline
      time.sleep(0.01)


def test_what_no_sweep_has_made_stays(pool):
  (pool.path / "d").mkdir()
  (pool.path / "d" / "notes.txt").write_text("mine")
  with pool.turn():
    with pytest.raises(UserError, match="is not a sweep's"):
      pool.add("d", {})
    for name in "abc":
      mine = claim(pool, name)
      mine.finish()
      mine.release()
    pool.remove()
  assert (pool.path / "d" / "notes.txt").read_text() == "mine"


def test_a_pool_goes_with_its_last_piece(pool):
  with pool.turn():
    pool.remove()
    assert len(pool.pieces()) == 3
    for name in "abc":
      mine = claim(pool, name)
      mine.finish()
      mine.release()
    (pool.path / f"a@{Owner.me()}").mkdir()  # of a worker that lost it
    pool.path.with_name(f"pool.{Owner.me()}.tmp").mkdir()  # of one that was killed while it made the pool
    pool.remove()
  assert list(pool.path.parent.iterdir()) == []
  with pool.turn():
    pass  # it is made again


def test_a_folder_without_a_turn_is_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(claims, "_MISSES", 2)
  (tmp_path / "chunks" / "0000").mkdir(parents=True)
  with pytest.raises(UserError, match="chunks is not a sweep's"), Pool(tmp_path / "chunks").turn():
    pytest.fail("entered")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\0", "[" * 100_000])
def test_what_cannot_be_read_is_nothing(pool, text):
  (pool.path / "a" / CONTENT).write_text(text)
  assert read_content(pool.path / "a") == {}


class Workers(RuleBasedStateMachine):
  """Three workers who claim, work, finish, fall silent, come back and die in any order, with a clock to turn.

  Whatever happens: no piece is done twice, none is lost, and no two workers hold one while both show signs of life.
  """

  def __init__(self):
    super().__init__()
    self.folder = tempfile.TemporaryDirectory()
    self.now = 0.0
    path = pathlib.Path(self.folder.name) / "pool"
    self.pools = [Pool(path, lease=10.0) for _ in range(3)]
    for pool in self.pools:
      pool._sightings._clock = lambda: self.now
    self.names = ["a", "b"]
    self.done: list[str] = []
    self.held: list[Claim | None] = [None] * 3
    self.signs = 0
    with self.pools[0].turn():
      for name in self.names:
        self.pools[0].add(name, {"name": name})

  def teardown(self):
    for held in filter(None, self.held):
      held.release()
    self.folder.cleanup()

  @rule(who=st.integers(0, 2), which=st.integers(0, 1))
  def claim(self, who, which):
    pieces = [piece for piece in self.pools[who].pieces() if piece.name == self.names[which]]
    if self.held[who] is None and pieces:
      self.held[who] = self.pools[who].claim(pieces[0])
      if self.held[who]:
        # As on a machine of its own, which can neither see the others' processes nor their locks.
        away = self.held[who].path.with_name(f"{self.names[which]}@{Owner.me()._replace(host=f'node{who}')}")
        self.held[who].path.rename(away)
        self.held[who].path = away

  @rule(who=st.integers(0, 2))
  def beat(self, who):
    if self.held[who] and self.held[who].check():
      self.signs += 1
      os.utime(self.held[who].path / CONTENT, (self.signs, self.signs))

  @rule(who=st.integers(0, 2))
  def finish(self, who):
    held = self.held[who]
    if held and held.check():
      self.done.append(held.name)
      held.finish()
      held.release()
      self.held[who] = None

  @rule(who=st.integers(0, 2))
  def give_back_or_notice(self, who):
    if self.held[who]:
      self.held[who].release()
      self.held[who] = None

  @rule(who=st.integers(0, 2))
  def die(self, who):
    if self.held[who]:
      os.close(self.held[who]._descriptor)
      self.held[who] = None

  @rule(seconds=st.sampled_from([1.0, 6.0, 11.0]))
  def wait(self, seconds):
    """Those who live show signs of life in between; who is silent, is so from one `beat` to the next."""
    self.now += seconds

  @invariant()
  def none_is_lost_or_doubled(self):
    there = [piece.name for piece in self.pools[0].pieces()]
    assert sorted(there + self.done) == self.names

  @invariant()
  def one_holder(self):
    holding = [held.name for held in self.held if held and held.path.exists()]
    assert len(holding) == len(set(holding))


TestWorkers = Workers.TestCase
TestWorkers.settings = settings(max_examples=30, stateful_step_count=30, derandomize=True, deadline=None)


def test_the_content_is_what_was_written(pool):
  assert json.loads((pool.path / "c" / CONTENT).read_text()) == {"members": ["c"]}
