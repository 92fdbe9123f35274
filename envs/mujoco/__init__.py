"""MuJoCo robots: stepped together on the host, and on MuJoCo's JAX back-end (MJX)."""
