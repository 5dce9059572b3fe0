#!/usr/bin/env python3
"""Who may include what: agent and sidecar never meet, common knows neither, and each third-party
header is seen by few files, so that it can be replaced behind them."""
import re

from sources import c_files, matches, read, report

INCLUDE = r'^\s*#\s*include\s+([<"])([^>"]+)[>"]'
# Header, the files that may see it. tests/ may see them all.
THIRD_PARTY = [
    (r"grpc/", r"common/(\w+/)?rpc_(server|settings)\.c"),
    (r"nghttp2/", r"common/(\w+/)?rpc_session\.c"),
    (r"ares\.h", r"common/(\w+/)?name_lookup\.c"),
    (r"llhttp\.h", r"(common|sidecar)/(\w+/)?http\w*\.c"),
    (r"yaml\.h", r"common/(\w+/)?yaml\.c"),
    (r"(seccomp|linux/landlock|linux/seccomp)\.h", r"common/(\w+/)?sandbox\w*\.c"),
    (r"wolfssl/", r"common/(\w+/)?(crypto_facts|hedge|key\w*|signer|selftest\w*|sha256|sigverify|x509\w*|svid_verify|tls\w*|der|rand"
     r"|metrics_table)\.[ch]"),
    (r"pthread\.h", r"common/(\w+/)?(audit|map|rand|resolver|rpc_server|secret|tls_context)\.[ch]|sidecar/(\w+/)?(refusals|worker)\.[ch]"),
    (r"sys/queue\.h", r"common/base/list\.h"),
    (r"check\.h", r""),
]
# Pure modules: no event loop in them.
PURE = (r"common/(\w+/)?(der|pem|x509\w*|svid_verify|spiffeid|bundle|key|signer|slice|buf|err|why|mem|yaml|quantity|option\w*"
        r"|backoff|list|map|heap|crowd|metric|rand|dns_name|ip_list|name_cache|name_result|selftest\w*|crypto_facts|vector_registers)\.[ch]"
        r"|agent/(\w+/)?(rotation|selector|entries|authority|config)\.[ch]"
        r"|sidecar/(\w+/)?(policy|config|address_order)\.[ch]")


def complaint(path, quote, header):
    """Why this file may not include this header; None when it may."""
    top = path.split("/")[0]
    if quote == '"' and "/" not in header and not header.endswith(".pb-c.h"):
        return "include by the path from the root"
    if top not in ("common", "agent", "sidecar"):
        return None
    other = header.split("/")[0]
    if other in ("agent", "sidecar", "tests") and other != top:
        return f"{top} must not know {other}"
    for pattern, where in THIRD_PARTY:
        if re.match(pattern, header) and not re.fullmatch(where, path):
            return f"only {where or 'tests/'} may see it (tests/lint/check_includes.py)"
    if header == "uv.h" and re.fullmatch(PURE, path):
        return "a pure module knows no event loop"
    return None


def main():
    complaints = []
    for path in c_files():
        for line, m in matches(INCLUDE, read(path)):
            why = complaint(path, m[1], m[2])
            if why:
                complaints.append((path, line, f"{m[2]}: {why}"))
    report(complaints)


main()
