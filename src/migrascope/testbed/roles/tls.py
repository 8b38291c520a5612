"""The certificates of migration streams: an authority of the testbed's own, and one for each end in each node (X.509).

The authority's key is derived, so that each node signs for itself; it lies in a node for that moment alone.
"""

from migrascope.testbed.secrets import Secrets
from migrascope.testbed.settings import address
from migrascope.testbed.task import Action, Command, File

HOME = "/etc/pki/qemu"
PURPOSE = "authority of migration streams"
_KEY, _REQUEST = f"{HOME}/ca-key.pem", f"{HOME}/request.cnf"
_SIGN = f"""set -e
umask 077
cd {HOME}
make() {{ openssl req -x509 -config request.cnf -days 3650 "$@"; }}
make -key ca-key.pem -subj "/CN=migrascope testbed" -out ca-cert.pem \\
    -addext keyUsage=critical,keyCertSign -addext basicConstraints=critical,CA:TRUE
for end in server client; do
    make -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout $end-key.pem -out $end-cert.pem \\
        -CA ca-cert.pem -CAkey ca-key.pem -subj /CN=$end -addext subjectAltName=IP:$1 \\
        -addext extendedKeyUsage=${{end}}Auth -addext keyUsage=critical,digitalSignature \\
        -addext basicConstraints=critical,CA:FALSE
done
rm ca-key.pem request.cnf
"""


def certificates(secrets: Secrets, node: str) -> list[Action]:
    """ca-cert.pem, and certificate and key of server and client, where QEMU looks for them."""
    return [
        File(_REQUEST, "[req]\ndistinguished_name = name\n[name]\n", 0o600),
        File(_KEY, secrets.ec_key(PURPOSE), 0o600),
        Command(("sh", "-s", address(node, "migration")), stdin=_SIGN),
    ]
