"""Pictures of the JAX-native environments: what a state looks like, drawn on the host with Pillow."""
