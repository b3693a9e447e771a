"""HMAC-SHA256 signatures of messages, a key an agent (RFC 2104): who has the key of a name may speak under it.

What is signed are the bytes of the message as they travel, so an agent in any language signs what it sends and needs no
canonical form of JSON.
"""

import hmac
import os
import secrets
import stat
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final

import orjson

from tidewright.market.errors import ConfigError, UsageError

_BYTES: Final = 32


def sign(key: bytes, raw: bytes) -> str:
    """Signature of a message's bytes, 64 hexadecimal digits."""
    return hmac.new(key, raw, sha256).hexdigest()


class Keyring:
    """Keys by agent. Never printed, never in an error.

    Parameters
    ----------
    keys
        Bytes, at least 16, by agent.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        short = [agent for agent, key in keys.items() if len(key) < 16]
        if short:
            raise UsageError(f"a key must have at least 16 bytes, that of {short[0]} has {len(keys[short[0]])}")
        self._keys = dict(keys)

    def __repr__(self) -> str:
        return f"Keyring({', '.join(sorted(self._keys))})"

    def sign(self, agent: str, raw: bytes) -> str:
        """Signature of an agent.

        Raises
        ------
        ConfigError
            If its key is not here.
        """
        if agent not in self._keys:
            raise ConfigError(f"there is no key of agent {agent}")
        return sign(self._keys[agent], raw)

    def fault(self, agent: str, raw: bytes, signature: str) -> str:
        """Why a signature is not that agent's; empty if it is."""
        if agent not in self._keys:
            return f"agent {agent} has no key here"
        if not signature:
            return f"the message is not signed; it says to come from {agent}"
        if not hmac.compare_digest(sign(self._keys[agent], raw).encode(), signature.encode()):
            return f"the signature is not that of {agent}"
        return ""

    @classmethod
    def load(cls, path: Path) -> "Keyring":
        """Keys of a file: a JSON object of hexadecimal keys by agent, readable by its owner only.

        Raises
        ------
        ConfigError
            If it is not there, no such object, or others may read it.
        """
        try:
            mode = path.stat().st_mode
            value = orjson.loads(path.read_bytes())
            keys = {str(agent): bytes.fromhex(key) for agent, key in value.items()}
        except OSError as error:
            raise ConfigError(f"key file {path}: {error.strerror}") from None
        except (ValueError, AttributeError, TypeError):
            raise ConfigError(f"key file {path} must be a JSON object of hexadecimal keys by agent") from None
        if stat.S_IMODE(mode) & 0o077:
            raise ConfigError(f"key file {path} may be read by others (mode {stat.S_IMODE(mode):o}): chmod 600")
        return cls(keys)


def create(path: Path, agents: Iterable[str]) -> None:
    """Write a file of new random keys, mode 600.

    Raises
    ------
    UsageError
        If the file exists.
    """
    keys = {agent: secrets.token_hex(_BYTES) for agent in agents}
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(f"{path} exists; keys are not overwritten") from None
    with os.fdopen(number, "wb") as file:
        file.write(orjson.dumps(keys, option=orjson.OPT_INDENT_2))
