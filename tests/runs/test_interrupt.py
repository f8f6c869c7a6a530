"""Signals: the first ends in peace, its echo changes nothing, a second one stops at once."""

import os
import signal

import pytest

from gippo_jax.runs import interrupt
from gippo_jax.runs.interrupt import Interrupt


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_and_its_echo_are_one_wish(number):
  """Broken by giving the handler back at the first signal: the echo ends the process."""
  with Interrupt() as noted:
    assert not noted.requested
    os.kill(os.getpid(), number)
    os.kill(os.getpid(), number)
    os.kill(os.getpid(), signal.SIGINT)
    assert noted.requested


def test_a_later_one_stops_at_once(monkeypatch):
  monkeypatch.setattr(interrupt, "_SECONDS_TO_A_SECOND_WISH", 0.0)
  with Interrupt() as noted:
    os.kill(os.getpid(), signal.SIGINT)
    assert noted.requested
    with pytest.raises(KeyboardInterrupt):
      os.kill(os.getpid(), signal.SIGINT)


def test_what_a_user_ignores_stays_ignored():
  """nohup ignores SIGHUP."""
  before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
  try:
    with Interrupt() as noted:
      os.kill(os.getpid(), signal.SIGHUP)
      assert not noted.requested
  finally:
    signal.signal(signal.SIGHUP, before)
