"""ONNX: the policy as a graph of the standard's own operators, written node by node."""

import pathlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from gippo_jax.errors import UserError
from gippo_jax.export.perceptron import Perceptron, perceptron_of
from gippo_jax.learning.networks import LAYER_NORM_EPSILON
from gippo_jax.learning.policies import Policy

if TYPE_CHECKING:
  import onnx

# LayerNormalization is there from 17 on; what reads a newer set of operators reads this one.
OPSET = 17
_IR_VERSION = 8

_INSTALL = 'ONNX needs two packages more: pip install "gippo_jax[export]"'


def write(path: pathlib.Path, policy: Policy) -> None:
  """Writes the graph, once its checker has passed it.

  Raises:
    UserError: when the extra is not installed, or the networks are a user's own.
    OSError: when it cannot be written.
  """
  onnx, _ = _packages()
  model = make_model(perceptron_of(policy))
  onnx.checker.check_model(model, full_check=True)
  path.write_bytes(model.SerializeToString())


def load(path: pathlib.Path) -> Callable[[np.ndarray], np.ndarray]:
  """What onnxruntime computes of the file on a CPU: observations `[B, O]` to actions `[B, A]`."""
  _, onnxruntime = _packages()
  session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
  return lambda observations: session.run(["action"], {"observation": observations})[0]


def versions() -> dict[str, object]:
  """Of what wrote the file."""
  onnx, onnxruntime = _packages()
  return {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__, "opset": OPSET, "ir_version": _IR_VERSION}


def make_model(perceptron: Perceptron) -> "onnx.ModelProto":
  """The graph from `observation`, `[batch, O]`, to `action`, `[batch, A]`, in the type of the parameters.

  Names of nodes and parameters are those of the layers: `normalize`, `dense_0`, `norm_0`, ..., `mean`, `squash`.
  """
  graph = _Graph(perceptron.kernel.dtype)
  x = "observation"
  if perceptron.mean is not None and perceptron.deviation is not None:
    x = graph.add("Sub", "normalize/centred", x, {"normalize/mean": perceptron.mean})
    x = graph.add("Div", "normalize/out", x, {"normalize/deviation": perceptron.deviation})
  for index, layer in enumerate(perceptron.hidden):
    name = f"dense_{index}"
    x = graph.add("Gemm", f"{name}/affine", x, {f"{name}/kernel": layer.kernel, f"{name}/bias": layer.bias})
    x = _ACTIVATIONS[perceptron.activation](graph, name, x)
    if layer.scale is not None and layer.shift is not None:
      norm = f"norm_{index}"
      parameters = {f"{norm}/scale": layer.scale, f"{norm}/shift": layer.shift}
      x = graph.add("LayerNormalization", f"{norm}/out", x, parameters, axis=-1, epsilon=LAYER_NORM_EPSILON)
  x = graph.add("Gemm", "mean/affine", x, {"mean/kernel": perceptron.kernel, "mean/bias": perceptron.bias})
  x = graph.add("Tanh", "squash/tanh", x)
  # Within [-1, 1] whatever a runtime's tanh rounds to.
  graph.add("Clip", "action", x, {"squash/low": np.asarray(-1.0), "squash/high": np.asarray(1.0)})
  first = perceptron.hidden[0].kernel if perceptron.hidden else perceptron.kernel
  return graph.model(first.shape[0], perceptron.kernel.shape[1])


class _Graph:
  """Nodes one after the other, each with one output.

  Args:
    dtype: of all numbers.
  """

  def __init__(self, dtype: np.dtype):
    self._onnx, _ = _packages()
    self._dtype = dtype
    self._nodes: list[onnx.NodeProto] = []
    self._parameters: list[onnx.TensorProto] = []

  def add(
    self, operator: str, name: str, x: str, parameters: Mapping[str, np.ndarray] | None = None, **attributes: object
  ) -> str:
    """Adds a node and its parameters; returns the name of its output."""
    parameters = parameters or {}
    self._parameters += [
      self._onnx.numpy_helper.from_array(np.asarray(array, self._dtype), parameter)
      for parameter, array in parameters.items()
    ]
    self._nodes.append(self._onnx.helper.make_node(operator, [x, *parameters], [name], name=name, **attributes))
    return name

  def join(self, operator: str, name: str, first: str, second: str) -> str:
    """Adds a node of two outputs of others; returns the name of its own."""
    self._nodes.append(self._onnx.helper.make_node(operator, [first, second], [name], name=name))
    return name

  def model(self, observation_size: int, action_size: int) -> "onnx.ModelProto":
    """The whole, with a batch of any size."""
    helper = self._onnx.helper
    kind = helper.np_dtype_to_tensor_dtype(self._dtype)
    ends = [
      helper.make_tensor_value_info(name, kind, ["batch", size])
      for name, size in (("observation", observation_size), ("action", action_size))
    ]
    graph = helper.make_graph(self._nodes, "policy", ends[:1], ends[1:], self._parameters)
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION, producer_name="gippo_jax")


def _elu(graph: _Graph, name: str, x: str) -> str:
  """`max(x, 0) + (exp(min(x, 0)) - 1)`, as `networks.elu` has it; runtimes know `Elu` for float32 alone."""
  low = graph.add("Min", f"{name}/low", x, {f"{name}/zero": np.asarray(0.0)})
  exponential = graph.add("Exp", f"{name}/exponential", low)
  below = graph.add("Sub", f"{name}/below", exponential, {f"{name}/one": np.asarray(1.0)})
  return graph.join("Add", f"{name}/out", graph.add("Relu", f"{name}/above", x), below)


def _silu(graph: _Graph, name: str, x: str) -> str:
  return graph.join("Mul", f"{name}/out", x, graph.add("Sigmoid", f"{name}/sigmoid", x))


_ACTIVATIONS: dict[str, Callable[[_Graph, str, str], str]] = {
  "elu": _elu,
  "silu": _silu,
  "relu": lambda graph, name, x: graph.add("Relu", f"{name}/out", x),
  "tanh": lambda graph, name, x: graph.add("Tanh", f"{name}/out", x),
}


def _packages() -> tuple[ModuleType, ModuleType]:
  try:
    import onnx
    import onnxruntime
  except ImportError:
    raise UserError(_INSTALL) from None
  return onnx, onnxruntime
