import json
import os
import stat

import pytest

from tests.coordination.test_bus import NOW, RULES, proposal
from tidewright.coordination.admission import Admission, RefusedError
from tidewright.coordination.messages import encode
from tidewright.coordination.signing import Keyring, create, sign
from tidewright.market.errors import ConfigError, UsageError

KEYS = Keyring({"advisor": b"k" * 32, "executor": b"e" * 32})


def test_the_published_vector():  # RFC 4231, test case 2
    expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert sign(b"Jefe", b"what do ya want for nothing?") == expected


def admit(item, raw, signature, addressee="executor"):
    Admission(RULES, keys=KEYS).admit(item, NOW, addressee=addressee, raw=raw, signature=signature)


def test_only_the_owner_of_the_key_speaks_under_a_name():
    item = proposal()
    raw = encode(item)
    admit(item, raw, KEYS.sign("advisor", raw))
    for forged, words in (
        (KEYS.sign("executor", raw), "not that of advisor"),
        ("", "not signed"),
        (KEYS.sign("advisor", raw + b" "), "not that of advisor"),
        ("ü" * 64, "not that of advisor"),
    ):
        with pytest.raises(RefusedError, match=words):
            admit(item, raw, forged)
    with pytest.raises(RefusedError, match="has no key here"):
        Admission(RULES, keys=Keyring({})).admit(item, NOW, raw=raw, signature=KEYS.sign("advisor", raw))


def test_a_message_in_another_mailbox_is_refused():
    item = proposal()
    raw = encode(item)
    with pytest.raises(RefusedError, match="addressed to executor, but came to optimizer"):
        admit(item, raw, KEYS.sign("advisor", raw), addressee="optimizer")


def test_a_forged_message_does_not_use_up_the_id_of_the_true_one():
    admission, item = Admission(RULES, keys=KEYS), proposal(proposal_id="p-1")
    raw = encode(item)
    with pytest.raises(RefusedError):
        admission.admit(item, NOW, raw=raw, signature="0" * 64)
    admission.admit(item, NOW, raw=raw, signature=KEYS.sign("advisor", raw))


def test_key_files_are_private_complete_and_never_overwritten(tmp_path):
    path = tmp_path / "keys.json"
    create(path, ["a", "b"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    secret = json.loads(path.read_text())["a"]
    ring = Keyring.load(path)
    assert ring.fault("a", b"x", ring.sign("a", b"x")) == ""
    assert secret not in repr(ring)
    with pytest.raises(UsageError, match="not overwritten"):
        create(path, ["a"])
    os.chmod(path, 0o644)
    with pytest.raises(ConfigError, match="read by others") as told:
        Keyring.load(path)
    assert secret not in str(told.value)
    with pytest.raises(UsageError, match="at least 16 bytes"):
        Keyring({"a": b"short"})
