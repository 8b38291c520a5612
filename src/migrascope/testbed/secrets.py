"""A testbed's passwords and keys: all derived from one random key, which lies in its folder for root alone."""

import base64
import hashlib
import hmac
import secrets
import struct
import uuid
from pathlib import Path

from migrascope.store.atomic import write_whole

_CEPH_AES = 1
_EC_BEGIN, _EC_END = bytes.fromhex("30310201010420"), bytes.fromhex("a00a06082a8648ce3d030107")
"""What stands around the number of a private key of P-256 in DER (RFC 5915)."""


class Secrets:
    """Passwords and keys by purpose: the same purpose gives the same secret, as long as the testbed lives."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def of(cls, file: Path) -> "Secrets":
        """Those of a testbed, whose random key is made now unless its file is there."""
        try:
            return cls(file.read_bytes())
        except FileNotFoundError:
            pass
        write_whole(file, secrets.token_bytes(32), 0o600)
        return cls(file.read_bytes())

    def _bytes(self, kind: str, purpose: str) -> bytes:
        return hmac.new(self._key, f"{kind} {purpose}".encode(), hashlib.sha256).digest()

    def password(self, purpose: str) -> str:
        """32 hexadecimal digits, which no configuration file, URL or shell reads otherwise."""
        return self._bytes("password", purpose).hex()[:32]

    def uuid(self, purpose: str) -> str:
        """A random-looking UUID (version 4)."""
        return str(uuid.UUID(bytes=self._bytes("uuid", purpose)[:16], version=4))

    def fernet_key(self, purpose: str) -> str:
        """A key of Keystone's token and credential repositories."""
        return base64.urlsafe_b64encode(self._bytes("fernet", purpose)).decode()

    def ec_key(self, purpose: str) -> str:
        """A private key on P-256 as PEM, for certificates."""
        text = base64.b64encode(_EC_BEGIN + self._bytes("ec", purpose) + _EC_END).decode()
        lines = [text[at : at + 64] for at in range(0, len(text), 64)]
        return "\n".join(["-----BEGIN EC PRIVATE KEY-----", *lines, "-----END EC PRIVATE KEY-----", ""])

    def ceph_key(self, entity: str) -> str:
        """A cephx key as keyrings hold it (type, creation time, length, AES key)."""
        key = self._bytes("ceph", entity)[:16]
        return base64.b64encode(struct.pack("<hiih", _CEPH_AES, 0, 0, len(key)) + key).decode()
