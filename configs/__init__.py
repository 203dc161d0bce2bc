"""Values only: one short file an experiment."""
