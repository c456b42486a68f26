"""The installation's own certificate authority: one key and certificate a service, by which it is known to all others.

A service's file holds its key and its certificate: gRPC, NATS, mongod and their clients all read that one form.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from chassis.access.identity import URI, Identity
from cli.plan import DEPARTMENTS

ENGINES = ("nats", "mongo")
SERVICES = (*DEPARTMENTS, "gateway", "cli")
RENEW = timedelta(days=30)
_LIVES, _AUTHORITY_LIVES = timedelta(days=365), timedelta(days=3650)
_SKEW = timedelta(minutes=5)


def identity_uri(name: str) -> str:
    """The name of a service as it stands in its certificate."""
    return URI + name


def subject(name: str) -> str:
    """The certificate's subject as MongoDB writes it (RFC 2253): the name of its X.509 user."""
    return _subject(name).rfc4514_string()


def ensure(folder: Path, names: Sequence[str] = (*SERVICES, *ENGINES), now: datetime | None = None) -> dict[str, Identity]:
    """Make the authority and the certificates that are missing, end within thirty days or are not ours; keep all others."""
    now = now or datetime.now(UTC)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = _stored(folder / "ca.key")
    if authority is None or not _lasts(authority[1], now + _LIVES):  # a leaf must not outlive its authority
        authority = _make(_subject("ca"), None, "", now)
        _write(folder / "ca.key", *authority)
        _write(folder / "ca.pem", None, authority[1])
    for name in names:
        path = folder / f"{name}.pem"
        own = _stored(path)
        if own is None or not _lasts(own[1], now + RENEW) or not _issued(own[1], authority[1], name):
            _write(path, *_make(_subject(name), authority, name, now))
    return {name: Identity(folder / "ca.pem", folder / f"{name}.pem") for name in names}


Pair = tuple[EllipticCurvePrivateKey, x509.Certificate]


def _subject(name: str) -> x509.Name:
    # mongod takes a client whose O and OU are those of its own certificate for a member of its set: engines have another OU.
    unit = "engines" if name in ENGINES else "services"
    parts = ((NameOID.ORGANIZATION_NAME, "crm"), (NameOID.ORGANIZATIONAL_UNIT_NAME, unit), (NameOID.COMMON_NAME, name))
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])


def _make(own: x509.Name, issuer: Pair | None, name: str, now: datetime) -> Pair:
    key = generate_private_key(SECP256R1())
    signer, issued_by = (issuer[0], issuer[1].subject) if issuer else (key, own)
    builder = (
        x509.CertificateBuilder()
        .subject_name(own).issuer_name(issued_by).public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW).not_valid_after(now + (_LIVES if issuer else _AUTHORITY_LIVES))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None if issuer else 0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(_usage(signs=issuer is None), critical=True)
    )  # fmt: skip
    if issuer:
        names = [x509.UniformResourceIdentifier(identity_uri(name)), x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
    return key, builder.sign(signer, hashes.SHA256())


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs, key_cert_sign=signs, crl_sign=signs, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _stored(path: Path) -> Pair | None:
    try:
        raw = path.read_bytes()
        key, certificate = serialization.load_pem_private_key(raw, None), x509.load_pem_x509_certificate(raw)
    except (OSError, ValueError):
        return None
    fits = isinstance(key, EllipticCurvePrivateKey) and key.public_key() == certificate.public_key()
    return (key, certificate) if fits and isinstance(key, EllipticCurvePrivateKey) else None


def _lasts(certificate: x509.Certificate, until: datetime) -> bool:
    return certificate.not_valid_after_utc > until


def _issued(certificate: x509.Certificate, authority: x509.Certificate, name: str) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return names.get_values_for_type(x509.UniformResourceIdentifier) == [identity_uri(name)] and certificate.subject == _subject(name)


def _write(path: Path, key: EllipticCurvePrivateKey | None, certificate: x509.Certificate) -> None:
    """Whole or not at all; readable by the owner only."""
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    if key:
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        pem = key.private_bytes(*form) + pem
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as sink:
        sink.write(pem)
    fresh.replace(path)
