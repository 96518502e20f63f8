"""Images are named by digest, and what a registry says of them is told apart."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.images import (
    INDEXES,
    OURS,
    Image,
    Registry,
    foreign,
    main,
    named_images,
    told_of,
)

pytest.importorskip("yaml", reason="needs PyYAML")

SINGLE = "application/vnd.oci.image.manifest.v1+json"
TOKEN = "for-anybody"


def test_every_image_is_named_by_an_exact_version_and_a_digest() -> None:
    images = [Image.parse(text) for _, text in foreign(named_images())]
    assert {image.name for image in images} >= {"apache/kafka", "valkey/valkey", "python"}
    assert [image for image in images if image.tag.strip("v").count(".") != 2] == []


def test_equal_images_are_named_alike_everywhere() -> None:
    named = {text for _, text in foreign(named_images())}
    assert len({Image.parse(text).name for text in named}) == len(named)


def test_what_is_ours_is_named_by_its_name_alone_or_a_version() -> None:
    ours = {text for _, text in named_images() if text.split(":")[0] == OURS}
    assert {len(text.split(":")) for text in ours} <= {1, 2}


@pytest.mark.parametrize("text", ["python", "python:3.12.14", f"python@sha256:{'0' * 64}"])
def test_an_image_without_a_digest_or_a_tag_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not NAME:TAG@sha256"):
        Image.parse(text)


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Hub(ThreadingHTTPServer):
    """Answers as registries do: to who has a token, which anybody gets.

    Attributes:
        manifests: (name, tag or digest) → (media type, bytes).
    """

    manifests: dict[tuple[str, str], tuple[str, bytes]]

    def put(self, name: str, tag: str, content: bytes, kind: str = INDEXES[0]) -> str:
        """Move a tag there; returns the digest."""
        for reference in (tag, digest_of(content)):
            self.manifests[name, reference] = (kind, content)
        return digest_of(content)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answers(BaseHTTPRequestHandler):
    server: Any

    def do_GET(self) -> None:
        if self.path.startswith("/token?"):
            assert "scope=repository%3Alibrary%2Fpython%3Apull" in self.path
            return self._send(200, "application/json", json.dumps({"token": TOKEN}).encode())
        _, version, *name, kind, reference = self.path.split("/")
        assert (version, kind) == ("v2", "manifests")
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            scope = f"repository:{'/'.join(name)}:pull"
            challenge = f'Bearer realm="{self.server.url}/token",service="hub",scope="{scope}"'
            return self._send(401, "text/plain", b"", {"WWW-Authenticate": challenge})
        found = self.server.manifests.get(("/".join(name), reference))
        return self._send(200, *found) if found else self._send(404, "text/plain", b"")

    def _send(
        self, code: int, kind: str, body: bytes, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(code)
        for name, value in {"Content-Type": kind, **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub(("127.0.0.1", 0), Answers) as started:
        started.manifests = {}
        thread = threading.Thread(target=started.serve_forever, args=(0.05,))
        thread.start()
        yield started
        started.shutdown()
        thread.join(10)


def test_a_tag_that_has_its_digest_one_that_moved_and_one_that_never_was(hub: Hub) -> None:
    digest = hub.put("library/python", "3.12.14", b"first")
    image = Image("python", "3.12.14", digest)
    with Registry(hub.url) as registry:
        assert told_of(image, registry) is None
        moved = hub.put("library/python", "3.12.14", b"second")
        assert f"the tag is at {moved} now" in str(told_of(image, registry))
        unknown = image._replace(digest=digest_of(b"never"))
        assert f"answers 404 to {unknown.digest}" in str(told_of(unknown, registry))
        hub.manifests["library/python", digest] = (INDEXES[0], b"other bytes")
        assert "gives other bytes" in str(told_of(image, registry))
        single = hub.put("library/python", "3.12.15", b"one", SINGLE)
        assert "one processor alone" in str(told_of(Image("python", "3.12.15", single), registry))


def test_a_registry_that_is_away_is_told_of_each_image(
    hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    away = hub.url
    hub.server_close()
    with Registry(away) as registry:
        assert main(registry) == 1
    said = capsys.readouterr().out.splitlines()
    assert len(said) == len({text for _, text in foreign(named_images())})
    assert all("cannot be asked" in line for line in said)
