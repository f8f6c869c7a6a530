"""One thread where arrays are too small for several, and only there."""

import os

import jax
import pytest

from gippo_jax.experiments.configs import functions, gymnax, physics, playground, traffic
from gippo_jax.parsing import parse
from gippo_jax.runs import threads


def asked(experiment):
  """`PJRT_NPROC` after the question."""
  threads.use_one_if_small(experiment)
  return os.environ.get("PJRT_NPROC")


@pytest.fixture
def on_a_cpu(monkeypatch):
  """No number of threads asked for, float32, and no accelerator."""
  monkeypatch.setenv("PJRT_NPROC", "")  # so that it is put back
  monkeypatch.delenv("PJRT_NPROC")
  monkeypatch.setattr(threads, "_may_have_accelerator", lambda: False)
  with jax.enable_x64(False):
    yield


@pytest.mark.usefixtures("on_a_cpu")
@pytest.mark.parametrize(
  ("config", "expected"),
  [
    (functions.get_config("ackley64"), "1"),
    (gymnax.get_config("Pendulum-v1,gippo"), "1"),  # 512 samples of 64 numbers: the largest that get one
    (playground.get_config("CartpoleSwingup,shac"), "1"),
    (physics.get_config("cartpole"), None),  # 2048 samples
    (traffic.get_config("pace_car_2"), None),
  ],
)
def test_small_networks_and_windows_get_one_thread(config, expected):
  assert asked(parse(config)) == expected


@pytest.mark.usefixtures("on_a_cpu")
@pytest.mark.parametrize(
  "change",
  [
    {"num_envs": 2048},
    {"horizon": 32},
    {"actor": {"units": (1024,)}},
    {"critic": {"units": (256, 256)}},  # weights, of few samples
  ],
)
def test_a_larger_array_anywhere_does_not(change):
  experiment = parse(functions.get_config("dejong1"))
  config = experiment.config
  for name, value in change.items():
    config = config.replace(**{name: getattr(config, name).replace(**value) if isinstance(value, dict) else value})
  threads.use_one_if_small(experiment._replace(config=config))
  assert "PJRT_NPROC" not in os.environ


@pytest.mark.usefixtures("on_a_cpu")
def test_episodes_of_an_evaluation_and_the_size_of_a_number_count():
  config = gymnax.get_config("Pendulum-v1,gippo")
  config.evaluation_episodes = 512
  experiment = parse(config)
  assert threads.is_small(experiment)
  with jax.enable_x64(True):
    assert not threads.is_small(experiment)
  config.evaluation_episodes = 513
  assert not threads.is_small(parse(config))


@pytest.mark.usefixtures("on_a_cpu")
def test_a_learned_model_does_not():
  config = functions.get_config("dejong1")
  assert asked(parse(config)) == "1"
  del os.environ["PJRT_NPROC"]
  config = gymnax.get_config("Pendulum-v1,gippo_model")
  assert asked(parse(config)) is None


@pytest.mark.usefixtures("on_a_cpu")
def test_nobody_knows_the_arrays_of_an_environment_by_its_import_path():
  experiment = parse(functions.get_config("dejong1"))
  assert not threads.is_small(experiment._replace(env={"name": "my_package.my_module:Fluid"}))
  assert asked(experiment._replace(env={"name": "gymnax:Pendulum-v1"})) == "1"


@pytest.mark.usefixtures("on_a_cpu")
def test_seeds_side_by_side_keep_a_thread_for_each_core():
  config = functions.get_config("dejong1")
  config.num_seeds = 2
  assert asked(parse(config)) is None


@pytest.mark.usefixtures("on_a_cpu")
def test_the_users_number_stays(monkeypatch):
  monkeypatch.setenv("PJRT_NPROC", "3")
  assert asked(parse(functions.get_config("dejong1"))) == "3"


@pytest.mark.parametrize(("platforms", "expected"), [("cuda,cpu", True), ("cpu", False)])
def test_what_is_asked_for_is_known_before_it_is_found(platforms, expected):
  before = jax.config.values["jax_platforms"]
  jax.config.update("jax_platforms", platforms)
  try:
    assert threads._may_have_accelerator() == expected
  finally:
    jax.config.update("jax_platforms", before)


@pytest.mark.parametrize("plugins", [[], ["cuda"]])
def test_a_plugin_of_jax_may_be_an_accelerator(monkeypatch, plugins):
  monkeypatch.setattr(threads.importlib.metadata, "entry_points", lambda group: plugins)
  assert threads._may_have_accelerator() == bool(plugins)
