"""Every format plays what the policy plays, for every kind of policy; what it cannot hold it refuses."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import pytest
from jax import export as jax_export

from gippo_jax.errors import UserError
from gippo_jax.export import contract, formats, onnx_graph, runner
from gippo_jax.learning.policies import Policy
from tests.export.policies import ACTIONS, KINDS, OBSERVATIONS, make_policy
from tests.outside.my_package.nets import LinearPolicy


def difference(form, policy, path):
  formats.FORMATS[form].write(path, policy)
  observations = contract.draw_observations(policy)
  played = formats.FORMATS[form].load(path)(observations)
  wanted = policy(observations)
  assert played.dtype == wanted.dtype
  return np.max(np.abs(played - wanted))


@pytest.mark.parametrize("form", formats.FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_plays_what_the_policy_plays(form, kind, tmp_path):
  assert difference(form, make_policy(kind), tmp_path / "policy.npz") <= 1e-6


@pytest.mark.parametrize("form", formats.FORMATS)
def test_raw_observations_stay_raw(form, tmp_path):
  policy = make_policy("tanh", normalizes=False)
  # Those above would be rounded in their hundreds.
  small = policy.observation_statistics.replace(
    mean=jnp.full(OBSERVATIONS, 0.5, np.float32), variance=jnp.ones(OBSERVATIONS, np.float32)
  )
  assert difference(form, policy.replace(observation_statistics=small), tmp_path / "policy.npz") <= 1e-6


@pytest.mark.parametrize("form", formats.FORMATS)
def test_wide_floats_stay_wide(form, tmp_path):
  # ONNX's LayerNormalization has its epsilon in float32.
  bound = 1e-11 if form == "onnx" else 1e-13
  assert difference(form, make_policy("elu", dtype=np.float64), tmp_path / "policy.npz") <= bound


@pytest.mark.parametrize("form", formats.FORMATS)
@pytest.mark.parametrize("size", [1, 300])
def test_a_batch_may_have_any_size(form, size, tmp_path):
  policy = make_policy("elu")
  formats.FORMATS[form].write(tmp_path / "policy.npz", policy)
  observations = np.tile(contract.draw_observations(policy)[:1], (size, 1))
  played = formats.FORMATS[form].load(tmp_path / "policy.npz")(observations)
  np.testing.assert_allclose(played, policy(observations), rtol=0, atol=1e-6)


def test_the_runner_needs_numpy_alone(tmp_path):
  policy = make_policy("elu")
  formats.FORMATS["npz"].write(tmp_path / "policy.npz", policy)
  observation = contract.draw_observations(policy)[1]
  numbers = [repr(float(number)) for number in observation]
  code = (
    "import sys, runpy\n"
    "for name in ('jax', 'flax', 'gippo_jax', 'onnx'): sys.modules[name] = None\n"
    f"sys.argv = ['policy.py', 'policy.npz', *{numbers!r}]\n"
    "runpy.run_path('policy.py', run_name='__main__')\n"
  )
  process = subprocess.run([sys.executable, "-Ic", code], cwd=tmp_path, capture_output=True, text=True, check=False)
  assert process.returncode == 0, process.stderr
  printed = [float(word) for word in process.stdout.split()]
  np.testing.assert_allclose(printed, policy(observation), rtol=0, atol=1e-6)


def test_the_runner_is_short():
  source = (formats.numpy_file.resources.files("gippo_jax.export") / "runner.py").read_text()
  body = source[source.index("def load") : source.index("if __name__")]
  assert len([line for line in body.splitlines() if line.strip()]) <= 20


@pytest.mark.parametrize("name", runner.ACTIVATIONS)
def test_activations_far_from_zero_are_finite(name):
  x = np.asarray([-1e4, -100.0, -1.0, 0.0, 1.0, 100.0, 1e4], np.float32)
  with np.errstate(all="raise", under="ignore"):
    found = runner.ACTIVATIONS[name](x)
  from gippo_jax.learning.networks import ACTIVATIONS

  np.testing.assert_allclose(found, ACTIVATIONS[name](jnp.asarray(x)), rtol=1e-6, atol=1e-6)


def test_the_graph_is_of_the_standards_own_operators(tmp_path):
  onnx_graph.write(tmp_path / "policy.onnx", make_policy("elu"))
  model = onnx.load(tmp_path / "policy.onnx")
  assert [(each.domain, each.version) for each in model.opset_import] == [("", onnx_graph.OPSET)]
  assert not any(node.domain for node in model.graph.node)
  shapes = {
    end.name: [dimension.dim_param or dimension.dim_value for dimension in end.type.tensor_type.shape.dim]
    for end in (*model.graph.input, *model.graph.output)
  }
  assert shapes == {"observation": ["batch", OBSERVATIONS], "action": ["batch", ACTIONS]}


def test_the_program_is_for_two_platforms_and_any_batch(tmp_path):
  formats.FORMATS["stablehlo"].write(tmp_path / "policy.stablehlo", make_policy("elu"))
  program = jax_export.deserialize(bytearray((tmp_path / "policy.stablehlo").read_bytes()))
  assert program.platforms == ("cpu", "cuda")
  (observations,) = program.in_avals
  assert str(observations.shape) == f"(batch, {OBSERVATIONS})"


def own_policy():
  shapes = {"gain": (OBSERVATIONS, ACTIONS), "offset": (ACTIONS,), "log_std": (ACTIONS,)}
  actor = {name: jnp.full(shape, 0.1, np.float32) for name, shape in shapes.items()}
  networks = LinearPolicy(OBSERVATIONS, ACTIONS, 4)
  return Policy(actor, make_policy("elu").observation_statistics, networks, normalizes=True)


@pytest.mark.parametrize("form", ["onnx", "npz"])
def test_networks_of_ones_own_are_refused(form, tmp_path):
  with pytest.raises(UserError, match=r"LinearPolicy of your own.*allowed: stablehlo"):
    formats.FORMATS[form].write(tmp_path / "policy", own_policy())
  assert not list(tmp_path.iterdir())


def test_stablehlo_holds_networks_of_ones_own(tmp_path):
  with jax.numpy_rank_promotion("allow"):  # a user's own, under a user's own rules
    assert difference("stablehlo", own_policy(), tmp_path / "policy.stablehlo") <= 1e-6


def test_a_missing_package_is_named(monkeypatch, tmp_path):
  monkeypatch.setitem(sys.modules, "onnxruntime", None)
  with pytest.raises(UserError, match=r'pip install "gippo_jax\[export\]"'):
    formats.FORMATS["onnx"].write(tmp_path / "policy.onnx", make_policy("elu"))


def test_a_file_that_plays_something_else_is_refused():
  observations, actions = np.zeros((3, OBSERVATIONS)), np.full((3, ACTIONS), 0.5)
  assert contract.compare(observations, actions, actions + 1e-7, "a.npz").largest_difference == pytest.approx(1e-7)
  for wrong in (actions + 1e-3, np.where(actions == 0.5, np.nan, actions)):
    with pytest.raises(UserError, match=r"a\.npz does not play what the policy plays"):
      contract.compare(observations, actions, wrong, "a.npz")


def test_an_unknown_format_lists_the_known_ones():
  with pytest.raises(UserError, match="'tflite' is unknown; allowed: onnx, stablehlo, npz"):
    formats.find_format("tflite")
