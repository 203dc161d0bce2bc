"""What a run writes to disk and reads back: verified checkpoints, the workdir, parameters to start from."""
