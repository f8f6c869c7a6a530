"""The folder of a sweep: what is not its own stays, and what is damaged costs no more than itself."""

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
  folder = SweepFolder(tmp_path / "sweep", BASE, SETTINGS, MEMBERS)
  folder.open(pytest.fail)
  return folder


def test_a_damaged_member_is_set_aside(folder):
  """Broken by trusting members' folders: one that cannot be read ends the sweep when its chunk is written."""
  workdir = folder.workdir_of(MEMBERS[1])
  workdir.open(MEMBERS[1].experiment)
  workdir.config.write_text("{")
  told = []
  folder.open(told.append)
  assert not workdir.path.exists()
  (line,) = told
  assert f"set aside as {workdir.path.name}.damaged" in line
  assert (folder.members / f"{workdir.path.name}.damaged" / "config.json").read_text() == "{"


def test_a_member_of_another_configuration_is_refused_before_anything_is_trained(folder):
  folder.workdir_of(MEMBERS[0]).open(MEMBERS[1].experiment)
  with pytest.raises(UserError, match=r"holds a run with config\.alpha\.initial"):
    folder.open(print)


def test_a_best_that_no_sweep_has_made_stays(folder):
  folder.best.mkdir()
  with pytest.raises(UserError, match="best is not a sweep's"):
    folder.check()


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
  (tmp_path / "file").write_text("mine")
  with pytest.raises(UserError, match="cannot be written"):
    SweepFolder(tmp_path / "file" / "sweep", BASE, SETTINGS, MEMBERS).open(print)


def test_members_without_their_definition_are_refused(folder):
  folder.members.mkdir()
  (folder.path / "definition.json").unlink()
  with pytest.raises(UserError, match=r"holds members of a sweep, but not its definition\.json"):
    folder.check()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"plan": 3}', "[[1]]", '["a"]'])
def test_what_cannot_be_read_counts_as_none(folder, text):
  folder.results.write_text(text)
  assert folder.stored_plan() == []
