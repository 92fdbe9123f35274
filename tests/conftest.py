"""Two virtual CPU devices, so that the split over devices is what every test runs."""

import jax

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 2)
