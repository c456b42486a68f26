"""The installation's own certificates: made once, renewed in time, never shared."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from cli import authority

NOW = datetime.now(UTC)


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_certificates_are_made_once_and_readable_by_their_owner_only(tmp_path: Path) -> None:
    known = authority.ensure(tmp_path)
    first = _files(tmp_path)
    assert authority.ensure(tmp_path) == known
    assert _files(tmp_path) == first
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_one_that_ends_within_thirty_days_is_renewed_and_the_others_stay(tmp_path: Path) -> None:
    authority.ensure(tmp_path, ("sales", "support"), NOW - timedelta(days=340))
    authority.ensure(tmp_path, ("support",), NOW - timedelta(days=330))
    before = _files(tmp_path)
    authority.ensure(tmp_path, ("sales", "support"), NOW)
    after = _files(tmp_path)
    assert before["sales.pem"] != after["sales.pem"]
    assert before["ca.pem"] == after["ca.pem"]


def test_a_broken_or_foreign_certificate_is_made_anew(tmp_path: Path) -> None:
    authority.ensure(tmp_path / "other", ("sales",))
    authority.ensure(tmp_path, ("sales", "support"))
    (tmp_path / "support.pem").write_text("nonsense")
    (tmp_path / "sales.pem").write_bytes((tmp_path / "other" / "sales.pem").read_bytes())
    authority.ensure(tmp_path, ("sales", "support"))
    root = x509.load_pem_x509_certificate((tmp_path / "ca.pem").read_bytes())
    for name in ("sales", "support"):
        x509.load_pem_x509_certificate((tmp_path / f"{name}.pem").read_bytes()).verify_directly_issued_by(root)
