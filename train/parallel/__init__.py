"""Devices and processes: the mesh, partition specs by path, messages between processes, the environment JAX needs."""
