"""An authority of one test, whose certificates nobody else trusts."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple


class Issued(NamedTuple):
    """A certificate, its key, and both in one file; in PEM, the key as PKCS #8."""

    certificate: Path
    key: Path
    both: Path


class Authority:
    """Made by openssl in a folder; valid for a day.

    Attributes:
        certificate: what clients and servers are to trust.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.certificate = folder / "ca.pem"
        self._key = folder / "ca.key"
        self._openssl(
            *("req", "-x509", "-subj", "/CN=authority of a test", "-keyout", str(self._key)),
            *("-out", str(self.certificate), "-days", "1", *_NEW_KEY),
        )

    def issue(self, name: str) -> Issued:
        """For a client called so, or a server at 127.0.0.1 and no other name."""
        made = Issued(*(self._folder / f"{name}.{end}" for end in ("pem", "key", "both.pem")))
        self._openssl(
            *("req", "-x509", "-subj", f"/CN={name}", "-days", "1", *_NEW_KEY),
            *("-CA", str(self.certificate), "-CAkey", str(self._key)),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
            *("-addext", "basicConstraints=critical,CA:FALSE"),
            *("-keyout", str(made.key), "-out", str(made.certificate)),
        )
        made.both.write_text(made.key.read_text() + made.certificate.read_text())
        return made

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
