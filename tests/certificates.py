"""Certificates as the `openssl` program makes them: an authority, a broker's, a gateway's, and bad ones."""

import subprocess
from pathlib import Path

_NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
_LEDGER = """
[ca]
default_ca = past
[past]
database = {folder}/ledger
new_certs_dir = {folder}
serial = {folder}/serial
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
"""


class Authority:
    """Issues certificates for a day, as `<name>.crt` and `<name>.key` in its folder; itself is `ca.crt` there.

    Args:
        openssl: the program.
        folder: made when it is not there.
    """

    def __init__(self, openssl: str, folder: Path) -> None:
        self.folder = folder
        self._openssl = openssl
        folder.mkdir(exist_ok=True)
        files = ["-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=authority"]
        self._run("req", "-x509", *_NEW_KEY, "-days", "1", *files, "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def issue(self, name: str, *, host: str = "", expired: bool = False) -> None:
        """Make a certificate whose common name is `name`; `host` is the address or name that it is for, or several."""
        hosts = ",".join(f"{'IP' if each[:1].isdecimal() else 'DNS'}:{each}" for each in host.split())
        names = ["-addext", f"subjectAltName={hosts}"] if host else ["-addext", "extendedKeyUsage=clientAuth"]
        self._run("req", "-new", *_NEW_KEY, "-keyout", f"{name}.key", "-out", "request", "-subj", f"/CN={name}", *names)
        if expired:
            self._open_ledger()
            dates = ["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"]
            by = ["-cert", "ca.crt", "-keyfile", "ca.key", "-in", "request", "-out", f"{name}.crt"]
            self._run("ca", "-batch", "-notext", "-config", "ledger.cnf", *dates, *by)
        else:
            by = ["-CA", "ca.crt", "-CAkey", "ca.key", "-in", "request", "-out", f"{name}.crt"]
            self._run("x509", "-req", "-copy_extensions", "copy", "-days", "1", *by)

    def revoke(self, name: str) -> None:
        """Take a certificate back; `ca.crl` then says so."""
        self._open_ledger()
        by = ["-config", "ledger.cnf", "-cert", "ca.crt", "-keyfile", "ca.key"]
        self._run("ca", *by, "-revoke", f"{name}.crt")
        self._run("ca", *by, "-gencrl", "-crldays", "1", "-out", "ca.crl")

    def _open_ledger(self) -> None:
        (self.folder / "ledger").write_text("")
        (self.folder / "serial").write_text("0a\n")
        (self.folder / "ledger.cnf").write_text(_LEDGER.format(folder=self.folder))

    def words(self, name: str = "") -> dict[str, str]:
        """Return the TLS words of `[mqtt]` that trust this authority, as the owner of that certificate."""
        own = {"client_cert": self.path(f"{name}.crt"), "client_key": self.path(f"{name}.key")} if name else {}
        return {"ca_file": self.path("ca.crt"), **own}

    def _run(self, *words: str) -> None:
        ran = subprocess.run([self._openssl, *words], cwd=self.folder, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
