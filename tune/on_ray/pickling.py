"""Objects that Tune must not pickle."""

from __future__ import annotations

from typing import Any


class NotPickled:
    """Mixin that puts a text in place of the object in what Tune pickles; a study is resumed from its journal."""

    def __deepcopy__(self, memo: Any) -> Any:
        return self

    def __reduce__(self) -> Any:
        return str, ("in the journal",)
