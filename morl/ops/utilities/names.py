"""Names of utilities, without JAX, for settings."""

from __future__ import annotations

from morl.errors import unknown_name

NAMES = (
    "linear",
    "tchebycheff",
    "smooth-tchebycheff",
    "achievement",
    "nash-welfare",
    "p-mean",
    "alpha-fair",
    "gini",
    "max-min",
    "lexicographic",
)


def check_name(name: str) -> None:
    """Check the name of a utility; ``module:function`` names one of the user's.

    Raises:
        UserError: another name; the message has the nearest one.
    """
    if name not in NAMES and ":" not in name:
        raise unknown_name("utility", name, NAMES)
