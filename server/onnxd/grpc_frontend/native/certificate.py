"""The names in a client's certificate."""

from functools import lru_cache


@lru_cache(maxsize=256)
def alternative_names(der: bytes) -> list[bytes]:
    """Of a certificate that TLS has verified: URIs first, then hosts, as over HTTP. Never the subject's
    common name, which means nothing for certain."""
    # Not above: it holds some 10 MiB, which a server without client certificates need not have.
    from cryptography import x509

    extensions = x509.load_der_x509_certificate(der).extensions
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [
        name.encode()
        for kind in (x509.UniformResourceIdentifier, x509.DNSName)
        for name in names.get_values_for_type(kind)
    ]
