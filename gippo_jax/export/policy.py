"""From a run's folder to an exported policy, its contract and its model card."""

import pathlib
from typing import NamedTuple

import jax
import numpy as np

from gippo_jax.errors import UserError
from gippo_jax.export.card import card
from gippo_jax.export.contract import Check, Names, compare, contract, draw_observations
from gippo_jax.export.formats import Format, find_format
from gippo_jax.learning.policies import Policy
from gippo_jax.plain import Plain
from gippo_jax.runs.arrays import read_npz
from gippo_jax.runs.environments import make_environment
from gippo_jax.runs.files import unwritable, write_json, write_text
from gippo_jax.runs.policy_files import policy_file
from gippo_jax.runs.provenance import versions
from gippo_jax.runs.stored import StoredRun, load_policy


class Exported(NamedTuple):
  """What was written.

  Attributes:
    files: all of them, the policy first.
    contract: of the policy.
  """

  files: list[pathlib.Path]
  contract: Plain


def export_policy(
  run: StoredRun, seed: int, which: str, form: str, file: pathlib.Path | None = None, commands: tuple[str, ...] = ()
) -> Exported:
  """Writes a trained policy, checks that the file plays what the policy plays, and writes contract and model card.

  Args:
    run: that trained it.
    seed: of the member.
    which: `best` or `final`.
    form: the format's name.
    file: to write; `export/seed_N_WHICH.SUFFIX` in the run's folder when `None`. The contract and the card lie beside
      it, with `.json` and `.md` behind its name.
    commands: that made the policy and this file, for the card.

  Raises:
    UserError: for an unknown format, a missing package, networks that the format cannot hold, a file that cannot be
      written, or one that does not play what the policy plays.
  """
  chosen = find_format(form)
  policy = load_policy(run.workdir.path, seed, which)
  file = file or run.workdir.path / "export" / f"seed_{seed}_{which}{chosen.suffix}"
  if file.suffix != chosen.suffix:
    raise UserError(f"--out: {str(file)!r} is not allowed; allowed: a name that ends in {chosen.suffix}")
  try:
    file.parent.mkdir(parents=True, exist_ok=True)
    check = _write_and_check(chosen, file, policy)
    _, metadata = read_npz(policy_file(run.workdir.path, seed))
    source = {
      "task": run.experiment.env,
      "algorithm": run.experiment.config.algorithm,
      "seed": seed,
      "policy": which,
      "epochs": metadata["epoch"],
    }
    made_by = {**versions(), **chosen.versions()}
    agreed = contract(file.name, form, policy, source, _names(run.experiment.env), check, made_by)
    beside = [file.with_name(file.name + suffix) for suffix in (".json", ".md")]
    write_json(beside[0], agreed)
    write_text(beside[1], card(run, agreed, chosen, commands))
  except OSError as error:
    raise unwritable("--out", file, error) from None
  runner = [file.with_suffix(".py")] if form == "npz" else []
  return Exported([file, *runner, *beside], agreed)


def _write_and_check(chosen: Format, file: pathlib.Path, policy: Policy) -> Check:
  """Both play on full precision: an accelerator's short products would be the larger part of the difference."""
  with jax.default_matmul_precision("highest"):
    chosen.write(file, policy)
    observations = draw_observations(policy)
    wanted = np.asarray(jax.jit(lambda policy, observations: policy(observations))(policy, observations))
    return compare(observations, wanted, np.asarray(chosen.load(file)(observations)), str(file))


def _names(env: Plain) -> Names:
  """Of the entries, where the environment can be made and says them."""
  try:
    made = make_environment(env)
  except UserError:  # a policy needs no environment: it may be elsewhere by now
    return Names()
  return Names(*(_texts(getattr(made, name, None)) for name in ("observation_names", "action_names")))


def _texts(value: object) -> list[str] | None:
  return [str(entry) for entry in value] if isinstance(value, (list, tuple)) else None
