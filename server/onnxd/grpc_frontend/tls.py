"""The server's certificate, as gRPC takes it."""

from typing import Any, Final, cast

import grpc

from onnxd.security.tls import Certificates, Pem


class Newest:
    """What gRPC asks in every handshake: whether there is a new pair since it last asked.

    It must not be given the same one again: gRPC takes each for new, and replaces what handshakes of other
    threads are using, without a lock. With one replacement a handshake that crashes the process in seconds.
    """

    def __init__(self, certificates: Certificates) -> None:
        self._certificates: Final = certificates
        self._given: Pem = certificates.pem

    def __call__(self) -> "grpc.ServerCertificateConfiguration | None":
        pem = self._certificates.pem
        if pem is self._given:
            return None
        self._given = pem
        return _configuration(pem)


def credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """Credentials that present what the certificates are when a client connects. TLS 1.2 and up is gRPC's own
    default."""
    pem = certificates.pem
    newest = Newest(certificates)  # grpc's stub leaves out that it may say None
    return grpc.dynamic_ssl_server_credentials(
        _configuration(pem), cast(Any, newest), require_client_authentication=pem.client_ca is not None
    )


def _configuration(pem: Pem) -> "grpc.ServerCertificateConfiguration":
    return grpc.ssl_server_certificate_configuration([(pem.key, pem.certificate)], pem.client_ca)
