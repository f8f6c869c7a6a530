"""The algorithms whose actor follows a simulator's derivatives, and what all of them have in common in a preset."""

# A ConfigDict's fields are of any type to a type checker.
# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false

from collections.abc import Iterable

from ml_collections import ConfigDict

# SHAC and those that change one thing of it.
RELATIVES = ("shac", "rpo", "dva", "ahac", "sapo", "ivw_h", "aobg", "ddcg")
FIRST_ORDER = ("rp", "pe", "tp", *RELATIVES)


def set_rates(config: ConfigDict, rate: float, algorithms: Iterable[str] = FIRST_ORDER) -> None:
  """Gives algorithms one rate of the actor; RPO, which makes five steps an epoch, a fifth of it.

  Args:
    config: whose groups are set.
    rate: of the first epoch.
    algorithms: their names.
  """
  for name in algorithms:
    config[name].learning_rate = rate / 5.0 if name == "rpo" else rate
