"""datasets/download.py against a local server that breaks off, lies about the size, or sends wrong bytes."""

import hashlib
import http.server
import io
import json
import os
import re
import shutil
import threading
import zipfile

import pytest

from datasets.declaration import Archive
from datasets.preparation import download


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with the behavior that its server was given: one of the methods after `answer`."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.server.log.append(self.headers.get("Range"))
        data = self.server.files.get(self.path.rpartition("/")[2])
        if data is None:
            return self.send_error(404)
        start = int(re.match(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))[1])
        getattr(self, self.server.behavior)(data, start)

    def answer(self, status, body, length, start=0, total=None):
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.end_headers()
        self.wfile.write(body)

    def honest(self, data, start):
        if start >= len(data):
            return self.send_error(416)
        self.answer(206 if start else 200, data[start:], len(data) - start, start, len(data))

    def breaks_off(self, data, start):  # after 1,000 bytes, each time
        self.answer(206 if start else 200, data[start : start + 1000], len(data) - start, start, len(data))

    def without_ranges(self, data, start):
        self.answer(200, data, len(data))

    def dead(self, data, start):  # never more than the first 500 bytes
        self.answer(200, data[:500], len(data))

    def claims_less(self, data, start):
        self.answer(200, data[:700], 700)

    def claims_more(self, data, start):
        self.answer(200, data, len(data) + 99)

    def never_ends(self, data, start):
        self.answer(200, data * 50, None)

    def wrong_piece(self, data, start):
        self.answer(206 if start else 200, data, len(data), 0, len(data))

    def unwell(self, data, start):
        self.send_error(503) if len(self.server.log) < 3 else self.honest(data, start)


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` (name -> bytes); `behavior` is a method of Handler, `log` the ranges asked for."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {}
        self.log = []
        self.behavior = "honest"
        self.url = f"http://127.0.0.1:{self.server_port}/2018/"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setattr(download, "CHUNK", 100)
    made = Server()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/ISIC_1.jpg", os.urandom(5000))
    made.files["a.zip"] = buffer.getvalue()
    yield made
    made.shutdown()
    made.server_close()


def described(data, algorithm="sha256", size=True, checksum=True):
    known = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}" if checksum else None
    return Archive("a.zip", "http://127.0.0.1:9/nowhere/a.zip", len(data) if size else None, known)


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_honest_server_and_a_second_call_that_asks_nothing(server, tmp_path, algorithm):
    data = server.files["a.zip"]
    for _ in range(2):
        download.fetch([described(data, algorithm)], tmp_path / "archives", server.url)
    assert (tmp_path / "archives" / "a.zip").read_bytes() == data
    assert server.log == [None] and sorted(os.listdir(tmp_path / "archives")) == ["a.zip", "verified.json"]


@pytest.mark.parametrize("size", [True, False])
def test_a_connection_that_breaks_off_is_taken_up_again(server, tmp_path, size):
    server.behavior = "breaks_off"
    data = server.files["a.zip"]
    download.fetch([described(data, size=size)], tmp_path, server.url)
    assert (tmp_path / "a.zip").read_bytes() == data
    assert server.log == [None, *(f"bytes={n}-" for n in range(1000, len(data), 1000))]


@pytest.mark.parametrize("behavior", ["honest", "without_ranges", "wrong_piece"])
def test_a_partial_file_of_an_earlier_call_is_used(server, tmp_path, behavior):
    server.behavior = behavior
    data = server.files["a.zip"]
    (tmp_path / "a.zip.part").write_bytes(data[:3000])
    download.fetch([described(data)], tmp_path, server.url)
    assert (tmp_path / "a.zip").read_bytes() == data
    assert server.log == (["bytes=3000-"] if behavior != "wrong_piece" else ["bytes=3000-", None])


def test_a_partial_file_that_is_whole_or_too_long(server, tmp_path):
    data = server.files["a.zip"]
    (tmp_path / "a.zip.part").write_bytes(data)
    download.fetch([described(data)], tmp_path, server.url)
    assert server.log == []  # nothing was missing
    (tmp_path / "a.zip").unlink()
    (tmp_path / "a.zip.part").write_bytes(data + b"more")
    download.fetch([described(data)], tmp_path, server.url)
    assert (tmp_path / "a.zip").read_bytes() == data and server.log == [f"bytes={len(data) + 4}-", None]


def test_a_dead_connection_is_given_up_with_what_came_kept(server, tmp_path):
    server.behavior = "dead"
    with pytest.raises(OSError, match=r"gave up after 5 tries .* 500 bytes are kept: run it again"):
        download.fetch([described(server.files["a.zip"])], tmp_path, server.url)
    assert os.listdir(tmp_path) == ["a.zip.part"] and len(server.log) == 6


def test_a_server_unwell_for_a_while(server, tmp_path):
    server.behavior = "unwell"
    download.fetch([described(server.files["a.zip"])], tmp_path, server.url)
    assert (tmp_path / "a.zip").exists() and len(server.log) == 3


@pytest.mark.parametrize("behavior", ["claims_less", "claims_more"])
def test_a_lie_about_the_size_is_refused_at_once(server, tmp_path, behavior):
    server.behavior = behavior
    with pytest.raises(ValueError, match=r"a.zip: the server offers [\d,]+ bytes, expected [\d,]+; not downloaded"):
        download.fetch([described(server.files["a.zip"])], tmp_path, server.url)
    assert len(server.log) == 1 and os.listdir(tmp_path) == []


@pytest.mark.parametrize("behavior", ["claims_less", "claims_more"])
def test_a_lie_about_an_unknown_size_is_found_too(server, tmp_path, behavior):
    server.behavior = behavior
    with pytest.raises((ValueError, OSError), match=r"not a whole zip archive|gave up after 5 tries"):
        download.fetch([described(server.files["a.zip"], size=False, checksum=False)], tmp_path, server.url)
    assert not (tmp_path / "a.zip").exists()


def test_more_than_expected_is_not_stored(server, tmp_path):
    server.behavior = "never_ends"
    with pytest.raises(ValueError, match=r"bytes, expected [\d,]+; what was received is deleted"):
        download.fetch([described(server.files["a.zip"])], tmp_path, server.url)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_wrong_bytes_are_never_used(server, tmp_path, algorithm):
    known = described(server.files["a.zip"], algorithm)
    server.files["a.zip"] = server.files["a.zip"].replace(b"ISIC_1", b"ISIC_9")
    message = rf"a.zip has the {algorithm} sum [0-9a-f]+, expected [0-9a-f]+; .* deleted: download it again from http"
    with pytest.raises(ValueError, match=message):
        download.fetch([known], tmp_path, server.url)
    assert os.listdir(tmp_path) == []


def test_without_a_known_sum_the_seen_one_is_recorded_and_must_come_again(server, tmp_path, capsys):
    data = server.files["a.zip"]
    unknown = described(data, size=False, checksum=False)
    download.fetch([unknown], tmp_path, server.url)
    seen = f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert f"a.zip: no official sum is known; recorded {seen}" in capsys.readouterr().out
    assert json.loads((tmp_path / "verified.json").read_text())["a.zip"]["checksum"] == seen
    (tmp_path / "a.zip").unlink()
    server.files["a.zip"] = data.replace(b"ISIC_1", b"ISIC_9")
    with pytest.raises(ValueError, match=r"has the sha256 sum .*, expected .*"):
        download.fetch([unknown], tmp_path, server.url)


def test_without_a_known_sum_every_entry_is_read(server, tmp_path):
    data = bytearray(server.files["a.zip"])
    data[200] ^= 255
    server.files["a.zip"] = bytes(data)
    with pytest.raises(ValueError, match=r"not a whole zip archive \(a/ISIC_1.jpg is damaged\)"):
        download.fetch([described(data, size=False, checksum=False)], tmp_path, server.url)
    assert os.listdir(tmp_path) == []


def test_an_archive_put_there_by_hand_is_verified_and_never_deleted(server, tmp_path):
    data = server.files["a.zip"]
    (tmp_path / "a.zip").write_bytes(b"x" * len(data))
    with pytest.raises(ValueError, match=r"a.zip has the sha256 sum .*: download it again from"):
        download.fetch([described(data)], tmp_path, server.url)
    assert (tmp_path / "a.zip").exists() and server.log == []
    (tmp_path / "a.zip").write_bytes(data)
    download.fetch([described(data)], tmp_path, server.url)
    assert server.log == []


def test_not_found_and_no_address(server, tmp_path):
    missing = Archive("b.zip", "http://127.0.0.1:9/b.zip", None, None)
    with pytest.raises(OSError, match=r"b.zip: the server answered 404 .* by hand"):
        download.fetch([missing], tmp_path, server.url)
    with pytest.raises(OSError, match=r"gave up after 5 tries \(ConnectionError"):
        download.fetch([missing], tmp_path)  # nobody listens at its own address
    with pytest.raises(ValueError, match="No scheme supplied"):
        download.fetch([missing], tmp_path, "not-an-address")


def test_disk_full_before_and_during(server, tmp_path, monkeypatch):
    archive = described(server.files["a.zip"])
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(OSError, match=r"disk full: 0.00 GB are still to be downloaded"):
        download.fetch([archive], tmp_path, server.url)
    assert server.log == []
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    (tmp_path / "a.zip.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"disk full while downloading a.zip.part: free some space"):
        download.fetch([archive], tmp_path, server.url)
