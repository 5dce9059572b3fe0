"""The harness itself, with stand-ins: what others lean on must hold."""
import socket

import harness


def test_a_program_is_started_watched_and_stopped(site):
    program = site.start("standin", "/bin/sh", "-c",
                         "echo '2026-11-21T08:00:00.123Z INFO listening kind=metrics address=127.0.0.1:43211' >&2;"
                         "echo '2026-11-21T08:00:01.123Z WARN odd why=\"a \\\"b\\\" c\" n=3'; exec sleep 600")
    assert program.address("metrics") == ("127.0.0.1", 43211)
    assert program.wait_event("odd", n="3")["why"] == 'a "b" c'
    assert program.wait_log(r"WARN (\w+)")[1] == "odd"
    assert program.stop() == -15


def test_a_line_that_is_being_written_is_no_event_yet(site):
    """A program's log is read while it writes: half a quoted value must not end the test."""
    half = r"printf '2026-01-01T00:00:00Z INFO whole detail=\"a b\"\n2026-01-01T00:00:00Z INFO half detail=\"a '; exec sleep 60"
    program = site.start("writer", "/bin/sh", "-c", half)
    program.wait_log("INFO half")
    assert [e.name for e in program.events()] == ["whole"]


def test_metrics_are_summed_by_labels():
    page = harness.Metrics('# HELP x y\nx_total{a="1",b="q\\"r"} 2\nx_total{a="2"} 3\ny 0.5\n')
    assert page.total("x_total") == 5
    assert page.total("x_total", a="2") == 3
    assert page.total("y") == 0.5
    assert page.total("z") == 0


def test_another_user_runs_a_command(site):
    assert site.run("/usr/bin/id", "-u", uid=12345).out == "12345\n"


def test_an_echo_server_half_closes(site):
    with socket.create_connection(site.tcp_server()) as s:
        s.sendall(b"hello")
        s.shutdown(socket.SHUT_WR)
        assert s.makefile("rb").read() == b"hello"


def test_certificates_are_made_as_asked(site):
    ca = site.ca(uri="spiffe://example.org", path_len=1)
    sub = ca.intermediate()
    good = sub.leaf("spiffe://example.org/web", dns=["web.example.org"])
    assert harness.certs.openssl("verify", "-CAfile", good.bundle, "-untrusted", sub.certificate,
                                 good.certificate).endswith("OK\n")
    text = harness.certs.openssl("x509", "-in", good.certificate, "-noout", "-text")
    assert "URI:spiffe://example.org/web" in text
    assert good.certificate.read_text().count("BEGIN CERTIFICATE") == 2
    old = ca.leaf("spiffe://example.org/a", "spiffe://example.org/b", not_before=-100, not_after=-10, key="RSA-2048")
    text = harness.certs.openssl("x509", "-in", old.certificate, "-noout", "-ext", "subjectAltName")
    assert text.count("URI:") == 2
