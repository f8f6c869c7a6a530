"""What a run remembers of what computed it."""

from gippo_jax.programs import devices
from gippo_jax.runs.history import changes, software


def test_another_number_of_threads_is_told(monkeypatch):
  monkeypatch.setattr(devices, "num_cores", lambda: 6)
  monkeypatch.delenv("PJRT_NPROC", raising=False)
  before = software(by_environment=False)
  monkeypatch.setenv("PJRT_NPROC", "3")
  now = software(by_environment=False)
  assert changes(before, now) == ["threads is 3, it was 6"]
  assert changes(now, now) == []


def test_each_device_has_a_thread(monkeypatch):
  monkeypatch.setenv("PJRT_NPROC", "1")
  assert devices.num_threads() == 2  # the tests' devices


def test_what_was_not_written_down_has_not_changed():
  assert changes({"jax": "0.9"}, {"jax": "0.10", "threads": 2}) == ["jax is '0.10', it was '0.9'"]
