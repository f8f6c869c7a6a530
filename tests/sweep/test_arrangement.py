"""When a trial is made, and what is taken after it."""

import types

import jax
import pytest

from gippo_jax.config import Config, RunConfig
from gippo_jax.parsing import Experiment
from gippo_jax.sweep import arrangement
from gippo_jax.sweep.plan import make_members


@pytest.fixture
def chunk():
  base = Experiment(Config(num_epochs=1000), RunConfig(num_seeds=4), {"name": "dejong", "dimension": 1})
  return make_members([base], [{}])


def arrange(monkeypatch, chunk, seconds, wanted="auto"):
  """With programs that take `seconds` an epoch, by arrangement and number of devices, and one to compile."""

  def compile_program(env, chunk, name, devices):
    name = name or "map"
    program = types.SimpleNamespace(arrangement=name, devices=devices)
    return types.SimpleNamespace(program=program), 1.0

  monkeypatch.setattr(arrangement, "_compile", compile_program)
  monkeypatch.setattr(
    arrangement,
    "_seconds_per_epoch",
    lambda members, _: seconds[members.program.arrangement, len(members.program.devices)],
  )
  return arrangement.arrange(None, chunk, wanted, 2)


def test_a_long_sweep_takes_the_fastest(monkeypatch, chunk):
  assert len(jax.local_devices()) == 2
  taken = arrange(monkeypatch, chunk, {("map", 2): 0.060, ("vmap", 2): 0.030, ("vmap", 1): 0.090})
  assert taken.name == "vmap over 2 devices"
  assert taken.compile_seconds == 3.0
  assert "60 ms by map on 2, 30 ms by vmap on 2, 90 ms by vmap on 1" in taken.reason


def test_a_short_sweep_makes_no_trial(monkeypatch, chunk):
  taken = arrange(monkeypatch, chunk, {("map", 2): 0.020})
  assert taken.name == "map over 2 devices"
  assert "about 40 s of training, too short" in taken.reason


def test_what_is_asked_for_is_taken(monkeypatch, chunk):
  assert arrange(monkeypatch, chunk, {}, "vmap").name == "vmap over 2 devices"
  assert arrange(monkeypatch, chunk[:1], {}).name == "map over 1 device"
