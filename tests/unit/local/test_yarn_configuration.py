"""The configuration of a YARN: EMR's settings, overridden by the request's."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from local.access import Access
from local.emr.step import NodesError
from local.yarn.configuration import Configuration, configuration, node_size, xml

ACCESS = Access("http://127.0.0.1:1", "http://127.0.0.1:2", "secret")


def configured(tmp_path: Path, *given: tuple[str, dict[str, str]]) -> Configuration:
    """Return the configuration for a request's classifications."""
    metadata: Any = SimpleNamespace(endpoint="http://127.0.0.1:3")
    configurations = [{"Classification": name, "Properties": each} for name, each in given]
    request = {"Configurations": configurations}
    return configuration(
        request, ACCESS, metadata, tmp_path, iter(range(10, 20)), node_size(12_288, 4)
    )


def test_emrs_settings_are_the_defaults(tmp_path: Path) -> None:
    spark = configured(tmp_path).spark
    assert spark["spark.executor.memory"] == "9486M"
    assert spark["spark.dynamicAllocation.enabled"] == "true"


def test_a_requests_settings_override_emrs(tmp_path: Path) -> None:
    given = configured(
        tmp_path,
        ("spark-defaults", {"spark.executor.memory": "1g", "spark.authenticate": "true"}),
        ("yarn-site", {"yarn.nodemanager.vmem-check-enabled": "true"}),
    )
    assert given.spark["spark.executor.memory"] == "1g"
    assert given.spark["spark.authenticate"] == "true"
    assert given.yarn["yarn.nodemanager.vmem-check-enabled"] == "true"


def test_an_unsupported_classification_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NodesError, match="does not support the classification hive-site"):
        configured(tmp_path, ("hive-site", {}))


def test_the_configuration_files_contain_no_key(tmp_path: Path) -> None:
    settings = configured(tmp_path)
    settings.write(tmp_path / "conf")
    files = [path.read_text() for path in (tmp_path / "conf").iterdir()]
    assert len(files) == 5
    assert not any(ACCESS.secret in text for text in files)


def test_properties_are_written_as_xml() -> None:
    assert "<name>a</name><value>1 &lt; 2 &amp; 3</value>" in xml({"a": "1 < 2 & 3"})
