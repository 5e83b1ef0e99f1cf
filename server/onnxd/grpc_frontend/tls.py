"""The server's certificate, as gRPC takes it."""

import grpc

from onnxd.security.tls import Certificates


def credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """Credentials that present what the certificates are when a client connects. TLS 1.2 and up is gRPC's own
    default."""

    def now() -> "grpc.ServerCertificateConfiguration":
        pem = certificates.pem
        return grpc.ssl_server_certificate_configuration([(pem.key, pem.certificate)], pem.client_ca)

    required = certificates.pem.client_ca is not None
    return grpc.dynamic_ssl_server_credentials(now(), now, require_client_authentication=required)
