"""Certificates for system tests, made with the openssl command: authorities, intermediates and
leaves, the good ones and any kind of bad one.

    ca = site.ca()                                        # root of example.org
    web = ca.leaf("spiffe://example.org/web")             # .certificate .key .bundle: paths
    bad = ca.leaf("spiffe://example.org/web", not_after=-10)
    sub = ca.intermediate(); deep = sub.leaf("spiffe://example.org/web")   # chain served: leaf, sub
    site.sidecar(identity={"files": web.files()}, ...)
"""
import datetime
import itertools
import subprocess

CA_CONFIG = """
[ca]
default_ca = it
[it]
database = {folder}/index.txt
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = any
unique_subject = no
copy_extensions = none
[any]
countryName = optional
organizationName = optional
commonName = optional
"""


def openssl(*args, stdin=None):
    """Runs openssl; returns what it printed; its complaint is the error."""
    done = subprocess.run(["openssl", *map(str, args)], input=stdin, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, f"openssl {' '.join(map(str, args))}: {done.stderr}"
    return done.stdout


def make_key(path, kind):
    """kind: P-256, P-384, P-521, ED25519 or RSA-2048, RSA-3072, …"""
    if kind.startswith("RSA-"):
        how = ["-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{kind[4:]}"]
    elif kind == "ED25519":
        how = ["-algorithm", "ED25519"]
    else:
        how = ["-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{kind}"]
    openssl("genpkey", *how, "-out", path)
    path.chmod(0o600)
    return path


def stamp(seconds):
    """Now plus so many seconds, as openssl wants it."""
    then = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return then.strftime("%Y%m%d%H%M%SZ")


class Leaf:
    """Paths of one issued identity: certificate (with chain), key, bundle (roots)."""

    def __init__(self, certificate, key, bundle):
        self.certificate, self.key, self.bundle = certificate, key, bundle

    def files(self):
        """For the sidecar's identity.files."""
        return {"certificate": str(self.certificate), "key": str(self.key), "bundle": str(self.bundle)}


class Authority:
    """A certificate authority in a folder of its own. certificate, key: its own; bundle: its root."""

    def __init__(self, folder, name, trust_domain, parent=None, key="P-256", subject=None, **options):
        self.folder, self.name, self.trust_domain, self.parent = folder, name, trust_domain, parent
        self.count = itertools.count()
        self.subject = subject or f"/O=Test/CN={name}"
        self.certificate = folder / f"{name}.pem"
        self.key = make_key(folder / f"{name}.key", key)
        (folder / "index.txt").touch()
        (folder / "serial").write_text(f"{openssl('rand', '-hex', '15').strip()}\n")
        self.config = folder / "ca.cnf"
        self.config.write_text(CA_CONFIG.format(folder=folder))
        (parent or self)._sign(self.key, self.certificate, self.subject, self_signed=parent is None,
                               extensions=self._own_extensions(**options),
                               not_before=options.get("not_before", -60),
                               not_after=options.get("not_after", 3600 * 24))
        self.root = parent.root if parent else self.certificate
        self.bundle = self.root

    @staticmethod
    def _own_extensions(uri=None, path_len=None, name_constraints=None, key_usage="keyCertSign,cRLSign",
                        extra=(), basic="CA:TRUE", **_times):
        lines = [f"basicConstraints=critical,{basic}" + (f",pathlen:{path_len}" if path_len is not None else ""),
                 "subjectKeyIdentifier=hash"]
        if key_usage:
            lines.append(f"keyUsage=critical,{key_usage}")
        if uri:
            lines.append(f"subjectAltName=URI:{uri}")
        if name_constraints:
            lines.append(f"nameConstraints=critical,{name_constraints}")
        return [*lines, *extra]

    def intermediate(self, name=None, **options):
        """An authority below this one; the same options as site.ca()."""
        name = name or f"{self.name}-sub{next(self.count)}"
        folder = self.folder / name
        folder.mkdir()
        return Authority(folder, name, self.trust_domain, parent=self, **options)

    def leaf(self, *uris, dns=(), subject="/O=Test/CN=leaf", key="P-256", not_before=-60, not_after=3600,
             basic="CA:FALSE", key_usage="critical,digitalSignature", eku="serverAuth,clientAuth",
             san_extra=(), extra=(), key_path=None, chain=True):
        """Issues a leaf. uris: its URI SANs (none, one, many); times in seconds from now; an empty
        key_usage, eku or basic leaves that extension out; san_extra: raw "IP:127.0.0.1"; extra: raw
        lines, e.g. "1.2.3.4=critical,DER:0500"; chain=False leaves the intermediates out."""
        stem = f"leaf{next(self.count)}"
        path = self.folder / f"{stem}.pem"
        names = [f"URI:{u}" for u in uris] + [f"DNS:{d}" for d in dns] + list(san_extra)
        lines = ["subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid"]
        lines += [f"basicConstraints=critical,{basic}"] if basic else []
        lines += [f"keyUsage={key_usage}"] if key_usage else []
        lines += [f"extendedKeyUsage={eku}"] if eku else []
        lines += ["subjectAltName=@names"] if names else []
        section = ["[names]"] + [f"{n.split(':', 1)[0]}.{i}={n.split(':', 1)[1]}" for i, n in enumerate(names)]
        own_key = key_path or make_key(self.folder / f"{stem}.key", key)
        self._sign(own_key, path, subject, [*lines, *extra, *section], not_before, not_after)
        if chain:
            path.write_text(path.read_text() + self.chain())
        return Leaf(path, own_key, self.bundle)

    def chain(self):
        """The PEM of the intermediates from this authority up to below the root."""
        return "" if self.parent is None else self.certificate.read_text() + self.parent.chain()

    def _sign(self, key, out, subject, extensions, not_before, not_after, self_signed=False):
        request, wanted = out.with_suffix(".csr"), out.with_suffix(".ext")
        openssl("req", "-new", "-key", key, "-subj", subject, "-out", request)
        wanted.write_text("\n".join(extensions) + "\n")
        issuer = ["-selfsign"] if self_signed else ["-cert", self.certificate]
        openssl("ca", "-batch", "-notext", "-config", self.config, *issuer, "-keyfile", self.key,
                "-in", request, "-out", out, "-extfile", wanted, "-preserveDN",
                "-startdate", stamp(not_before), "-enddate", stamp(not_after))

