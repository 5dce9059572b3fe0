# What the demo shows, scene by scene. Sourced.
# shellcheck shell=bash

scenes_main() { echo agent identities stranger pair rotation impostor metrics revoked; }
LOAD_SECONDS=8
URL=

scene_agent() {
    title "1. The agent issues identities over a Unix socket"
    run_shown agent "$UID_AGENT" spindle-agent run --config "$STAGE/agent.yaml"
    stage_wait "the agent's metrics address" has_address agent metrics
    stage_wait "the agent to be ready" is_ready agent
    good "the agent is ready; trust domain $DOMAIN, SVIDs live $SVID_TTL"
}

# run_shown NAME UID COMMAND…: starts a program, with its command line on the screen.
run_shown() {
    local line="${*:3}"
    command_line "${line//"$STAGE/"/}    # as user $2"
    stage_start "$@"
}

# fetch UID: keeps what a process of that user is told about itself.
fetch() {
    command_line "spindle-agent api fetch x509    # as user $1"
    as_user "$1" spindle-agent api fetch x509 --socket "$STAGE/run/api.sock" >"$STAGE/fetched" 2>&1
}

scene_identities() {
    local who uid
    title "2. Two workloads, told apart by the kernel's word for who they are"
    for who in web client; do
        uid=$UID_WEB
        [ $who = web ] || uid=$UID_CLIENT
        fetch "$uid" || true
        indent <"$STAGE/fetched"
        verdict "user $uid is spiffe://$DOMAIN/$who" \
            "$(grep -o "spiffe://$DOMAIN/[a-z]*" "$STAGE/fetched" | head -n 1)" = "spiffe://$DOMAIN/$who"
    done
}

scene_stranger() {
    title "3. A process without an entry gets nothing, and the operator sees why"
    if fetch "$UID_STRANGER"; then bad "user $UID_STRANGER got an identity"; else good "refused"; fi
    indent <"$STAGE/fetched"
    show_log agent no_entry
}

# show_log NAME WORDS: the last line of a program's log with these words.
show_log() {
    stage_wait "a line in the $1's log with $2" log_has "$1" "$2"
    note "the log of $1:"
    grep -- "$2" "$STAGE/log/$1.log" | tail -n 1 | indent
}

scene_pair() {
    local answer
    title "4. nginx behind one sidecar, curl through the other: mutual TLS 1.3 between them"
    run_shown nginx "$UID_WEB" nginx -p "$STAGE/web" -c "$STAGE/nginx.conf"
    run_shown web "$UID_WEB" spindle-sidecar run --config "$STAGE/web.yaml"
    stage_wait "the web sidecar's address" has_address web inbound
    config_outbound client "$(listening web inbound)"
    run_shown client "$UID_CLIENT" spindle-sidecar run --config "$STAGE/client.yaml"
    stage_wait "the client sidecar's address" has_address client outbound
    stage_wait "the web sidecar's identity" is_ready web
    stage_wait "the client sidecar's identity" is_ready client
    stage_wait "nginx" test -S "$STAGE/web/nginx.sock"
    URL=http://$(listening client outbound)/
    command_line "curl $URL"
    answer=$(curl -sS --max-time 10 "$URL" 2>&1 || true)
    indent <<<"$answer"
    verdict "curl -> sidecar -> mTLS -> sidecar -> nginx -> back" "${answer#Hello from nginx}" != "$answer"
}

rotations() { metric "$1" spindle_mtls_certificate_rotations_total; }

# wrk's own count of what went wrong.
wrk_failed() {
    awk '/Socket errors:/ { gsub(",", ""); n += $4 + $6 + $8 + $10 }
         /Non-2xx/ { n += $NF } END { print n + 0 }' "$@"
}

# load_start NAME CONNECTIONS OPTIONS…
load_start() {
    local line="-t1 -c$2 -d${LOAD_SECONDS}s"
    local options=("${@:3}")
    command_line "wrk $line${options[0]:+ -H 'Connection: close'} $URL"
    # shellcheck disable=SC2086  # words on purpose
    stage_start "$1" "$UID_CLIENT" wrk $line -s "$STAGE/pace.lua" "${options[@]}" "$URL"
}

scene_rotation() {
    local client web renewed requests failed
    title "5. Identities rotate under load: kept connections, and a new one for each request"
    printf 'function delay() return 1 end\n' >"$STAGE/pace.lua"
    client=$(rotations client) web=$(rotations web)
    load_start wrk-kept 8
    load_start wrk-fresh 4 -H "Connection: close"
    stage_wait "wrk" log_has wrk-kept "requests in"
    stage_wait "wrk" log_has wrk-fresh "requests in"
    renewed=$(($(rotations client) - client))
    requests=$(awk '/requests in/ { n += $1 } END { print n + 0 }' "$STAGE"/log/wrk-*.log)
    failed=$(wrk_failed "$STAGE"/log/wrk-*.log)
    note "$requests requests, $failed failed; client's SVID was renewed $renewed times," \
        "web's $(($(rotations web) - web)) times"
    verdict "SVIDs were renewed at least twice meanwhile" "$renewed" -ge 2
    verdict "no request failed" "$requests" -ge 100 -a "$failed" -eq 0
    # shellcheck disable=SC2034  # for the summary
    STAGE_FIGURES="$requests requests while identities rotated, $failed failed"
}

scene_impostor() {
    local answer url
    title "6. A workload of the same trust domain, but not on the list, is refused in the handshake"
    config_outbound mallory "$(listening web inbound)"
    run_shown mallory "$UID_MALLORY" spindle-sidecar run --config "$STAGE/mallory.yaml"
    stage_wait "mallory's address" has_address mallory outbound
    stage_wait "mallory's identity" is_ready mallory
    url=http://$(listening mallory outbound)/
    command_line "curl $url"
    if answer=$(curl -sS --max-time 10 "$url" 2>&1); then bad "mallory got through"; else good "refused"; fi
    indent <<<"$answer"
    show_log web reason=peer_not_allowed
    verdict "and the next good peer is served" \
        "$(curl -s --max-time 10 -o /dev/null -w '%{http_code}' "$URL")" = 200
}

scene_metrics() {
    local url refused='spindle_sidecar_tls_handshake_failures_total{side="server",reason="peer_not_allowed"}'
    url=http://$(listening web metrics)/metrics
    title "7. What monitoring sees"
    command_line "curl $url"
    curl -s --max-time 5 "$url" | grep -E '^spindle_(mtls|sidecar_(connections_opened|tls_handshakes|tls_handshake_failures|authz))' |
        grep -v ' 0$' | indent
    verdict "the refusal was counted" "$(metric web "$refused")" -ge 1
}

scene_keep() {
    local name
    title "Left running. Try:"
    for name in client a b; do
        [ -f "$STAGE/log/$name.log" ] || continue
        note "curl http://$(listening "$name" outbound)/"
    done
    note "curl http://$(listening agent metrics)/metrics    # the agent, and all sidecars"
    note "export PATH=$STAGE/bin:\$PATH"
    note "spindle-agent svids --admin $STAGE/data/admin.sock    # or revocations, entries, explain --pid N"
    note "setpriv --reuid=$UID_WEB --regid=$UID_WEB --clear-groups" \
        "spindle-agent api watch --socket $STAGE/run/api.sock"
    note "tail -f $STAGE/log/*.log"
    note "edit $STAGE/entries.yaml: the agent reads it again at once"
    note "deploy/demo --stop    ends it"
}
