"""Who a service is to others: the certificate by which it proves itself, to gRPC, NATS and MongoDB alike."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

URI = "spiffe://crm/"


@dataclass(frozen=True)
class Identity:
    """Where a service finds what it proves itself with: PEM files of the authority, and of its own key with certificate."""

    authority: Path
    own: Path

    def read(self) -> tuple[bytes, bytes]:
        """The authority's certificate, and the own key with certificate."""
        return self.authority.read_bytes(), self.own.read_bytes()

    def server_credentials(self) -> grpc.ServerCredentials:
        """Refuse whoever has no certificate of our authority. Reads the files again for each connection, so they may be renewed."""

        def fresh() -> grpc.ServerCertificateConfiguration | None:
            try:
                authority, own = self.read()
            except OSError:  # in the middle of being replaced: the last good one stays
                return None
            return grpc.ssl_server_certificate_configuration([(own, own)], root_certificates=authority)

        first = fresh()
        if first is None:
            raise OSError(f"{self.own} or {self.authority} cannot be read; check CRM_TLS_IDENTITY and CRM_TLS_AUTHORITY")
        return grpc.dynamic_ssl_server_credentials(first, fresh, require_client_authentication=True)

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Trust our authority alone, and show the own certificate."""
        authority, own = self.read()
        return grpc.ssl_channel_credentials(root_certificates=authority, private_key=own, certificate_chain=own)

    def context(self) -> ssl.SSLContext:
        """The same for what is not gRPC."""
        found = ssl.create_default_context(cafile=str(self.authority))
        found.load_cert_chain(str(self.own))
        return found


def name_in(uris: Iterable[str]) -> str:
    """The service whose certificate names these; "" when it is none of ours."""
    found = [uri.removeprefix(URI) for uri in uris if uri.startswith(URI)]
    return found[0] if len(found) == 1 else ""


def peer(auth: Mapping[str, Sequence[bytes]]) -> str:
    """The service that calls, from `context.auth_context()`; "" without mutual TLS."""
    if [bytes(kind) for kind in auth.get("transport_security_type", ())] != [b"ssl"]:
        return ""
    return name_in(entry.decode(errors="replace") for entry in auth.get("x509_subject_alternative_name", ()))
