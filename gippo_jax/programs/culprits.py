"""What is told of the operations that break the derivatives of an environment's steps."""

import dataclasses

import jax

from gippo_jax.envs.third_party import standard_promotion
from gippo_jax.plain import Plain
from gippo_jax.programs.gradients import Sample, Step
from gippo_jax.programs.nonfinite import Operation, broken_operations, hint_of


@dataclasses.dataclass
class Culprit:
  """An operation, and where it was met.

  Attributes:
    operation: as it was met first.
    step, environment: where.
    leaves: arrays by which that step's derivative is not finite.
    samples: examined steps that it breaks.
    first: those of them in which reverse mode meets it before all others.
  """

  operation: Operation
  step: int
  environment: int
  leaves: tuple[str, ...]
  samples: int = 0
  first: int = 0

  def lines(self, examined: int) -> list[str]:
    """In words."""
    operation = self.operation
    operands = ", ".join(
      f"array {list(operand.shape)}" if operand.value is None else f"{operand.value:.9g}"
      for operand in operation.operands
    )
    leaves = ", ".join(self.leaves[:4]) + (f" and {len(self.leaves) - 4} more" if len(self.leaves) > 4 else "")
    where = [f"{frame.file}:{frame.line}, in {frame.function}" for frame in operation.lines] or ["unknown line"]
    kind = "the value is not finite itself, and hidden later" if operation.value_broken else "the value is finite"
    told = [
      f"{operation.primitive} of ({operands}): {kind}; in {self.samples} of {examined} steps, first in {self.first}",
      *([f"  within the custom derivative of {operation.rule}"] if operation.rule else []),
      f"  at {where[0]}",
      *(f"  from {line}" for line in where[1:]),
      f"  met at step {self.step} of environment {self.environment}; derivative not finite by {leaves}",
    ]
    hint = hint_of(operation)
    return [*told, f"  hint: {hint}"] if hint else told

  def plain(self) -> Plain:
    """For a file."""
    operation = self.operation
    return {
      "primitive": operation.primitive,
      "operands": [{"shape": list(operand.shape), "value": operand.value} for operand in operation.operands],
      "lines": [frame._asdict() for frame in operation.lines],
      "rule": operation.rule,
      "value_broken": operation.value_broken,
      "hint": hint_of(operation),
      "step": self.step,
      "environment": self.environment,
      "leaves": list(self.leaves),
      "samples": self.samples,
      "first": self.first,
    }


def culprits_of(step: Step, samples: list[Sample]) -> list[Culprit]:
  """The operations that break steps.

  Args:
    step: the environment's.
    samples: the steps, in their order.

  Returns:
    Each operation once; those first that reverse mode meets first in most steps.
  """
  found: dict[tuple, Culprit] = {}
  program = None
  for sample in samples:
    if program is None:
      program = step.program(sample.state, sample.action)
    real, others = jax.tree.map(lambda leaf: leaf[None], step.arguments(sample.state, sample.action))
    active = [True] * len(real) + [False] * len(others)
    with standard_promotion():  # rules of derivatives are traced here, and may be another package's
      operations = broken_operations(program, [*real, *others], active)
    met = set()
    for index, operation in enumerate(operations):
      culprit = found.setdefault(operation.place, Culprit(operation, sample.step, sample.environment, sample.leaves))
      culprit.first += index == 0
      culprit.samples += operation.place not in met
      met.add(operation.place)
  return sorted(found.values(), key=lambda culprit: (-culprit.first, -culprit.samples))
