"""Writing that fails: nothing is lost, nothing is written by halves, and nothing stops."""

import contextlib
import resource

import pytest

from gippo_jax.runs.files import Appender, Failures, remove_leftovers, replace_file, write_text


@contextlib.contextmanager
def largest_file(size):
  """No file may become larger, as on a disk that is full."""
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_records_that_do_not_fit_wait_for_room(tmp_path):
  """Broken by giving the waiting records up, or by leaving the half that fitted: the file is not what was appended."""
  told = []
  failures = Failures(told.append)
  file = Appender(tmp_path / "folder" / "rows", failures)
  records = [f"record {number}\n".encode() for number in range(100)]
  file.append(records[:2])
  with largest_file(50):
    for record in records[2:60]:
      file.append([record])
      content = (tmp_path / "folder" / "rows").read_bytes()
      assert b"".join(records).startswith(content)
      assert content.endswith(b"\n")
  assert len(told) == 1  # not 55 times
  assert "cannot be written (File too large); what it lacks is kept" in told[0]
  assert failures.count > 50
  file.append(records[60:])
  assert (tmp_path / "folder" / "rows").read_bytes() == b"".join(records)
  assert "is written again" in told[1]
  assert file.lost == 0


def test_a_folder_that_is_gone_is_made_again(tmp_path):
  file = Appender(tmp_path / "gone" / "rows", Failures(pytest.fail))
  file.append([b"a"])
  (tmp_path / "gone" / "rows").unlink()
  (tmp_path / "gone").rmdir()
  file.append([b"b"])
  assert (tmp_path / "gone" / "rows").read_bytes() == b"b"


def test_more_than_memory_should_hold_is_counted(tmp_path, monkeypatch):
  monkeypatch.setattr("gippo_jax.runs.files._MOST_PENDING_BYTES", 10)
  (tmp_path / "rows").mkdir()  # in the way
  file = Appender(tmp_path / "rows", Failures(lambda text: None))
  for _ in range(4):
    file.append([b"12345"])
  assert file.lost == 2


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
  """Broken by writing in place: the old text is gone."""
  path = tmp_path / "file"
  write_text(path, "old")
  with largest_file(2), pytest.raises(OSError, match="File too large"):
    write_text(path, "newer and longer")
  assert path.read_text() == "old"
  with pytest.raises(KeyboardInterrupt):
    replace_file(path, lambda file: (_ for _ in ()).throw(KeyboardInterrupt))
  assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_only_our_own_leftovers_are_removed(tmp_path):
  for name in ("config.json.123.tmp", "notes.tmp", "3.ckpt.9.tmp", "draft.x.tmp"):
    (tmp_path / name).touch()
  remove_leftovers(tmp_path, tmp_path / "missing")
  assert sorted(file.name for file in tmp_path.iterdir()) == ["draft.x.tmp", "notes.tmp"]
