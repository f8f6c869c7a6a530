"""The host's side of a run: files, checkpoints, progress, pictures."""
