"""The way out of a delivery: exactly to the address that was judged, bounded in time and size, whatever a receiver or a name server does."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from chassis.kernel.addresses import networks_of
from services.organization.webhook_deliveries import link as module
from services.organization.webhook_deliveries.link import WebhookLink
from services.organization.webhook_endpoints.destinations import Destinations
from tests.support.receivers import Receiver

LAPTOP = Destinations(networks_of("127.0.0.0/8"), development=True)


class Names:
    """A name server that we control: each question gets the next answer, the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers, self.asked = list(answers), 0

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as found:
        yield found


async def post(link: WebhookLink, url: str) -> tuple[int, str]:
    answer = await link.post(url, {"webhook-id": "x"}, b"{}")
    await link.close()
    return answer.status, answer.reason


INSIDE = "the host's address is none of the internet"


@pytest.mark.parametrize("addresses", [
    ["127.0.0.1"], ["10.0.0.1"], ["169.254.169.254"], ["::1"], ["fd00:ec2::254"], ["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"], ["0.0.0.0"],
    ["8.8.8.8", "127.0.0.1"], ["2606:4700::1111", "fe80::1%eth0"],
])  # fmt: skip
async def test_a_name_that_leads_inside_is_not_connected_to(addresses: list[str], receiver: Receiver) -> None:
    url = f"https://erp.example.com:{receiver.server.port}/"
    assert await post(WebhookLink(Destinations(), Names(addresses)), url) == (0, INSIDE)
    assert receiver.got == []


async def test_a_name_is_asked_once_and_only_the_judged_address_is_connected_to(receiver: Receiver) -> None:
    names = Names(["127.0.0.1"], ["10.0.0.1"])  # what rebinding does: good when it is judged, another when it is connected to
    assert await post(WebhookLink(LAPTOP, names), receiver.url.replace("127.0.0.1", "localhost")) == (204, "")
    assert names.asked == 1
    (got,) = receiver.got
    assert got.headers["host"] == f"localhost:{receiver.server.port}"


async def test_a_name_that_changes_between_two_attempts_is_judged_anew(receiver: Receiver) -> None:
    link = WebhookLink(LAPTOP, Names(["127.0.0.1"], ["10.0.0.1"]))
    url = receiver.url.replace("127.0.0.1", "localhost")
    assert (await link.post(url, {}, b"")).status == 204
    assert await post(link, url) == (0, INSIDE)
    assert len(receiver.got) == 1


async def test_numbers_that_only_a_resolver_reads_lead_nowhere_inside(receiver: Receiver) -> None:
    reasons = {INSIDE, "the host's name is not known", "the address cannot be used"}
    for host in ("2130706433", "0x7f.1", "127.1", "0177.0.0.1", "localhost"):
        status, reason = await post(WebhookLink(Destinations()), f"https://{host}:{receiver.server.port}/")
        assert (status, reason in reasons) == (0, True), (host, reason)
    assert receiver.got == []


async def test_no_proxy_of_the_environment_is_asked(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Receiver() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server.port}")
        assert await post(WebhookLink(LAPTOP), receiver.url) == (204, "")
        assert (len(receiver.got), len(proxy.got)) == (1, 0)


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def serve(answer: Serve) -> tuple[asyncio.Server, str]:
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def test_an_endless_answer_is_cut_off() -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536
        except OSError:
            writer.close()

    server, url = await serve(endless)
    begun = time.monotonic()
    assert await post(WebhookLink(LAPTOP), url) == (200, "")
    assert time.monotonic() - begun < 2
    await asyncio.sleep(0.1)
    server.close()
    assert sent < 20_000_000


async def test_an_answer_that_drips_ends_at_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.5)

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            for letter in b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1000:
                writer.write(bytes([letter]))
                await writer.drain()
                await asyncio.sleep(0.05)
        except OSError:
            pass
        writer.close()

    server, url = await serve(drip)
    begun = time.monotonic()
    status, reason = await post(WebhookLink(LAPTOP), url)
    server.close()
    assert (status, reason) == (0, "no answer within 0 s")
    assert time.monotonic() - begun < 1.5


@pytest.mark.parametrize(("said", "reason"), [
    (b"", "the answer broke off"), (b"HTTP/9 what\r\n\r\n", "the answer broke off"), (b"\x00\x01\x02\r\n\r\n", "the answer broke off"),
    (b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 200_000, "the answer broke off"),
])  # fmt: skip
async def test_what_is_no_answer_is_told_in_our_words(said: bytes, reason: str) -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    server, url = await serve(say)
    assert await post(WebhookLink(LAPTOP), url) == (0, reason)
    server.close()


async def test_who_is_not_there_is_told_in_our_words() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert await post(WebhookLink(LAPTOP), f"http://127.0.0.1:{port}/") == (0, "no connection")

    async def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    assert await post(WebhookLink(LAPTOP, unknown), "https://erp.example.com/") == (0, "the host's name is not known")
    assert await post(WebhookLink(LAPTOP), f"https://{'a' * 70}.example.com/") == (0, "the host's name is not known")


# ---- TLS


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's side with a certificate of the name, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = (
        builder.serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
    )
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    found = builder.sign(key, hashes.SHA256())
    path = folder / f"{name}.pem"
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(secret + found.public_bytes(serialization.Encoding.PEM))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cafile=str(path))


async def test_the_certificate_is_held_to_the_name_and_not_to_the_address(tmp_path: Path) -> None:
    context, trust = certificate(tmp_path, "erp.example.com")
    told: list[Any] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    context.sni_callback = lambda _, name, __: told.append(name)  # type: ignore[assignment]
    server = await asyncio.start_server(take, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    names = Names(["127.0.0.1"])
    assert await post(WebhookLink(LAPTOP, names, trust), f"https://erp.example.com:{port}/x") == (204, "")
    assert told[0] == "erp.example.com"
    assert f"host: erp.example.com:{port}".encode() in told[1].lower()
    untrusted = "the host's certificate is not trusted"
    assert await post(WebhookLink(LAPTOP, names, trust), f"https://other.example.com:{port}/x") == (0, untrusted)
    assert await post(WebhookLink(LAPTOP, names), f"https://erp.example.com:{port}/x") == (0, untrusted)
    server.close()
