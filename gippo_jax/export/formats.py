"""The forms that there are, by name."""

import pathlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from gippo_jax.errors import UserError
from gippo_jax.export import numpy_file, onnx_graph, stablehlo
from gippo_jax.learning.policies import Policy


class Format(NamedTuple):
  """A form in which a policy leaves.

  Attributes:
    suffix: of its files.
    write: writes a policy into a file.
    load: from a file to the function that it holds, `[B, O] -> [B, A]`.
    versions: of what writes it, by name.
    promise: who can read it, and how long.
    usage: how it is used, in Python; `{file}` is the file's name, `{stem}` that without its suffix.
  """

  suffix: str
  write: Callable[[pathlib.Path, Policy], None]
  load: Callable[[pathlib.Path], Callable[[np.ndarray], np.ndarray]]
  versions: Callable[[], Mapping[str, object]]
  promise: str
  usage: str


FORMATS = {
  "onnx": Format(
    ".onnx",
    onnx_graph.write,
    onnx_graph.load,
    onnx_graph.versions,
    f"Any runtime of ONNX that knows operator set {onnx_graph.OPSET} (2022) or later reads it.",
    """\
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("{file}")
(actions,) = session.run(["action"], {{"observation": np.zeros((1, {observation_size}), "{type}")}})
""",
  ),
  "stablehlo": Format(
    ".stablehlo",
    stablehlo.write,
    stablehlo.load,
    stablehlo.versions,
    stablehlo.GUARANTEE,
    """\
import pathlib

import jax
import jax.numpy as jnp
from jax import export

policy = jax.jit(export.deserialize(bytearray(pathlib.Path("{file}").read_bytes())).call)
actions = policy(jnp.zeros((1, {observation_size}), "{type}"))
""",
  ),
  "npz": Format(
    ".npz",
    numpy_file.write,
    numpy_file.load,
    numpy_file.versions,
    "Any NumPy reads it; the arithmetic is the twenty lines beside it, to be copied into any language.",
    """\
import numpy as np
import {stem}  # {stem}.py, which lies beside the file

policy = {stem}.load("{file}")
actions = policy(np.zeros((1, {observation_size})))
""",
  ),
}


def find_format(name: str) -> Format:
  """The form of that name.

  Raises:
    UserError: when there is none.
  """
  if name not in FORMATS:
    raise UserError(f"--format: {name!r} is unknown; allowed: {', '.join(FORMATS)}")
  return FORMATS[name]
