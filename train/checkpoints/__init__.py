"""Verified checkpoints, the workdir of a run, and parameters to start from."""
