"""svids list, show, search and renew: the certificates that the agent issued, across restarts."""
import datetime
import json

from harness import wait_until

WEB = {"id": "web", "spiffe_id": "spiffe://example.org/ns/shop/web", "selectors": ["unix:uid:0"], "hint": "h"}
DB = {"id": "db", "spiffe_id": "spiffe://example.org/ns/shop/db", "selectors": ["unix:uid:0"], "x509_ttl": "2h"}
LINE = r"\}\n"


def start(site, entries=(WEB, DB), **changes):
    """An agent, and a watcher of the caller's SVIDs."""
    agent = site.agent(entries=list(entries), **changes)
    watch = site.start("watch", "spindle-agent", "api", "watch", "--socket", agent.socket, "--output", "json")
    watch.wait_log(LINE)
    return agent, watch


def updates(watch):
    """What the watcher heard: for each update the serials by SPIFFE ID."""
    return [{s["spiffe_id"]: s["serial"] for s in json.loads(line)["svids"]}
            for line in watch.log().rpartition("\n")[0].splitlines() if line.startswith("{")]


def svids(site, agent, *args, code=0):
    got = site.run("spindle-agent", "svids", *args, "--admin", agent.admin, "--output", "json")
    assert got.code == code, got
    return got.json() if code == 0 else got.err


def test_every_svid_that_was_issued_is_found(site):
    agent, watch = start(site)
    serials = updates(watch)[0]
    rows = svids(site, agent, "search")["svids"]
    assert {r["spiffe_id"]: r["serial"] for r in rows} == serials
    assert {r["entry"]: r["state"] for r in rows} == {"web": "valid", "db": "valid"}
    assert all(r["in_use"] and r["because"] == "first" and len(r["issuer"]) == 40 for r in rows)
    web = next(r for r in rows if r["entry"] == "web")
    issued, ends = (datetime.datetime.fromisoformat(web[k].replace("Z", "+00:00")) for k in ("issued_at", "not_after"))
    assert ends - issued == datetime.timedelta(hours=1)

    watch.stop()
    agent.kill()
    agent = site.agent(name="again")
    rows = svids(site, agent, "search")["svids"]
    assert {r["spiffe_id"]: r["serial"] for r in rows} == serials, "kept over kill -9"
    assert not any(r["in_use"] for r in rows)
    assert agent.metrics().total("spindle_certificates_total") == 2


def test_search_is_by_identity_entry_serial_state_and_expiry(site):
    agent, watch = start(site)
    serials = updates(watch)[0]

    def found(*args):
        return sorted(r["entry"] for r in svids(site, agent, "search", *args)["svids"])

    assert found("--id", WEB["spiffe_id"]) == ["web"]
    assert found("--id", "spiffe://example.org/ns/shop/*") == ["db", "web"]
    assert found("--id", "spiffe://example.org/ns/sho") == []
    assert found("--entry", "db") == ["db"]
    assert found("--serial", serials[WEB["spiffe_id"]]) == ["web"]
    assert found("--serial", serials[WEB["spiffe_id"]][:9].upper()) == ["web"]
    assert found("--state", "valid") == ["db", "web"]
    assert found("--state", "expired") == found("--state", "revoked") == []
    assert found("--expires-before", "90m") == ["web"]
    assert found("--expires-after", "90m") == ["db"]
    assert found("--expires-after", "2000-01-01T00:00:00Z") == ["db", "web"]
    for wrong in (["--state", "odd"], ["--serial", "xyz"], ["--expires-before", "soon"], ["--limit", "0"]):
        assert wrong[1] in svids(site, agent, "search", *wrong, code=2)


def test_revoked_certificates_are_searched_by_that_state(site):
    agent, watch = start(site)
    serial = updates(watch)[0][WEB["spiffe_id"]]
    got = site.run("spindle-agent", "revoke", f"serial:{serial}", "--reason", "superseded", "--admin", agent.admin)
    assert got.code == 0, got
    rows = svids(site, agent, "search", "--state", "revoked")["svids"]
    assert [r["serial"] for r in rows] == [serial] and rows[0]["reason"] == "superseded" and rows[0]["revoked_at"]
    assert serial not in {r["serial"] for r in svids(site, agent, "search", "--state", "valid")["svids"]}
    got = site.run("spindle-agent", "svids", "show", f"serial:{serial}", "--admin", agent.admin)
    assert "revoked" in got.out and "superseded" in got.out, got


