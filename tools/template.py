"""template.yaml as data."""

from functools import cache
from typing import Any

import yaml

from tools.paths import ROOT


class _Loader(yaml.SafeLoader):
    """Reads template.yaml; intrinsic functions become their argument."""


_Loader.add_multi_constructor(
    "!", lambda loader, _, node: loader.construct_scalar(node) if node.id == "scalar" else None
)


@cache
def template() -> dict[str, Any]:
    """template.yaml as a dictionary."""
    return yaml.load((ROOT / "template.yaml").read_text(), _Loader)  # noqa: S506
