"""HTTP of real programs through two sidecars while their identities change under them."""
import pytest

import harness
from pair import Pair, SteadyConnection, load, run_load


def test_curl_gets_the_page_of_nginx(site):
    got = Pair(site).curl()
    assert got.returncode == 0 and got.stdout == "hello from nginx\n", got


@pytest.mark.parametrize("ttl, issuer_ttl, requests, rotations", [("6s", "40s", 5000, 3)])
def test_no_request_fails_while_leaf_and_issuer_rotate(site, ttl, issuer_ttl, requests, rotations):
    pair = Pair(site, ttl, issuer_ttl)
    made, failed = run_load(pair, lambda: pair.rotations() >= rotations and pair.issuers() >= 1,
                            requests, limit=6 * harness.DEADLINE)
    assert made >= requests and failed == 0
    assert pair.failures() == 0


def test_no_request_fails_when_the_agent_is_killed_and_started_again(site):
    pair = Pair(site, ttl="20s")
    steady = SteadyConnection(pair)
    kept, fresh = pair.wrk(6), pair.wrk(6, delay_ms=10, keep_alive=False)
    steady.request()
    pair.restart_agent()
    before = pair.rotations()
    steady.request()
    for program in (kept, fresh):
        done = load(program, 6)
        assert done.failed == 0 and done.requests > 100, done.text
    harness.wait_until(lambda: pair.rotations() > before, "an SVID of the new agent")
    steady.request()
    assert pair.failures() == 0
