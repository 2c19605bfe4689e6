"""Data sets by name: downloaded and checked, generated, or a folder; otherwise one clear error."""

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from local.cloud import free_ports
from tools.data_sets import NoDataSetError, download, files_of, folder_of
from tools.progress import StageProgress

RATINGS = "userId,movieId,rating,timestamp\n1,1,4.0,964982703\n"
MOVIES = "movieId,title,genres\n1,Toy Story (1995),Adventure\n"


def archive(files: Mapping[str, str]) -> bytes:
    """Return a zip of these files."""
    blob = io.BytesIO()
    with zipfile.ZipFile(blob, "w") as content:
        for name, text in files.items():
            content.writestr(name, text)
    return blob.getvalue()


RELEASE = {"ml/ratings.csv": RATINGS, "ml/movies.csv": MOVIES}
GOOD = archive(RELEASE | {"ml/README.txt": "read"})


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


class Site:
    """A web server on loopback.

    Attributes:
        files: the files that it serves, by path.
        cut: number of bytes missing at the end of each response.
        asked: the paths of all requests.
        url: the server's URL.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut = 0
        self.asked: list[str] = []
        self.url = ""

    def publish(self, name: str, content: bytes, published: str) -> None:
        self.files = {f"/{name}.zip": content, f"/{name}.zip.md5": published.encode()}


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append(self.path)
            content = site.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            short = site.cut if self.path.endswith(".zip") else 0
            self.wfile.write(content[: len(content) - short])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    site.url = f"http://127.0.0.1:{server.server_port}"
    yield site
    server.shutdown()
    server.server_close()


def get(site: Site, data: Path) -> Path:
    return download("ml-1m", data, site.url)


@pytest.mark.parametrize("form", ["{md5}  ml-1m.zip\n", "MD5 (ml-1m.zip) = {md5}\n", "{md5}\n"])
def test_a_release_is_checked_unpacked_and_kept(
    site: Site,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    form: str,
) -> None:
    site.publish("ml-1m", GOOD, form.format(md5=md5(GOOD)))
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(StageProgress, "transferred", lambda _, *done: seen.append(done))
    folder = download("ml-1m", tmp_path, site.url)
    assert (folder / "ratings.csv").read_text() == RATINGS
    assert {path.name for path in folder.iterdir()} == {"ratings.csv", "movies.csv", "README.txt"}
    assert all(0 < done <= total for done, total in seen)
    assert seen[-1] == (len(GOOD), len(GOOD))
    assert f"MD5 {md5(GOOD)}, as published" in capsys.readouterr().err
    asked = len(site.asked)
    assert get(site, tmp_path) == folder
    assert len(site.asked) == asked


def test_a_release_whose_md5_differs_is_refused(site: Site, tmp_path: Path) -> None:
    site.publish("ml-1m", GOOD, md5(b"something else"))
    with pytest.raises(NoDataSetError, match=f"{md5(b'something else')} but got {md5(GOOD)}"):
        get(site, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_download_leaves_nothing(site: Site, tmp_path: Path) -> None:
    site.publish("ml-1m", GOOD, md5(GOOD))
    site.cut = 10
    with pytest.raises(NoDataSetError, match="cannot be downloaded"):
        get(site, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_the_error_is_one_sentence(tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(NoDataSetError, match=r"^ml-1m cannot be downloaded from .*: no connection"):
        download("ml-1m", tmp_path, nowhere)


def test_a_release_that_the_server_lacks_is_reported(site: Site, tmp_path: Path) -> None:
    with pytest.raises(NoDataSetError, match=r"404 .*Not Found"):
        get(site, tmp_path)


@pytest.mark.parametrize("evil", ["../../x", "../../../x", "ml/../../../../x", "{root}/x", "ml/.."])
def test_no_name_in_an_archive_leads_outside(site: Site, tmp_path: Path, evil: str) -> None:
    content = archive(RELEASE | {evil.format(root=tmp_path): "x"})
    site.publish("ml-1m", content, md5(content))
    with suppress(NoDataSetError):
        get(site, tmp_path / "data")
    assert {path.name for path in tmp_path.iterdir()} == {"data"}
    assert {path.name for path in (tmp_path / "data").iterdir()} <= {"ml-1m"}


def test_what_a_mac_adds_to_an_archive_is_left_out(site: Site, tmp_path: Path) -> None:
    content = archive({"__MACOSX/ml/._ratings.csv": "x"} | RELEASE)
    site.publish("ml-1m", content, md5(content))
    assert {path.name for path in get(site, tmp_path).iterdir()} == {"ratings.csv", "movies.csv"}


def test_a_download_that_is_not_an_archive_is_refused(site: Site, tmp_path: Path) -> None:
    site.publish("ml-1m", b"a page", md5(b"a page"))
    with pytest.raises(NoDataSetError, match="not a zip file"):
        get(site, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_checksum_that_is_not_an_md5_is_refused(site: Site, tmp_path: Path) -> None:
    site.publish("ml-1m", GOOD, "<html>Sign in to this network</html>")
    with pytest.raises(NoDataSetError, match="no MD5 is published"):
        get(site, tmp_path)


def test_an_archive_without_ratings_is_refused(site: Site, tmp_path: Path) -> None:
    empty = archive({"ml/README.txt": "read"})
    site.publish("ml-1m", empty, md5(empty))
    with pytest.raises(NoDataSetError, match="not a MovieLens folder"):
        get(site, tmp_path)


def test_a_folder_is_used_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text(RATINGS)
    (tmp_path / "movies.csv").write_text(MOVIES)
    assert folder_of(str(tmp_path)) == tmp_path


def test_a_missing_or_unsuitable_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        NoDataSetError, match=r"nowhere is neither a folder nor one of sample, 1m, 10m"
    ):
        folder_of(str(tmp_path / "nowhere"))
    with pytest.raises(NoDataSetError, match="is not a MovieLens folder: it needs one of"):
        folder_of(str(tmp_path))


def test_a_sample_is_generated_once(tmp_path: Path) -> None:
    folder = folder_of("sample", tmp_path)
    assert folder.name == "sample-100k"
    written = (folder / "ratings.dat").stat().st_mtime_ns
    again = folder_of("sample", tmp_path)
    assert (again / "ratings.dat").stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("there", "taken"),
    [
        (
            ("tags.csv", "ratings.csv", "links.csv"),
            ["tags.csv", "links.csv", "ratings.csv", "movies.csv"],
        ),
        (
            ("ratings.csv", "genome-tags.csv", "genome-scores.csv", "tags.csv"),
            ["tags.csv", "genome-scores.csv", "genome-tags.csv", "ratings.csv", "movies.csv"],
        ),
        (("ratings.csv",), ["ratings.csv", "movies.csv"]),
    ],
)
def test_optional_files_are_dropped_before_what_starts_the_run(
    tmp_path: Path, there: tuple[str, ...], taken: list[str]
) -> None:
    for name in (*there, "movies.csv"):
        (tmp_path / name).touch()
    assert [path.name for path in files_of(tmp_path)] == taken
