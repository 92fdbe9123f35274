"""Code of the documents, with less training."""

import re


def shortened(code):
    """Return code with a fifth of the steps of trainings of 100 000 and more."""
    return re.sub(r"steps=(\d{3})_000\b", lambda match: f"steps={int(match[1]) // 5}_000", code)
