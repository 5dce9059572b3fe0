"""What the agent issues, read back with openssl: fields and extensions, times, keys, rotation."""
import datetime
import os
import re
import ssl
import time

import pytest

import workload
from certs import openssl
from fake_agent import field

ME = f"unix:uid:{os.getuid()}"
WEB = {"id": "web", "spiffe_id": "spiffe://example.org/web", "selectors": [ME]}


def split(data):
    """The values of concatenated DER, one by one."""
    out = []
    while data:
        assert data[0] == 0x30, "a SEQUENCE; PEM starts with dashes"
        size = int.from_bytes(data[2:2 + (data[1] & 127)], "big") + 2 + (data[1] & 127)
        out.append(data[:size])
        data = data[size:]
    return out


class Certificate:
    """What openssl says of one."""

    def __init__(self, der):
        self.pem = ssl.DER_cert_to_PEM_cert(der)
        self.text = openssl("x509", "-noout", "-text", stdin=self.pem)
        self.subject = re.search(r"Subject: ?(.*)", self.text)[1]
        self.public_key = openssl("x509", "-noout", "-pubkey", stdin=self.pem)
        self.not_before, self.not_after = map(self._time, ("Before: ?", "After : "))

    def _time(self, which):
        text = re.search(f"Not {which}(.*) GMT", self.text)[1]
        then = datetime.datetime.strptime(text, "%b %d %H:%M:%S %Y")
        return then.replace(tzinfo=datetime.timezone.utc).timestamp()

    def extension(self, name):
        """(is it critical, its values); (None, []) when it is not there."""
        found = re.search(rf"X509v3 {name}: ?(critical)?\n +(.*)", self.text)
        return (bool(found[1]), found[2].strip().split(", ")) if found else (None, [])


def issued(agent):
    """(leaf, issuer, root) of the caller's first SVID."""
    [svid, *_] = workload.svids(workload.fetch(agent.socket))
    leaf, issuer = map(Certificate, split(svid.chain))
    [root] = map(Certificate, split(svid.bundle))
    return leaf, issuer, root


def test_a_leaf_has_the_fields_of_an_x509_svid(site):
    """X5-1, X5-3, X5-4, X5-5, X5-6, X5-8"""
    names = ["web.example.org", "*.web.example.org"]
    for entry in (WEB, {**WEB, "dns_names": names}):
        agent = site.agent([entry], name=f"agent{len(entry)}")
        leaf, _, _ = issued(agent)
        critical, found = leaf.extension("Subject Alternative Name")
        assert found == ["URI:spiffe://example.org/web", *(f"DNS:{n}" for n in entry.get("dns_names", []))]
        assert critical or leaf.subject, "critical when the subject is empty"
        assert leaf.extension("Basic Constraints")[1] == ["CA:FALSE"]
        assert leaf.extension("Key Usage") == (True, ["Digital Signature"])
        assert sorted(leaf.extension("Extended Key Usage")[1]) == [
            "TLS Web Client Authentication", "TLS Web Server Authentication"]
        assert "Public-Key: (256 bit)" in leaf.text and "ASN1 OID: prime256v1" in leaf.text, "AG-13"
        agent.stop()


def test_signers_have_the_fields_of_their_trust_domain(site):
    """X5-4, X5-5, X5-7, X5-9, ID-9, WA-11: each certificate after the leaf may sign."""
    _, issuer, root = issued(site.agent([WEB]))
    for signer in (issuer, root):
        assert signer.extension("Basic Constraints")[1][0] == "CA:TRUE"
        critical, usage = signer.extension("Key Usage")
        assert critical and set(usage) <= {"Certificate Sign", "CRL Sign"} and "Certificate Sign" in usage
        assert signer.extension("Subject Alternative Name")[1] == ["URI:spiffe://example.org"]


def test_times_have_their_defaults(site):
    """AG-12: an hour, a day, ten years; begins 10 s ago."""
    before = int(time.time())
    leaf, issuer, root = issued(site.agent([WEB]))
    after = int(time.time())
    for signed, life in ((leaf, 3600), (issuer, 24 * 3600)):
        assert before - 10 <= signed.not_before <= after - 10
        assert signed.not_after - signed.not_before == life + 10
    assert root.not_after - before > 3649 * 24 * 3600


def test_a_leaf_never_outlives_its_issuer(site):
    """AG-12: cut to fit, and said when the configuration asks for it."""
    agent = site.agent([{**WEB, "x509_ttl": "2h"}], authority={"issuer_ttl": "1h"})
    leaf, issuer, _ = issued(agent)
    assert leaf.not_after <= issuer.not_after < time.time() + 3600 + 1
    got = site.run("spindle-agent", "config", "check", "--config", agent.config_path,
                   "--set", "svid.x509_ttl=40m")
    assert got.code == 0 and "svid.x509_ttl: warning" in got.err, got


