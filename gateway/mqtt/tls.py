"""TLS towards the broker: what we insist on, and what went wrong in words for people. Connects nothing."""

import datetime as dt
import ssl
from pathlib import Path
from typing import Final

from gateway.mqtt.credentials import MqttSettingsError, check_private

_CIPHERS: Final = "@SECLEVEL=2:ECDH+AESGCM:ECDH+CHACHA20:ECDH+AES:DHE+AES:!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM"
"""CPython's own list: Debian's takes OpenSSL's, which OPENSSL_CONF may let go without certificates."""
_UNSAFE: Final = 0x4 | 0x40000  # SSL_OP_LEGACY_SERVER_CONNECT, SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION
_EXPIRED: Final = 10  # X509_V_ERR_...; numbers are OpenSSL's
_NOT_YET_VALID: Final = 9
_UNKNOWN_AUTHORITY: Final = (2, 18, 19, 20, 21, 24)
_OTHER_NAME: Final = (62, 64)
_NO_TLS: Final = ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE")
_ENDED: Final = "UNEXPECTED_EOF_WHILE_READING"
_TOO_OLD: Final = ("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION")
_WANTS_CERTIFICATE: Final = (
    "TLSV13_ALERT_CERTIFICATE_REQUIRED",
    "SSLV3_ALERT_HANDSHAKE_FAILURE",
    "SSLV3_ALERT_BAD_CERTIFICATE",
)
_OURS_REFUSED: Final = {
    "TLSV1_ALERT_UNKNOWN_CA": "it does not know the authority that issued it",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it has expired by the broker's clock",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "it is revoked",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it finds it unusable",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "it is not for clients",
    "TLSV1_ALERT_DECRYPT_ERROR": "client_key does not belong to it",
}


class TlsContext(ssl.SSLContext):
    """TLS 1.2 or newer, with a broker that proves its name by a certificate; there is no way to ask for less.

    Not `ssl.create_default_context`: what that demands of certificates changes with Python, and an upgrade must not
    cut a station off; and it writes session keys to a file when the environment says so.

    Attributes:
        alert: by what the broker ended the last connection after its handshake. In TLS 1.3 it judges our certificate
            only then, and paho would call that a broken connection.
        presents_certificate: whether the broker gets to know us by one.

    Args:
        ca_file: PEM, the authorities to trust; None for the system's.
        client_cert, client_key: PEM, to be known by; both or none.

    Raises:
        MqttSettingsError: a file cannot be used; the message names it.
    """

    alert: ssl.SSLError | None
    presents_certificate: bool

    def __new__(cls, *_: object) -> "TlsContext":  # noqa: D102, PYI034 - ssl's own takes the protocol here
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, ca_file: str | None, client_cert: str | None, client_key: str | None) -> None:
        self.alert = None
        self.presents_certificate = client_cert is not None
        self.minimum_version = ssl.TLSVersion.TLSv1_2
        self.set_ciphers(_CIPHERS)
        self.options &= ~_UNSAFE
        self.sslsocket_class = _TlsSocket
        if ca_file is None:
            self.load_default_certs()
        else:
            self._trust(ca_file)
        if client_cert is not None and client_key is not None:
            self._present(client_cert, client_key)

    def _trust(self, ca_file: str) -> None:
        try:
            self.load_verify_locations(cafile=ca_file)
        except OSError as error:  # SSLError is one too
            raise MqttSettingsError(f"mqtt.ca_file: cannot load certificates from {ca_file}: {_words(error)}") from None

    def _present(self, certificate: str, key: str) -> None:
        try:
            check_private(Path(key), Path(key).stat(), "mqtt.client_key")
        except OSError as error:
            raise MqttSettingsError(f"mqtt.client_key: cannot read {key}: {error.strerror}") from None
        try:
            self.load_cert_chain(certificate, key, password=_refuse_passphrase)
        except _PassphraseError:
            raise MqttSettingsError(
                f"mqtt.client_key: {key} has a passphrase, and nobody is there to type it: "
                f"openssl pkey -in {key} -out NEW (chmod 600 NEW), or hand it over as a systemd credential"
            ) from None
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise MqttSettingsError(f"mqtt.client_key: {key} is not the key of {certificate}") from None
            raise MqttSettingsError(
                f"mqtt.client_cert: {certificate} and {key} are not a certificate and its key in PEM"
            ) from None
        except OSError as error:
            raise MqttSettingsError(f"mqtt.client_cert: cannot read {certificate}: {error.strerror}") from None


class _PassphraseError(Exception):
    """A key wants a passphrase."""


def _refuse_passphrase() -> str:
    raise _PassphraseError  # else OpenSSL would ask the terminal


class _TlsSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails, because paho forgets it then; keeps the alert that ends it."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - ssl's signature
        if isinstance(self.context, TlsContext):
            self.context.alert = None
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        try:
            return super().recv(buflen, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            if isinstance(self.context, TlsContext):
                self.context.alert = error
            return b""  # the end; paho would log it at each new try


def explained(error: OSError, host: str, *, presents: bool) -> str:
    """Say why a connection to the broker failed, and what to do when TLS is the reason.

    Args:
        error: of the socket.
        host: in the broker's url.
        presents: whether we have a certificate to be known by.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"it does not prove that it is {host}: {_unproven(error, host)}"
    if isinstance(error, ssl.SSLError):
        return _tls_failed(error.reason or "", _words(error), presents=presents)
    return error.strerror or str(error)


def _tls_failed(reason: str, words: str, *, presents: bool) -> str:
    said = f"TLS failed: {words}"
    if reason in _NO_TLS:
        said = "no TLS there: is this its plain port?"
    elif reason == _ENDED:
        said = "it ended the TLS handshake without a word: is this its plain port?"
    elif reason in _TOO_OLD:
        said = "it speaks no TLS 1.2 or newer, and Manovac speaks nothing older"
    elif presents and reason in _OURS_REFUSED:
        said = f"it refuses mqtt.client_cert: {_OURS_REFUSED[reason]}"
    elif presents and reason in _WANTS_CERTIFICATE:
        said = f"it refuses mqtt.client_cert ({words})"
    elif reason in _WANTS_CERTIFICATE:
        said = f"it wants to know this gateway by a certificate: give mqtt.client_cert and mqtt.client_key ({words})"
    return said


def _unproven(error: ssl.SSLCertVerificationError, host: str) -> str:
    code = error.verify_code
    if code in (_EXPIRED, _NOT_YET_VALID):
        today = dt.datetime.now(tz=dt.UTC).date()
        what = "has expired" if code == _EXPIRED else "is not valid yet"
        return f"its certificate {what} (today is {today} by this machine's clock)"
    if code in _OTHER_NAME:
        return f"its certificate is for another name: put one of its names into mqtt.url, or '{host}' among its names"
    if code in _UNKNOWN_AUTHORITY:
        return f"its certificate is from no authority trusted here; mqtt.ca_file names those ({error.verify_message})"
    return error.verify_message


def _words(error: OSError) -> str:
    """Return OpenSSL's or the system's words without their decoration."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return error.strerror or str(error)
