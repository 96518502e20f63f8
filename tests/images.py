"""``make images``: asks each image's registry whether its tag has the digest that we name.

An image is named by tag and digest: the digest decides what is run, the tag tells people which
version that is. A tag can be moved by who owns it, and is when a base image is built anew.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, Self
from urllib.request import parse_http_list, parse_keqv_list

import httpx

from tests.paths import ROOT

COMPOSE: Final = ("docker-compose.yml", "infra/compose/secure/compose.yml")
DOCKERFILE: Final = "infra/compose/Dockerfile"
MANIFESTS: Final = "infra/kubernetes/freshgrid.yaml"
#: Built by who runs it, so no registry gives it a digest before.
OURS: Final = "freshgrid"
#: Where names without a registry are looked for.
DOCKER_HUB: Final = "https://registry-1.docker.io"
#: A manifest is some kilobytes; a registry that needs longer is not there.
TIMEOUT_S: Final = 20.0
#: Lists of one image for several processors: what a digest must be of to be good for all of them.
INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_SINGLE: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_IMAGE: Final = re.compile(r"(?P<name>[\w./-]+):(?P<tag>[\w.-]+)@(?P<digest>sha256:[0-9a-f]{64})")


class Image(NamedTuple):
    """An image as a file names it.

    Attributes:
        name: without a registry, those of Docker Hub.
        tag: the version.
        digest: ``sha256:`` and 64 hexadecimal digits, of the index of all processors.
    """

    name: str
    tag: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``NAME:TAG@sha256:…``.

        Raises:
            ValueError: it has no tag or no digest.
        """
        found = _IMAGE.fullmatch(text)
        if found is None:
            raise ValueError(f"image {text!r} is not NAME:TAG@sha256:…; name all three")
        return cls(**found.groupdict())


def named_images() -> Iterator[tuple[str, str]]:
    """(file, image) of each image that is not ours, as it is written."""
    import yaml

    def loaded(path: str) -> Any:
        return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))

    for path in COMPOSE:
        for service in loaded(path)["services"].values():
            if "image" in service:
                yield path, service["image"]
    bases = re.findall(r"^FROM (\S+)", (ROOT / DOCKERFILE).read_text(encoding="utf-8"), re.M)
    yield from ((DOCKERFILE, base) for base in bases)
    for item in loaded(MANIFESTS)["items"]:
        pod = item.get("spec", {}).get("template", {}).get("spec", {})
        for container in (*pod.get("initContainers", ()), *pod.get("containers", ())):
            yield MANIFESTS, container["image"]


def foreign(images: Iterator[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those that somebody else builds."""
    return [(path, text) for path, text in images if text.split(":")[0] != OURS]


class Registry:
    """Asks one registry for manifests, as anybody.

    Args:
        url: its address, without a path.
    """

    def __init__(self, url: str = DOCKER_HUB) -> None:
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_S, follow_redirects=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def manifest(self, name: str, reference: str) -> tuple[str, bool]:
        """What a tag or digest names.

        Args:
            name: of the image; one word is a name of the library.
            reference: a tag or a digest.

        Returns:
            Its digest, and whether it is an index of several processors.

        Raises:
            httpx.HTTPError: the registry does not answer, or knows no such thing.
        """
        path = f"/v2/{name if '/' in name else f'library/{name}'}/manifests/{reference}"
        headers = {"Accept": ", ".join((*INDEXES, *_SINGLE))}
        answer = self._http.get(path, headers=headers)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            token = self._token(answer.headers.get("WWW-Authenticate", ""))
            answer = self._http.get(path, headers=headers | {"Authorization": f"Bearer {token}"})
        answer.raise_for_status()
        # By its bytes and not by what a header says of them.
        digest = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
        return digest, answer.headers.get("Content-Type", "").split(";")[0] in INDEXES

    def _token(self, challenge: str) -> str:
        """What a registry lets anybody read with."""
        told = parse_keqv_list(parse_http_list(challenge.removeprefix("Bearer ")))
        asked = {name: told[name] for name in ("service", "scope") if name in told}
        answer = self._http.get(told["realm"], params=asked).raise_for_status().json()
        return str(answer.get("token") or answer["access_token"])


def told_of(image: Image, registry: Registry) -> str | None:
    """What is wrong with an image; None where its tag has its digest."""
    try:
        digest, is_index = registry.manifest(image.name, image.digest)
        now, _ = registry.manifest(image.name, image.tag)
    except httpx.HTTPStatusError as error:
        asked = error.request.url.path.rpartition("/")[2]
        return f"the registry answers {error.response.status_code} to {asked}"
    except httpx.HTTPError as error:
        return f"the registry cannot be asked: {error or type(error).__name__}"
    if digest != image.digest:
        return f"the registry gives other bytes by that digest, {digest}"
    if not is_index:
        return "the digest is of one processor alone; take that of the index"
    if now != image.digest:
        return f"the tag is at {now} now; look at what changed, then name that one"
    return None


def main(registry: Registry) -> int:
    """Print a line for each image; returns 0 where all are as named."""
    wrong = 0
    for text in sorted({text for _, text in foreign(named_images())}):
        image = Image.parse(text)
        fault = told_of(image, registry)
        wrong += fault is not None
        print(f"{image.name}:{image.tag}  {fault or f'is {image.digest}'}")
    return int(wrong > 0)


if __name__ == "__main__":
    with Registry(*sys.argv[1:]) as of:
        sys.exit(main(of))