def test_each_rotation_is_in_time_and_has_a_new_key(site):
    """AG-13, AG-14, WA-2: 20 s and the 10 s before them make 15 +- 1.5 s left, so 3.5 to 6.5 s after
    the issue; the key is PKCS#8 and the leaf's."""
    agent = site.agent([{**WEB, "x509_ttl": "20s"}])
    with workload.connect(agent.socket) as c:
        stream, leaves = c.call("FetchX509SVID"), []
        for _ in range(2):
            [svid] = workload.svids(stream.next(20))
            leaves.append(Certificate(split(svid.chain)[0]))
            path = site.write("key.der", svid.key)
            assert leaves[-1].public_key == openssl("pkey", "-inform", "DER", "-in", path, "-pubout")
            assert openssl("asn1parse", "-inform", "DER", "-in", path).count("prime256v1") == 1
    old, new = leaves
    assert new.public_key != old.public_key
    assert 3 <= new.not_before - old.not_before <= 7, "whole seconds"


def test_nothing_of_other_trust_domains_is_given_away(site):
    """WA-12, WA-20, X5-16: no CRLs, and no bundle under a name that we hold none for; our own is in
    `bundles`, never in `federated_bundles`."""
    agent = site.agent([{**WEB, "federates_with": ["partner.test"]}, {**WEB, "id": "b", "hint": "b"}])
    message = workload.fields(workload.fetch(agent.socket))
    assert set(message) - {1} == set() or (message[2], message[3]) == ([], [])
    bundles = workload.fetch(agent.socket, "FetchX509Bundles")
    assert list(workload.bundles(bundles)) == ["spiffe://example.org"]
    assert workload.fields(bundles)[1] == []


def test_the_first_message_has_all_identities_signed(site):
    """WA-2, WA-17, AG-21: right after the start, when nothing was signed yet. Bundles need no SVID."""
    count = 200
    ids = [f"spiffe://example.org/e{i}" for i in range(count)]
    agent = site.agent([{**WEB, "id": f"e{i}", "spiffe_id": name} for i, name in enumerate(ids)])
    with workload.connect(agent.socket, window=1 << 22) as c:
        assert c.call("FetchX509Bundles").next(), "entitled by an entry, with no SVID anywhere"
        assert agent.metrics().total("spindle_agent_svids_issued_total") == 0
        svids = workload.svids(c.call("FetchX509SVID").next())
    assert [s.id for s in svids] == ids
    assert len({s.key for s in svids}) == count and all(s.bundle for s in svids)


@pytest.mark.parametrize("damage", ["authority/root", "authority/issuer", "entries.yaml"])
def test_the_bundle_outlives_damage_on_disk(site, damage):
    """AG-23"""
    agent = site.agent([WEB])
    before = workload.bundles(workload.fetch(agent.socket, "FetchX509Bundles"))
    path = site.path(damage) if damage.startswith("entries") else site.path("data") / damage
    path.write_text("broken")
    agent.send_signal(1)
    agent.wait_event("reload_failed" if damage.startswith("entries") else "reloaded")
    assert workload.bundles(workload.fetch(agent.socket, "FetchX509Bundles")) == before


def test_a_request_with_unknown_fields_is_served(site):
    """WA-5: nothing is required of these requests; newer clients may say more."""
    agent = site.agent([WEB])
    with workload.connect(agent.socket) as c:
        assert c.call("FetchX509SVID", message=field(9, "later")).next()


def test_an_expired_svid_is_never_served(site):
    """AG-15, WA-6: the authority's folder is gone, so that its issuer is not renewed and runs out. Open
    streams end as Unavailable, callers are told the same, and all is well again with the folder."""
    agent = site.agent([{**WEB, "x509_ttl": "2s"}], authority={"issuer_ttl": "4s"})
    place, away = site.path("data/authority"), site.path("data/away")
    with workload.connect(agent.socket) as c:
        stream, last = c.call("FetchX509SVID"), None
        place.rename(away)
        while message := stream.next():
            [last] = workload.svids(message)
            came = time.time()
            assert came < Certificate(split(last.chain)[0]).not_after + 1
        assert stream.end()[0] == workload.UNAVAILABLE
    assert Certificate(split(last.chain)[0]).not_after <= time.time()
    assert workload.fetch(agent.socket)[0] == workload.UNAVAILABLE
    assert agent.events("issuer_renewal_failed")
    away.rename(place)
    agent.wait_event("issuer_renewed")
    [svid] = workload.svids(workload.fetch(agent.socket))
    assert Certificate(split(svid.chain)[0]).not_after > time.time(), "at once, no later than the issuer"
