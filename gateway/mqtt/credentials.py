"""Secrets from where they stand: environment, file or systemd credential. What others can read is refused.

No message of this module holds a secret, only the name of the place.
"""

import os
import stat
from pathlib import Path
from typing import Final

from drivers.rig_gateway import Secret

_LARGEST: Final = 64 * 2**10
_OTHERS: Final = 0o077


class MqttSettingsError(ValueError):
    """The rig file's `[mqtt]` cannot be used; the message says what to change."""


def secret(of: Secret, what: str) -> str:
    """Return a secret; line ends behind it are not part of it.

    Args:
        of: where it stands.
        what: whose it is, for messages.

    Raises:
        MqttSettingsError: it is not there, is empty, or others can read it.
    """
    if [of.env, of.file, of.credential].count(None) != 2:
        raise MqttSettingsError(
            f'{what}: name the one place where it stands: {{ env = "..." }}, {{ file = "..." }} or '
            '{ credential = "..." }'
        )
    if of.env is not None:
        value = os.environ.get(of.env)
        if value is None:
            raise MqttSettingsError(f"{what}: the environment variable {of.env} is not set")
        where = f"the environment variable {of.env}"
    else:
        path = _credential(of.credential, what) if of.credential is not None else Path(of.file or "")
        value = _read(path, what)
        where = str(path)
    if not value:
        raise MqttSettingsError(f"{what}: {where} is empty")
    return value


def _credential(name: str, what: str) -> Path:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise MqttSettingsError(
            f"{what}: there are no systemd credentials ($CREDENTIALS_DIRECTORY is not set): run it as a service "
            f"whose unit has LoadCredential={name}:/path/of/the/file"
        )
    path = Path(folder) / name
    if not path.exists():
        raise MqttSettingsError(
            f"{what}: no systemd credential '{name}' in {folder}: the service's unit needs "
            f"LoadCredential={name}:/path/of/the/file"
        )
    return path


def _read(path: Path, what: str) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not hold up the start
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, so that what is checked is what is read
            check_private(path, os.fstat(descriptor), what)
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise MqttSettingsError(f"{what}: cannot read {path}: {error.strerror or error}") from None
    if len(data) > _LARGEST:
        raise MqttSettingsError(f"{what}: {path} is larger than {_LARGEST} bytes: is it the right file?")
    try:
        return data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise MqttSettingsError(f"{what}: {path} is not UTF-8: save it as UTF-8") from None


def check_private(path: Path, found: os.stat_result, what: str) -> None:
    """Check that a file with a secret is for its owner alone.

    Root may let a group read its file: that is how keys are shared with a service (Debian's group ssl-cert), and what
    the access list of a systemd credential looks like.

    Raises:
        MqttSettingsError: it is no file, or others can use it.
    """
    if not stat.S_ISREG(found.st_mode):
        raise MqttSettingsError(f"{what}: {path} is not a file")
    roots = found.st_uid == 0
    if found.st_mode & _OTHERS & ~(0o040 if roots else 0):
        mode = "640" if roots and found.st_mode & 0o040 else "600"
        raise MqttSettingsError(
            f"{what}: others can use {path} (mode {stat.S_IMODE(found.st_mode):04o}), and it holds a secret: "
            f"chmod {mode} {path}"
        )
