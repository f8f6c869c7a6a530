"""The folder of a sweep: what is not its own stays, and what is damaged costs no more than itself."""

import json
import pathlib

import pytest

from gippo_jax.config import Config, RunConfig
from gippo_jax.errors import UserError
from gippo_jax.parsing import Experiment
from gippo_jax.sweep.folder import SweepFolder
from gippo_jax.sweep.plan import make_members
from gippo_jax.sweep.space import assignments, expand

SETTINGS = assignments({"alpha.initial": [1e-5, 1e-4, 1e-3, 1e-2]}, None, 0)
BASE = Experiment(Config(), RunConfig(), {"name": "dejong", "dimension": 1})
MEMBERS = make_members(expand(BASE, SETTINGS), SETTINGS)


@pytest.fixture
def folder(tmp_path):
  folder = SweepFolder(tmp_path / "sweep", BASE, SETTINGS)
  with folder.held(MEMBERS, None, pytest.fail):
    pass
  return folder


def test_a_damaged_member_is_set_aside(folder):
  """Broken by trusting members' folders: one that cannot be read ends the sweep when its chunk is written."""
  workdir = folder.workdir_of(MEMBERS[1])
  workdir.open(MEMBERS[1].experiment)
  workdir.config.write_text("{")
  told = []
  with folder.held(MEMBERS, None, told.append):
    assert not workdir.path.exists()
  (line,) = told
  assert f"set aside as {workdir.path.name}.damaged" in line
  assert (folder.members / f"{workdir.path.name}.damaged" / "config.json").read_text() == "{"


def test_a_member_of_another_configuration_is_refused_before_anything_is_trained(folder):
  folder.workdir_of(MEMBERS[0]).open(MEMBERS[1].experiment)
  with pytest.raises(UserError, match=r"holds a run with config\.alpha\.initial"), folder.held(MEMBERS, None, print):
    pytest.fail("entered")


def test_what_others_work_at_stays(folder):
  """Broken by removing all chunks at the end: a shard that ends takes the others' away."""
  mine, others = folder.open_chunk(MEMBERS[0::2]), folder.open_chunk(MEMBERS[1::2])
  folder.close(MEMBERS[0::2])
  assert not mine.path.exists()
  assert others.path.exists()


def test_what_no_sweep_has_made_stays(folder):
  """Broken by removing whatever lies there: a user's files are gone."""
  mine = folder.path / "chunks" / "0000"
  mine.mkdir(parents=True)
  (mine / "notes.txt").write_text("mine")
  with pytest.raises(UserError, match="is not a sweep's"):
    folder.open_chunk(MEMBERS)
  folder.close(MEMBERS)
  assert (mine / "notes.txt").read_text() == "mine"
  folder.best.mkdir()
  with pytest.raises(UserError, match="best is not a sweep's"):
    folder.check()


def test_members_without_their_definition_are_refused(folder):
  folder.members.mkdir()
  (folder.path / "definition.json").unlink()
  with pytest.raises(UserError, match=r"holds members of a sweep, but not its definition\.json"):
    folder.check()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"plan": 3}', "[[1]]", '["a"]'])
def test_what_cannot_be_read_counts_as_none(folder, text):
  folder.results.write_text(text)
  assert folder.stored_plan() == []
  chunk = folder.open_chunk(MEMBERS[:2])
  (chunk.path / "members.json").write_text(text)
  assert folder.begun_chunk(MEMBERS, 4) == []
  assert json.loads((folder.open_chunk(MEMBERS[:2]).path / "members.json").read_text()) == [0, 1]


def test_a_chunk_whose_first_file_was_never_finished_is_begun_anew(folder):
  """Killed while it wrote whose the folder is, a sweep left a folder that it then took for somebody else's."""
  chunk = folder.open_chunk(MEMBERS[:2]).path
  (chunk / "members.json").rename(chunk / "members.json.4711.tmp")
  assert folder.open_chunk(MEMBERS[:2]).path == chunk
  assert [path.name for path in chunk.iterdir()] == ["members.json"]


def test_killed_while_it_removes_a_chunk_a_sweep_still_knows_it(folder, monkeypatch):
  """Broken by removing in any order: without the file that says whose it is, the rest looks like somebody else's."""
  workdir = folder.open_chunk(MEMBERS[:2])
  for name in ("config.json", "z.json"):
    (workdir.path / name).write_text("{}")
  (workdir.path / "checkpoint").mkdir()
  removed = []

  def unlink(path, missing_ok=False):
    if len(removed) == 1:
      raise KeyboardInterrupt
    removed.append(path.name)
    path_unlink(path, missing_ok=missing_ok)

  path_unlink = pathlib.Path.unlink
  monkeypatch.setattr(pathlib.Path, "unlink", unlink)
  with pytest.raises(KeyboardInterrupt):
    folder.close_chunk(workdir)
  monkeypatch.undo()
  assert "members.json" not in removed
  assert folder.open_chunk(MEMBERS[:1]).path == workdir.path
