"""TLS contexts from files that settings name."""

from __future__ import annotations

import ssl
from pathlib import Path

from infra.config import Settings
from infra.errors import SettingsError


def client_context(
    server: str, ca_file: str, certificate_file: str, key_file: str, key_password: str = ""
) -> ssl.SSLContext:
    """What a client of `server` trusts and shows; the server's name is always checked.

    Args:
        server: the first word of its settings, such as ``KAFKA``.
        ca_file: who is trusted; empty for whom the system trusts.
        certificate_file: of this client, with its chain; empty for none.
        key_file: of the certificate; empty where the certificate's file holds it.

    Raises:
        SettingsError: a file cannot be read or holds something else.
    """
    if ca_file:
        _readable(f"{server}_CA_FILE", ca_file)
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except (ssl.SSLError, ValueError) as error:
        raise SettingsError(
            f"{server}_CA_FILE={ca_file} holds no certificates in PEM: {error}"
        ) from error
    if certificate_file or key_file:
        load_certificate(context, server, certificate_file, key_file, key_password)
    return context


def load_certificate(
    context: ssl.SSLContext, server: str, certificate_file: str, key_file: str, key_password: str
) -> None:
    """Make a context show a certificate.

    Raises:
        SettingsError: a file cannot be read, holds something else, or the key is another's.
    """
    if not certificate_file:
        raise SettingsError(
            f"{server}_KEY_FILE={key_file} is of no use without {server}_CERTIFICATE_FILE"
        )
    for name, file in (("CERTIFICATE_FILE", certificate_file), ("KEY_FILE", key_file)):
        if file:
            _readable(f"{server}_{name}", file)
    try:
        # A key that is encrypted would otherwise be asked for on the terminal.
        context.load_cert_chain(certificate_file, key_file or None, lambda: key_password)
    except (ssl.SSLError, ValueError) as error:
        raise SettingsError(
            f"{server}_CERTIFICATE_FILE={certificate_file} and {server}_KEY_FILE={key_file} are no "
            f"certificate in PEM with its key: {error}"
        ) from error


def http_url(settings: Settings, port: int) -> str:
    """Where the API of this machine answers, by HTTPS where it has a certificate."""
    scheme = "https" if settings.http_certificate_file else "http"
    return f"{scheme}://{settings.http_host}:{port}"


def _readable(name: str, file: str) -> None:
    try:
        Path(file).open("rb").close()
    except OSError as error:
        raise SettingsError(f"{name}={file} cannot be read: {error.strerror}") from error
