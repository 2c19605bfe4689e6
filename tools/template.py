"""template.yaml as data."""

import re
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


def variable(function: str, name: str) -> str:
    """A function's environment variable if all parameters have their defaults.

    Args:
        function: its logical id.
        name: of a variable that is made of parameters alone.
    """
    whole = template()
    text = whole["Resources"][function]["Properties"]["Environment"]["Variables"][name]
    return re.sub(r"\$\{(\w+)\}", lambda found: str(whole["Parameters"][found[1]]["Default"]), text)
