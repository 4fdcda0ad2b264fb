"""Downloads from a local server that can send the rest of a file and cut it off."""

import dataclasses
import hashlib
import http.server
import io
import threading
import zipfile
from functools import partial
from pathlib import Path

import pytest

from melanet.data.download import fetch, fetch_files
from sharpunet.data import BUILDERS, InputError, prepare
from sharpunet.data.covid_ct import URLS as CT_URLS
from sharpunet.data.isic2018 import URLS as ISIC_URLS

CONTENT = bytes(range(256)) * 20


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers from `server.files`; sends at most `server.cut` bytes per request."""

    def do_GET(self):
        content = self.server.files.get(self.path)
        asked = self.headers["Range"]
        self.server.asked.append(asked)
        if content is None:
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if not self.server.ranges:
            start = 0
        if start >= len(content):
            self.send_response(416)
            if self.server.lengths:
                self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if self.server.lengths:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:][: self.server.cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files, server.asked = {"/file": CONTENT}, []
        server.cut, server.ranges, server.lengths = None, True, True
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_file_arrives_whole_and_is_not_asked_for_twice(server, tmp_path):
    target = tmp_path / "new/file"
    for _ in range(2):
        assert fetch(f"{server.url}/file", target, hashlib.sha256(CONTENT).hexdigest()) == target
    assert target.read_bytes() == CONTENT
    assert server.asked == [None]
    assert list(target.parent.iterdir()) == [target]


def test_interrupted_downloads_resume(server, tmp_path):
    server.cut = 2000
    for _ in range(2):
        with pytest.raises(
            InputError, match=rf"file.*{server.url}/file.*cut off after [24]000 of 5120"
        ):
            fetch(f"{server.url}/file", tmp_path / "file")
        assert not (tmp_path / "file").exists()
    fetch(f"{server.url}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=2000-", "bytes=4000-"]


def test_a_server_that_cannot_resume_sends_the_whole_file_again(server, tmp_path):
    (tmp_path / "file.partial").write_bytes(b"old")
    server.ranges = False
    fetch(f"{server.url}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_server_need_not_know_the_size(server, tmp_path):
    server.lengths = False
    fetch(f"{server.url}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("lengths", [True, False])
def test_a_partial_file_that_is_whole_is_only_renamed(lengths, server, tmp_path):
    server.lengths = lengths
    (tmp_path / "file.partial").write_bytes(CONTENT)
    fetch(f"{server.url}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("sha256", ["0" * 64, None])
def test_damaged_downloads_are_removed(sha256, server, tmp_path):
    if sha256 is None:
        (tmp_path / "file.partial").write_bytes(CONTENT + b"more")
    with pytest.raises(InputError, match=rf"file.*{server.url}/file is damaged"):
        fetch(f"{server.url}/file", tmp_path / "file", sha256)
    assert not list(tmp_path.iterdir())


def test_what_stops_a_download_is_named(server, tmp_path):
    with pytest.raises(InputError, match=rf"file: .*{server.url}/none.*404"):
        fetch(f"{server.url}/none", tmp_path / "file")
    with pytest.raises(InputError, match=r"file: .*http://127.0.0.1:9/"):
        fetch("http://127.0.0.1:9/file", tmp_path / "file")
    (tmp_path / "taken").write_text("")
    with pytest.raises(InputError, match="taken/file"):
        fetch(f"{server.url}/file", tmp_path / "taken/file")


def zipped(**files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"images/{name}", text)
    return content.getvalue()


@pytest.fixture
def urls(server):
    server.files = {"/images.zip": zipped(a="1", b="2"), "/table": b"3"}
    return {"images.zip": f"{server.url}/images.zip", "table": f"{server.url}/table"}


def test_files_are_downloaded_and_unpacked_once(server, urls, tmp_path):
    for _ in range(2):
        fetch_files(tmp_path, urls)
    files = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {"images/a", "images/b", "table"}
    assert len(server.asked) == 2


def test_two_that_download_the_same_do_not_harm_each_other(server, urls, tmp_path):
    fetching = [threading.Thread(target=fetch_files, args=(tmp_path / "a", urls)) for _ in range(2)]
    for thread in fetching:
        thread.start()
    for thread in fetching:
        thread.join()
    assert server.asked == [None] * len(urls)  # each file once, and whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def test_the_current_folder_may_be_meant(server, urls, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path / "data")
    fetch_files(Path("."), urls)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
    assert not [path for path in Path(".").iterdir() if path.name.startswith(".")]


def test_a_damaged_zip_is_named_and_leaves_nothing_half_unpacked(server, urls, tmp_path):
    damaged = bytearray(server.files["/images.zip"])
    damaged[damaged.index(b"images/b") + 8] ^= 0xFF
    server.files["/images.zip"] = bytes(damaged)
    with pytest.raises(InputError, match=r"images.zip: cannot be unpacked"):
        fetch_files(tmp_path, urls)
    assert {path.name for path in tmp_path.iterdir()} == {"images.zip", ".downloading"}


def test_prepare_downloads_where_no_account_is_needed_and_resumes(
    server, covid_ct, tmp_path, monkeypatch
):
    files = {path.name: path.read_bytes() for path in covid_ct.iterdir()}
    server.files = {f"/{name}": content for name, content in files.items()}
    urls = {name: f"{server.url}/{name}" for name in files}
    source = BUILDERS["covid_ct"]
    filling = dataclasses.replace(source, fetch=partial(fetch_files, urls=urls))
    monkeypatch.setitem(BUILDERS, "covid_ct", filling)
    download = tmp_path / "download"
    whole = server.files.pop("/tr_mask.nii.gz")
    with pytest.raises(InputError, match=r"tr_mask\.nii\.gz.*404"):
        prepare("covid_ct", download, tmp_path / "prepared")
    server.files["/tr_mask.nii.gz"] = whole
    with pytest.warns(UserWarning, match="100 are published"):
        dataset = prepare("covid_ct", download, tmp_path / "prepared")
    assert {path.name: path.read_bytes() for path in download.iterdir()} == files
    assert len(server.asked) == 3  # what was there was not asked for again
    (download / "tr_im.nii.gz").unlink()
    assert prepare_raises(download, tmp_path / "other") == "tr_im.nii.gz"
    assert dataset.info.name == "covid_ct"


def prepare_raises(download, folder):
    """The file that is missing; a folder that holds files is not filled."""
    with pytest.raises(InputError) as error:
        prepare("covid_ct", download, folder)
    return str(error.value).split(": no such file")[0].rpartition("/")[2]


def test_the_addresses_name_the_files_that_the_readers_ask_for():
    assert set(CT_URLS) == {"tr_im.nii.gz", "tr_mask.nii.gz"}
    for name, url in ISIC_URLS.items():
        assert url.startswith("https://")
        assert url.endswith(f"/{name}")
