"""What gRPC is told in each handshake of the server's certificate."""

from pathlib import Path

import trustme

from onnxd.grpc_frontend.tls import Newest
from onnxd.security.tls import Certificates, TlsConfig

CA = trustme.CA()


def issue(folder: Path) -> TlsConfig:
    pair = CA.issue_cert("localhost")
    pair.private_key_pem.write_to_path(folder / "key.pem")
    pair.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    return TlsConfig(folder / "cert.pem", folder / "key.pem")


async def test_a_pair_is_given_once_and_then_nothing_until_there_is_another(tmp_path: Path) -> None:
    """gRPC replaces what other handshakes are using by whatever it is given, without a lock: a server that
    gave it the same pair each time died of a segmentation fault under load."""
    async with Certificates(issue(tmp_path)) as certificates:
        newest = Newest(certificates)
        assert [newest() for _ in range(3)] == [None] * 3
        issue(tmp_path)
        await certificates.look()
        assert newest() is not None
        assert [newest() for _ in range(3)] == [None] * 3
