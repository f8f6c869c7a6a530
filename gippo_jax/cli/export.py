"""`python -m gippo_jax export`."""

import pathlib
import shlex
from collections.abc import Sequence

from gippo_jax.cli.flags import Flags
from gippo_jax.errors import UserError

FLAGS = Flags(
  "export",
  """
Writes a trained policy so that it runs without this package: python -m gippo_jax export --workdir=DIR --format=onnx

The file holds the normalisation of observations, the network and the squashing of its mean action; it is played beside
the policy before the command ends. Beside it lie its contract (.json: sizes, order, limits, examples, versions) and its
model card (.md). docs/export.md says how each format is used.""",
)
_WORKDIR = FLAGS.text("workdir", None, "Folder of the run, or of a sweep, whose best member it then is.")
_FORMAT = FLAGS.text(
  "format", None, "onnx (every runtime), stablehlo (JAX, any network), npz (NumPy and twenty lines beside it)."
)
_OUT = FLAGS.text("out", None, "File to write. Default: export/seed_N_POLICY.FORMAT in the run's folder.")
_SEED = FLAGS.integer("seed", None, "Which of the run's seeds; the one of best evaluation by default.")
_POLICY = FLAGS.choice("policy", "best", ["best", "final"], "The run's best policy, or its last.")
_MEMBER = FLAGS.integer("member", None, "Which member of a sweep; the best by default.")


def main(words: Sequence[str]) -> int:
  """Exports, and tells what was written."""
  del words
  if _WORKDIR.value is None:
    raise UserError("--workdir is missing; allowed: the folder of a run")
  if _FORMAT.value is None:
    raise UserError("--format is missing; allowed: onnx, stablehlo, npz")
  from gippo_jax.programs.devices import configure_jax

  configure_jax(1)
  from gippo_jax.cli.training_command import training_command
  from gippo_jax.export.formats import find_format
  from gippo_jax.export.policy import export_policy
  from gippo_jax.runs.stored import choose_seed, open_run
  from gippo_jax.sweep.members import member_folder

  find_format(_FORMAT.value)
  run = open_run(member_folder(pathlib.Path(_WORKDIR.value).expanduser(), _MEMBER.value))
  seed = choose_seed(run.workdir, _SEED.value, _POLICY.value)
  folder = run.workdir.path
  out = pathlib.Path(_OUT.value).expanduser() if _OUT.value else None
  made_by = [
    "python -m gippo_jax export",
    *(f"--workdir={folder}", f"--seed={seed}", f"--policy={_POLICY.value}", f"--format={_FORMAT.value}"),
    *([f"--out={out}"] if out else []),
  ]
  commands = (training_command(run.experiment, folder), " ".join([made_by[0], *map(shlex.quote, made_by[1:])]))
  exported = export_policy(run, seed, _POLICY.value, _FORMAT.value, out, commands)
  check = exported.contract["check"]
  print(
    f"{exported.files[0]}: {_POLICY.value} policy of seed {seed}; its actions differ from the policy's by at most "
    f"{check['largest_difference']:.2g} on {check['observations']} observations; beside it "
    f"{', '.join(file.name for file in exported.files[1:])}"
  )
  return 0
