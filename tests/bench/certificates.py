"""One authority and two P-256 certificates with SPIFFE IDs, the same for every peer."""
import subprocess

TRUST_DOMAIN = "example.org"
CLIENT, SERVER = "client", "server"

LEAF = """subjectAltName=URI:spiffe://%s/%s,DNS:localhost
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth,clientAuth
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
"""


def openssl(folder, *args):
    subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)


def make(workshop):
    """Writes ca.pem and, for client and server, NAME.pem, NAME.key and NAME.both (both in one)."""
    folder = workshop.path
    new_key = ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out")
    openssl(folder, *new_key, "ca.key")
    openssl(folder, "req", "-x509", "-new", "-key", "ca.key", "-days", "2", "-out", "ca.pem",
            "-subj", "/O=SPIFFE/CN=bench", "-addext", f"subjectAltName=URI:spiffe://{TRUST_DOMAIN}",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    for name in (CLIENT, SERVER):
        workshop.write(f"{name}.ext", LEAF % (TRUST_DOMAIN, name))
        openssl(folder, *new_key, f"{name}.key")
        openssl(folder, "req", "-new", "-key", f"{name}.key", "-subj", f"/O=SPIFFE/CN={name}",
                "-out", f"{name}.csr")
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                "-CAcreateserial", "-days", "1", "-extfile", f"{name}.ext", "-out", f"{name}.pem")
        both = (folder / f"{name}.pem").read_text() + (folder / f"{name}.key").read_text()
        workshop.write(f"{name}.both", both).chmod(0o600)
        (folder / f"{name}.key").chmod(0o600)
