"""Pictures of states of the JAX-native environments, drawn on the host with Pillow."""
