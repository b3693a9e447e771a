"""Messages over a real nats-server: signed, durable, once; authentication and TLS."""

import asyncio
import datetime
import ipaddress

import pytest

from tests.coordination.nats_server import NatsServer, free_port
from tidewright.coordination.admission import Admission, RefusedError, Rules
from tidewright.coordination.journal import Journal, read
from tidewright.coordination.messages import encode, identity, message
from tidewright.coordination.nats_bus import MESSAGE_ID, SIGNATURE, NatsBus, NatsSettings, admitted_before
from tidewright.coordination.signing import Keyring
from tidewright.market.clock import SECOND, ManualClock
from tidewright.market.errors import ConfigError, NotRunningError

nats = pytest.importorskip("nats", reason="nats-py is not installed")
NOW = 1_750_000_000 * SECOND
KEYS = Keyring({"executor": b"e" * 32, "voter": b"v" * 32, "other": b"o" * 32})
RULES = Rules.council("executor", ["voter", "other"])


def vote(number=0, agent="voter", **changes):
    data = {"question": f"q-{number}", "round": number, "confidence_score": 0.5, **changes}
    return message("vote", NOW, agent, "executor", data)


class Ends:
    """The executor's and a voter's end, with a journal each."""

    def __init__(self, folder, url, **settings):
        self.folder, self.settings = folder, NatsSettings(url, **settings)
        self.journals = {}
        self._opened = []

    def bus(self, agent, broadcasts=False):
        path = self.folder / f"{agent}.jsonl"
        seen = admitted_before(path)
        self.journals[agent] = Journal(path, fsync=False)
        self._opened.append(self.journals[agent])
        admission = Admission(RULES, seen, KEYS)
        return NatsBus(self.settings, agent, self.journals[agent], admission, ManualClock(NOW), broadcasts=broadcasts)

    def events(self, agent):
        return [(entry.event, entry.reason) for entry in read(self.folder / f"{agent}.jsonl")]

    def close(self):
        for journal in self._opened:
            journal.close()


@pytest.fixture
def ends(tmp_path):
    with NatsServer(tmp_path) as server:
        made = Ends(tmp_path, server.url)
        made.server = server
        yield made
        made.close()


async def collect(bus, count, timeout_s=10.0):
    found = []
    for _ in range(round(timeout_s / 0.5)):
        await bus.wait(0.5)
        found += bus.drain()
        if len(found) >= count:
            break
    return found


def test_votes_arrive_signed_in_order_and_the_word_to_all_reaches_all(ends):
    async def scenario():
        async with ends.bus("executor") as executor, ends.bus("voter", broadcasts=True) as voter:
            for number in range(5):
                voter.publish(vote(number))
            found = await collect(executor, 5)
            assert [item.data.round for item in found] == list(range(5))
            executor.publish(message("status", NOW, "executor", "agents", {"state": "round"}))
            assert [item.data.state for item in await collect(voter, 1)] == ["round"]
            with pytest.raises(RefusedError, match="in the name of other"):
                voter.publish(vote(9, "other"))

    asyncio.run(scenario())
    assert ends.events("executor") == [("received", "")] * 5 + [("sent", "")]


async def raw_publish(url, subject, payload, signature="", message_id=""):
    client = await nats.connect(url)
    headers = {SIGNATURE: signature} if signature else {}
    if message_id:
        headers[MESSAGE_ID] = message_id
    await client.jetstream().publish(subject, payload, headers=headers or None)
    await client.close()


def test_forged_misaddressed_repeated_and_broken_messages_are_refused_with_the_reason(ends):
    async def scenario():
        async with ends.bus("executor") as executor:
            good = encode(vote())
            late = encode(message("vote", NOW - 3600 * SECOND, "voter", "executor", vote().data.model_dump()))
            box, url = "tidewright.executor", ends.server.url
            await raw_publish(url, box, good)
            await raw_publish(url, box, good, KEYS.sign("other", good))
            await raw_publish(url, box, late, KEYS.sign("voter", late))
            await raw_publish(url, box, b"{", "x")
            stray = encode(message("status", NOW, "voter", "other", {"state": "ready"}))
            await raw_publish(url, box, stray, KEYS.sign("voter", stray))
            await raw_publish(url, box, good.replace(b'"message_type"', b'"schema_version":2,"message_type"'), "x")
            await raw_publish(url, box, good, KEYS.sign("voter", good), "one")
            await raw_publish(url, box, good, KEYS.sign("voter", good), "one")  # the server drops it
            await raw_publish(url, box, good, KEYS.sign("voter", good), "two")  # the admission does
            assert len(await collect(executor, 1)) == 1
            await asyncio.sleep(0.3)

    asyncio.run(scenario())
    events = ends.events("executor")
    reasons = [reason for event, reason in events if event == "refused"]
    for words in (
        "not signed",
        "not that of voter",
        "s old",
        "must be JSON",
        "came to executor",
        "schema_version must be 1",
        "received before",
    ):
        assert sum(words in reason for reason in reasons) == 1, (words, reasons)
    assert [event for event, _ in events].count("received") == 1