def test_long_listings_come_in_pages_up_to_the_limit(site):
    entries = [{"id": f"e{i:04}", "spiffe_id": f"spiffe://example.org/e{i}", "selectors": ["unix:uid:0"]}
               for i in range(1010)]
    agent, watch = start(site, entries)
    for command in ("list", "search"):
        limits = ("--limit", "1010") if command == "search" else ()
        rows = svids(site, agent, command, *limits)
        assert len({r["entry"] for r in rows["svids"]}) == len(rows["svids"]) == 1010, "no page twice"
        assert not rows["more"]
        few = svids(site, agent, command, "--limit", "7")
        assert few["svids"] == rows["svids"][:7] and few["more"]
    assert [r["entry"] for r in svids(site, agent, "list")["svids"]] == [e["id"] for e in entries]
    assert len(svids(site, agent, "search")["svids"]) == 100
    text = site.run("spindle-agent", "svids", "--admin", agent.admin, "--limit", "3")
    assert "svids: 3 (there are more: --limit)" in text.out, text


def test_show_tells_all_of_what_is_valid(site):
    agent, watch = start(site)
    serial = updates(watch)[0][WEB["spiffe_id"]]
    for target in (WEB["spiffe_id"], "entry:web", f"serial:{serial}", f"serial:{serial[:10]}"):
        got = site.run("spindle-agent", "svids", "show", target, "--admin", agent.admin)
        assert got.code == 0 and serial in got.out and "In use:          by 1" in got.out, got
        assert [r["entry"] for r in svids(site, agent, "show", target)["svids"]] == ["web"]
    assert "no valid certificate of entry:none" in svids(site, agent, "show", "entry:none", code=1)
    assert "expected a SPIFFE ID" in svids(site, agent, "show", "web", code=2)


def test_renewed_svid_reaches_its_workloads_and_the_old_one_stays_valid(site):
    agent, watch = start(site)
    renewals = 0
    for target in (WEB["spiffe_id"], "entry:web", "serial:"):
        old = updates(watch)[-1]
        if target == "serial:":
            target += old[WEB["spiffe_id"]]
        rows = svids(site, agent, "renew", target)["svids"]
        renewals += 1
        new = wait_until(lambda: len(updates(watch)) > renewals and updates(watch)[renewals], "an update")
        assert [r["serial"] for r in rows] == [new[WEB["spiffe_id"]]] != [old[WEB["spiffe_id"]]]
        assert new[DB["spiffe_id"]] == old[DB["spiffe_id"]], "others keep theirs"
        before = svids(site, agent, "show", f"serial:{old[WEB['spiffe_id']]}")["svids"][0]
        assert before["state"] == "valid" and not before["in_use"]
        assert svids(site, agent, "show", f"serial:{rows[0]['serial']}")["svids"][0]["because"] == "operator"
    first = updates(watch)[0][WEB["spiffe_id"]]
    assert "not in use any more" in svids(site, agent, "renew", f"serial:{first}", code=1)
    assert "no workload uses" in svids(site, agent, "renew", "entry:none", code=1)
    assert "expected a SPIFFE ID" in svids(site, agent, "renew", "web", code=2)
    assert len(svids(site, agent, "search", "--id", WEB["spiffe_id"])["svids"]) == 4


def test_a_renewal_is_answered_when_it_is_signed_though_the_issuer_has_run_out(site):
    """The request is the first that meets the clock's jump: another issuer is written, off the loop, before it signs."""
    agent, watch = start(site, **site.fake_clock())
    old = updates(watch)[-1]
    site.set_clock(30)
    [row] = svids(site, agent, "renew", WEB["spiffe_id"])["svids"]
    assert row["entry"] == "web" and row["serial"] != old[WEB["spiffe_id"]]
    assert svids(site, agent, "show", "entry:web")["svids"][0]["serial"] == row["serial"]
    authority = site.dir / "data" / "authority"
    authority.rename(authority.with_name("elsewhere"))
    site.set_clock(60)
    assert "its renewal has failed" in svids(site, agent, "renew", WEB["spiffe_id"], code=1)
