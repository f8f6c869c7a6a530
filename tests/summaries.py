"""Summaries for tests."""

from gippo_jax.runs.summary import is_summary

SCORES = ("best_return", "final_return", "evaluation_return", "best_evaluation_return")


def make_summary(num_members=1, **changes):
  """A summary of a finished run of so many seeds, with `changes`."""
  summary = {
    **{"status": "finished", "algorithm": "gippo", "environment": {"name": "dejong"}, "device": "cpu"},
    **{"epochs": 10, "steps": 640, "memory_bytes": {"peak": 1}, "phase_seconds": {}, "versions": {"jax": "0"}},
    **{name: [0.0] * num_members for name in SCORES},
    **{name: [0] * num_members for name in ("episodes", "evaluation_failed", "best_evaluation_failed")},
    **{"seeds": [1] * num_members, "diverged": [False] * num_members, "reasons": [None] * num_members},
    **dict.fromkeys(("compile_seconds", "run_seconds", "epochs_per_second", "steps_per_second"), 1.0),
    **changes,
  }
  assert is_summary(summary)
  return summary