def test_what_was_sent_while_the_reader_was_away_is_there_when_it_comes_back_and_only_once(ends):
    async def scenario():
        async with ends.bus("executor") as executor, ends.bus("voter") as voter:
            voter.publish(vote(0))
            assert len(await collect(executor, 1)) == 1
        async with ends.bus("voter") as voter:
            voter.publish(vote(1))
            assert await voter.flush()
        ends.server.stop()
        ends.server.start()  # the store is on disk
        async with ends.bus("executor") as executor:
            assert [item.data.round for item in await collect(executor, 1)] == [1]
            item = vote(0)  # delivered again, long after the server forgot its id: the journal remembers
            raw = encode(item)
            await raw_publish(
                ends.server.url, "tidewright.executor", raw, KEYS.sign("voter", raw), identity(item) + "x"
            )
            assert await collect(executor, 1, 2.0) == []
            assert executor.refused == 1

    asyncio.run(scenario())


def test_a_message_survives_a_server_that_goes_and_comes_back_and_arrives_once(ends):
    async def scenario():
        async with ends.bus("executor") as executor, ends.bus("voter") as voter:
            voter.publish(vote(0))
            assert len(await collect(executor, 1)) == 1
            ends.server.stop()
            voter.publish(vote(1))
            await asyncio.sleep(1.0)
            ends.server.start()
            assert [item.data.round for item in await collect(executor, 1, 30.0)] == [1]
            assert await collect(executor, 1, 1.0) == []

    asyncio.run(scenario())


def test_without_server_or_keys_it_says_so(tmp_path):
    made = Ends(tmp_path, f"nats://127.0.0.1:{free_port()}")

    async def scenario():
        with pytest.raises(NotRunningError, match="no NATS server"):
            async with made.bus("executor"):
                pass

    asyncio.run(scenario())
    with pytest.raises(ConfigError, match="must be signed"):
        NatsBus(made.settings, "executor", made.journals["executor"], Admission(RULES), ManualClock(NOW))
    made.close()


def certificates(folder):
    """A certificate authority and a server certificate for 127.0.0.1."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)

    def write(name, subject, issuer, issuer_key, key, extensions):
        names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (subject, issuer)]
        made = (
            x509.CertificateBuilder().subject_name(names[0]).issuer_name(names[1]).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(start)
            .not_valid_after(start + datetime.timedelta(days=30))
        )  # fmt: skip
        for extension, critical in extensions:
            made = made.add_extension(extension, critical)
        signed = made.sign(issuer_key, hashes.SHA256())
        (folder / f"{name}.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / f"{name}.key").write_bytes(private)

    authority, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    write("ca", "test ca", "test ca", authority, authority,
          [(x509.BasicConstraints(True, None), True), (usage, True),
           (x509.SubjectKeyIdentifier.from_public_key(authority.public_key()), False)])  # fmt: skip
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
    write("server", "127.0.0.1", "test ca", authority, server, [(address, False), (issuer, False)])


def test_password_and_encryption_are_demanded(tmp_path):
    certificates(tmp_path)
    config = (
        f'tls {{ cert_file: "{tmp_path}/server.pem", key_file: "{tmp_path}/server.key" }}\n'
        'authorization { users = [ { user: voter, password: "right" } ] }\n'
    )
    with NatsServer(tmp_path, config) as server:
        right = {"ca": tmp_path / "ca.pem", "user": "voter", "password": "right"}
        made = Ends(tmp_path, server.url, **right)

        async def works():
            async with made.bus("voter") as voter:
                voter.publish(vote())
                assert await voter.flush()

        asyncio.run(works())
        made.close()
        for wrong in ({**right, "password": "wrong"}, {**right, "ca": None}, {**right, "user": ""}):
            other = Ends(tmp_path, server.url.replace("nats:", "tls:") if wrong["ca"] is None else server.url, **wrong)

            async def fails(ends=other):
                with pytest.raises(ConfigError, match="refuses the connection") as told:
                    async with ends.bus("voter"):
                        pass
                assert "wrong" not in str(told.value)

            asyncio.run(fails())
            other.close()
