"""The folder that the job is given."""

from pathlib import Path
from unittest.mock import Mock

import pytest

from spark.contracts.movielens import DatasetError
from spark.ingest.dataset import read_dataset


def test_a_file_in_place_of_the_folder_is_refused_with_the_way_out(tmp_path: Path) -> None:
    file = tmp_path / "ratings.dat"
    file.write_text("1::1::5::978300760\n")
    with pytest.raises(DatasetError, match="is a file: give the folder that holds it"):
        read_dataset(Mock(), file.as_uri(), str(tmp_path / "result"), None, with_tags=False)
