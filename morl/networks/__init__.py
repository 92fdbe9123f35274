"""Networks as typed pytrees of arrays, and encoders from observation spaces to their inputs."""
