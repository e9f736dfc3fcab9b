"""Certificates for tests of TLS faults: a throw-away authority and servers that it vouches for, or should not.

    with tempfile.TemporaryDirectory() as folder:
        trusted = write_authority(Path(folder))                      # for `ca_file` of a provider
        context = server_context("expired", Path(folder))            # for the server

The server's key is public, as you see, and protects nothing; the authority's key was thrown away. They are fixed, since
making certificates takes a library that the package does not need otherwise. All are for `localhost` and 127.0.0.1
except `wrong_host`; all are good to the year 2126 except `expired` (January 2020). Made with OpenSSL 3.0: P-256 keys.
"""

from __future__ import annotations

import ssl
import textwrap
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

Certificate: TypeAlias = Literal["good", "expired", "wrong_host", "self_signed"]

_AUTHORITY = (
    "MIIBqzCCAVGgAwIBAgIUNPjzgEH4HQN2fGDmJOjFCENA0y0wCgYIKoZIzj0EAwIwIjEgMB4GA1UEAwwXYWZ0ZXJiYXkgdGVzdCBhdXRob3JpdH"
    "kwIBcNMjYxMTI1MDExNDI5WhgPMjEyNjExMDEwMTE0MjlaMCIxIDAeBgNVBAMMF2FmdGVyYmF5IHRlc3QgYXV0aG9yaXR5MFkwEwYHKoZIzj0C"
    "AQYIKoZIzj0DAQcDQgAEiPR57DMr3TiLDfxHvNLJa5hJ2PF+LLoocA5fG9jUrs0Kc82PznQgBl2pg+6bL2ODdlq5zh5MG7s1pp2YRD/5ZqNjMG"
    "EwHQYDVR0OBBYEFLKlt3xlhxktMtQheXX13pj9LqiQMB8GA1UdIwQYMBaAFLKlt3xlhxktMtQheXX13pj9LqiQMA4GA1UdDwEB/wQEAwIBBjAP"
    "BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIAU1uuIHxt1q2taGvOoQ9JBmaVcU7SY3J46yfdJKRQCFAiEAu3W2lWF55C30CrEc9K"
    "TFUR7R6wR9qXBfiAIVGJgEGQ4="
)
_KEY = (
    "MHcCAQEEIPaXKfPnNVZ+Ty0EcaHKqC6hT4kuaUlDTw12bzuKN7yboAoGCCqGSM49AwEHoUQDQgAEEu/LkNxjf/VAOtljJYiw9Mnrtu3OWOpDkd"
    "sXTZv8T6bjdzK72/doY5fpg/CMXZHA4iXUuxkNxJSWODAL97O4RA=="
)
_CERTIFICATES: Mapping[Certificate, str] = MappingProxyType(
    {
        "good": (
            "MIIB3DCCAYKgAwIBAgIUGeZaLNV+iugUS826sq3QpjSs4fswCgYIKoZIzj0EAwIwIjEgMB4GA1UEAwwXYWZ0ZXJiYXkgdGVzdCBh"
            "dXRob3JpdHkwIBcNMjYxMTI1MDExNDI5WhgPMjEyNjExMDEwMTE0MjlaMBQxEjAQBgNVBAMMCWxvY2FsaG9zdDBZMBMGByqGSM49"
            "AgEGCCqGSM49AwEHA0IABBLvy5DcY3/1QDrZYyWIsPTJ67btzljqQ5HbF02b/E+m43cyu9v3aGOX6YPwjF2RwOIl1LsZDcSUljgw"
            "C/ezuESjgaEwgZ4wLAYDVR0RBCUwI4IJbG9jYWxob3N0hwR/AAABhxAAAAAAAAAAAAAAAAAAAAABMA4GA1UdDwEB/wQEAwIHgDAT"
            "BgNVHSUEDDAKBggrBgEFBQcDATAJBgNVHRMEAjAAMB8GA1UdIwQYMBaAFLKlt3xlhxktMtQheXX13pj9LqiQMB0GA1UdDgQWBBQV"
            "Eln4LUVrcwC0F6FuL8mp9M/ZjjAKBggqhkjOPQQDAgNIADBFAiEAg5ZkiZAPl1n254ymA2ZpOmSESfhTpzUqqDOPr3PuhTYCIGKu"
            "Vzjw4qNSYev02LBJQxG5y6Ws6YiAxtpjZ4OwdaYf"
        ),
        "expired": (
            "MIIBozCCAUmgAwIBAgIBdzAKBggqhkjOPQQDAjAiMSAwHgYDVQQDDBdhZnRlcmJheSB0ZXN0IGF1dGhvcml0eTAeFw0yMDAxMDEw"
            "MDAwMDBaFw0yMDAyMDEwMDAwMDBaMBQxEjAQBgNVBAMMCWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABBLvy5Dc"
            "Y3/1QDrZYyWIsPTJ67btzljqQ5HbF02b/E+m43cyu9v3aGOX6YPwjF2RwOIl1LsZDcSUljgwC/ezuESjfjB8MBoGA1UdEQQTMBGC"
            "CWxvY2FsaG9zdIcEfwAAATATBgNVHSUEDDAKBggrBgEFBQcDATAJBgNVHRMEAjAAMB0GA1UdDgQWBBQVEln4LUVrcwC0F6FuL8mp"
            "9M/ZjjAfBgNVHSMEGDAWgBSypbd8ZYcZLTLUIXl19d6Y/S6okDAKBggqhkjOPQQDAgNIADBFAiAQBGF+tAKg20O8xj38I8qohbiH"
            "6TOKm34qBIaekablmwIhAKC/z6b3Iad/qCFctKDi4emw95VZ0vmvXSAg6+zw6lWO"
        ),
        "wrong_host": (
            "MIIB1TCCAXqgAwIBAgIUGeZaLNV+iugUS826sq3QpjSs4fwwCgYIKoZIzj0EAwIwIjEgMB4GA1UEAwwXYWZ0ZXJiYXkgdGVzdCBh"
            "dXRob3JpdHkwIBcNMjYxMTI1MDExNDI5WhgPMjEyNjExMDEwMTE0MjlaMBwxGjAYBgNVBAMMEWVsc2V3aGVyZS5leGFtcGxlMFkw"
            "EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEu/LkNxjf/VAOtljJYiw9Mnrtu3OWOpDkdsXTZv8T6bjdzK72/doY5fpg/CMXZHA4iXU"
            "uxkNxJSWODAL97O4RKOBkTCBjjAcBgNVHREEFTATghFlbHNld2hlcmUuZXhhbXBsZTAOBgNVHQ8BAf8EBAMCB4AwEwYDVR0lBAww"
            "CgYIKwYBBQUHAwEwCQYDVR0TBAIwADAfBgNVHSMEGDAWgBSypbd8ZYcZLTLUIXl19d6Y/S6okDAdBgNVHQ4EFgQUFRJZ+C1Fa3MA"
            "tBehbi/JqfTP2Y4wCgYIKoZIzj0EAwIDSQAwRgIhAIEuXPU6K0wRmQnoVkfoB5sVrKO/BIRR1K3zYkOEQYD+AiEAyFDAXOIbkBys"
            "KsVH+98X2VJZ8EVCcaUFkYDoEOhs8cE="
        ),
        "self_signed": (
            "MIIBmzCCAUGgAwIBAgIUEb1OB96TSJtxOKkbywURNHU/VHEwCgYIKoZIzj0EAwIwFDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2"
            "MTEyNTAxMTQyOVoYDzIxMjYxMTAxMDExNDI5WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC"
            "AAQS78uQ3GN/9UA62WMliLD0yeu27c5Y6kOR2xdNm/xPpuN3Mrvb92hjl+mD8IxdkcDiJdS7GQ3ElJY4MAv3s7hEo28wbTAdBgNV"
            "HQ4EFgQUFRJZ+C1Fa3MAtBehbi/JqfTP2Y4wHwYDVR0jBBgwFoAUFRJZ+C1Fa3MAtBehbi/JqfTP2Y4wDwYDVR0TAQH/BAUwAwEB"
            "/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZIzj0EAwIDSAAwRQIhAKPPu70ArruxpcDp5KOwr1e68S38T76amyZ1"
            "30LKHa+NAiBdYjBGxV/IIemyWWHvKgtGa+urM3w6c1DIMGmjRdkOmA=="
        ),
    }
)


def write_authority(folder: Path) -> Path:
    """Writes the authority's certificate as a PEM file, for whom it is to be trusted by."""
    return _write(folder / "authority.pem", "CERTIFICATE", _AUTHORITY)


def server_context(certificate: Certificate, folder: Path) -> ssl.SSLContext:
    """A server's TLS context with this certificate; its files are written to `folder`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shown = _write(folder / f"{certificate}.pem", "CERTIFICATE", _CERTIFICATES[certificate])
    context.load_cert_chain(shown, _write(folder / "server.key", "EC PRIVATE KEY", _KEY))
    return context


def _write(path: Path, kind: str, text: str) -> Path:
    """A PEM file of base64 text."""
    path.write_text(f"-----BEGIN {kind}-----\n{textwrap.fill(text, 64)}\n-----END {kind}-----\n", "ascii")
    return path
