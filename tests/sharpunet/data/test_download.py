"""Downloads from a server on this machine that can send the rest of a file, and cut it off."""

import hashlib
import http.server
import io
import threading
import zipfile

import pytest

from sharpunet.data import InputError, download
from sharpunet.data.download import fetch, fetch_dataset, main

CONTENT = bytes(range(256)) * 20


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers from `server.files`; sends at most `server.cut` bytes a request."""

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


def test_what_was_cut_off_goes_on_where_it_stopped(server, tmp_path):
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


def test_a_server_that_cannot_go_on_sends_all_of_it_again(server, tmp_path):
    (tmp_path / "file.partial").write_bytes(b"old")
    server.ranges = False
    fetch(f"{server.url}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_server_that_tells_no_size_is_believed(server, tmp_path):
    server.lengths = False
    fetch(f"{server.url}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_partial_file_that_is_whole_is_only_renamed(server, tmp_path):
    (tmp_path / "file.partial").write_bytes(CONTENT)
    fetch(f"{server.url}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("sha256", ["0" * 64, None])
def test_what_is_damaged_is_removed(sha256, server, tmp_path):
    if sha256 is None:
        (tmp_path / "file.partial").write_bytes(CONTENT + b"more")
    with pytest.raises(InputError, match=rf"file.*{server.url}/file is damaged"):
        fetch(f"{server.url}/file", tmp_path / "file", sha256)
    assert not list(tmp_path.iterdir())


def test_no_such_file_no_server_and_no_place_are_named(server, tmp_path):
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
def dataset(server, monkeypatch):
    server.files = {"/images.zip": zipped(a="1", b="2"), "/table": b"3"}
    urls = {"images.zip": f"{server.url}/images.zip", "table": f"{server.url}/table"}
    monkeypatch.setitem(download.URLS, "small", urls)
    return server


def test_a_dataset_is_downloaded_and_unpacked_once(dataset, tmp_path):
    for _ in range(2):
        fetch_dataset("small", tmp_path)
    files = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {"images/a", "images/b", "table"}
    assert len(dataset.asked) == 2


def test_a_damaged_zip_is_one_line_and_leaves_nothing_half_unpacked(dataset, tmp_path, capsys):
    damaged = bytearray(dataset.files["/images.zip"])
    damaged[damaged.index(b"images/b") + 8] ^= 0xFF
    dataset.files["/images.zip"] = bytes(damaged)
    assert main(["small", "--to", str(tmp_path)]) == 2
    errors = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error:")]
    assert len(errors) == 1
    assert "images.zip: cannot be unpacked" in errors[0]
    assert [path.name for path in tmp_path.iterdir()] == ["images.zip"]


def test_the_addresses_name_the_files_that_the_readers_ask_for():
    assert set(download.URLS["covid_ct"]) == {"tr_im.nii.gz", "tr_mask.nii.gz"}
    for name, url in download.URLS["isic2018"].items():
        assert url.startswith("https://")
        assert url.endswith(f"/{name}")
