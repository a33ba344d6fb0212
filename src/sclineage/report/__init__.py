"""The HTML report. ``sclineage.report(mdata, path)`` writes it: the package itself is callable."""

from __future__ import annotations

import sys
from os import PathLike
from types import ModuleType
from typing import Any


class _Report(ModuleType):
    def __call__(self, mdata: Any, path: str | PathLike[str]) -> None:
        """Write the one-file HTML report of a processed patient; see `sclineage.report.page.write_report`."""
        from .page import write_report

        write_report(mdata, path)


sys.modules[__name__].__class__ = _Report
