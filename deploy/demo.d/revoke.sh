# What deploy/demo --revoke shows: a revocation cuts a live download, and only that one. Sourced.
# shellcheck shell=bash

scenes_revoke() { echo agent downloads revoke refused lift node; }
readonly UID_B=20005
SIDECAR_A= DOWNLOAD_A= DOWNLOAD_B= # process ids

config_revoke() {
    SVID_TTL=1h # not expiry: revocation is what cuts
    config_main
    cat >"$STAGE/entries.yaml" <<EOT
entries:
  - {spiffe_id: spiffe://$DOMAIN/web, selectors: ["unix:uid:$UID_WEB"]}
  - {spiffe_id: spiffe://$DOMAIN/a, selectors: ["unix:uid:$UID_CLIENT"]}
  - {spiffe_id: spiffe://$DOMAIN/b, selectors: ["unix:uid:$UID_B"]}
EOT
    config_sidecar web "inbound: [{listen: 127.0.0.1:0, forward: $STAGE/web/nginx.sock,
           allow: [spiffe://$DOMAIN/a, spiffe://$DOMAIN/b]}]"
    truncate -s 10G "$STAGE/web/big" # a hole; nginx sends 4 MiB of it a second
    chmod 644 "$STAGE/web/big"
}

# agent_command COMMAND…: as the operator, shown.
agent_command() {
    command_line "spindle-agent $*"
    as_user "$UID_AGENT" spindle-agent "$@" --admin "$STAGE/data/admin.sock" 2>&1 | indent
    return "${PIPESTATUS[0]}"
}

# Of the main show: the same in short.
scene_revoked() {
    title "8. An identity is taken back at once, and given again (deploy/demo --revoke shows more)"
    agent_command revoke "spiffe://$DOMAIN/client" --reason keyCompromise || true
    command_line "curl $URL"
    if works client; then bad "the client got through"; else good "refused"; fi
    agent_command revoke "spiffe://$DOMAIN/client" --lift || true
    stage_wait "the client to work again" works client
    good "it works again"
}

# download_start NAME UID: a slow, big download through the sidecar of that name.
download_start() {
    local url
    url=http://$(listening "$1" outbound)/big
    command_line "curl -o /dev/null $url    # as user $2"
    setpriv --reuid="$2" --regid="$2" --clear-groups --no-new-privs -- \
        curl --silent --show-error --max-time 60 --output /dev/null "$url" \
        2>"$STAGE/log/curl-$1.log" </dev/null &
    printf '%s\n' "$!" >>"$STAGE/pids"
}

# How many bytes of the server have come to the app of sidecar NAME.
downloaded() { metric "$1" 'spindle_sidecar_transferred_bytes_total{direction="outbound",flow="to_source"}'; }
downloads_at_least() { [ "$(downloaded "$1")" -ge "$2" ]; }

scene_downloads() {
    local name uid
    title "2. Two clients, a and b, each download a big file over mutual TLS"
    run_shown nginx "$UID_WEB" nginx -p "$STAGE/web" -c "$STAGE/nginx.conf"
    run_shown web "$UID_WEB" spindle-sidecar run --config "$STAGE/web.yaml"
    stage_wait "the web sidecar's address" has_address web inbound
    for name in a b; do
        [ $name = a ] && uid=$UID_CLIENT || uid=$UID_B
        config_outbound "$name" "$(listening web inbound)"
        run_shown "$name" "$uid" spindle-sidecar run --config "$STAGE/$name.yaml"
        [ $name = b ] || SIDECAR_A=$!
        stage_wait "the address of $name" has_address "$name" outbound
        stage_wait "the identity of $name" is_ready "$name"
    done
    stage_wait "the web sidecar's identity" is_ready web
    stage_wait "nginx" test -S "$STAGE/web/nginx.sock"
    download_start a "$UID_CLIENT"
    DOWNLOAD_A=$!
    download_start b "$UID_B"
    DOWNLOAD_B=$!
    stage_wait "a's download" downloads_at_least a 4000000
    stage_wait "b's download" downloads_at_least b 4000000
    good "both run: $(downloaded a) and $(downloaded b) bytes so far"
    agent_command svids list
    steal
    note "and somebody copies the key of a"
}

# ms_since TIME: whole milliseconds since then; times as in $EPOCHREALTIME.
ms_since() { printf '%d\n' $(((${EPOCHREALTIME/[.,]/} - ${1/[.,]/}) / 1000)); }

scene_revoke() {
    local begin ms before code=0
    title "3. a is revoked, now"
    command_line "spindle-agent revoke spiffe://$DOMAIN/a --reason keyCompromise"
    begin=$EPOCHREALTIME
    as_user "$UID_AGENT" spindle-agent revoke "spiffe://$DOMAIN/a" --reason keyCompromise \
        --admin "$STAGE/data/admin.sock" >"$STAGE/revoked" 2>&1 &
    wait "$DOWNLOAD_A" || code=$?
    ms=$(ms_since "$begin")
    wait "$!" || bad "revoke failed"
    indent <"$STAGE/revoked"
    indent <"$STAGE/log/curl-a.log"
    verdict "a's download was cut $ms ms after the command was given" "$code" -ne 0 -a "$ms" -le 1000
    stage_wait "the agent's audit log" grep '"event":"revoked"' "$STAGE/data/audit.log"
    note "the agent's audit log:"
    grep '"event":"revoked"' "$STAGE/data/audit.log" | indent
    before=$(downloaded b)
    stage_wait "b's download to go on" downloads_at_least b $((before + 4000000))
    verdict "b's goes on" -e "/proc/$DOWNLOAD_B"
    # shellcheck disable=SC2034  # for the summary
    STAGE_FIGURES="a live download cut in $ms ms"
}

scene_refused() {
    local url
    title "4. Its key is of no use any more: not to a, and not to whoever copied it"
    if fetch "$UID_CLIENT"; then bad "a got a new identity"; else good "a gets no new identity"; fi
    agent_command explain --pid "$SIDECAR_A" || true
    config_outbound thief "$(listening web inbound)" "{files: {certificate: $STAGE/stolen/svid.0.pem,
           key: $STAGE/stolen/svid.0.key, bundle: $STAGE/stolen/bundle.0.pem}}"
    run_shown thief "$UID_MALLORY" spindle-sidecar run --config "$STAGE/thief.yaml"
    stage_wait "the thief's address" has_address thief outbound
    stage_wait "the thief's identity" is_ready thief
    url=http://$(listening thief outbound)/
    command_line "curl $url    # through a sidecar with the key that was copied before"
    if curl -sS --max-time 10 "$url" >"$STAGE/answer" 2>&1; then bad "the thief got through"; else good "refused"; fi
    indent <"$STAGE/answer"
    show_log web reason=cert_revoked
    command_line "spindle-sidecar explain --peer spiffe://$DOMAIN/a    # asks the web server's sidecar"
    as_user $UID_WEB spindle-sidecar explain --peer "spiffe://$DOMAIN/a" --admin "$STAGE/admin/web.sock" 2>&1 |
        indent
    verdict "b's download still goes on" -e "/proc/$DOWNLOAD_B"
}

# steal: copies what a has, as somebody could who is on its machine once.
steal() {
    install -d -m 700 -o $UID_CLIENT "$STAGE/stolen"
    as_user $UID_CLIENT spindle-agent api fetch x509 --socket "$STAGE/run/api.sock" --write "$STAGE/stolen" \
        >"$STAGE/fetched" 2>&1
    chown -R $UID_MALLORY:$UID_MALLORY "$STAGE/stolen"
}

# works NAME: does the way through this sidecar to the web server work?
works() { [ "$(curl -s --max-time 5 -o /dev/null -w '%{http_code}' "http://$(listening "$1" outbound)/")" = 200 ]; }

scene_lift() {
    title "5. The revocation of a is lifted: it works again, with a new key"
    agent_command revoke "spiffe://$DOMAIN/a" --lift || bad "the revocation was not lifted"
    stage_wait "a to work again" works a
    good "a reaches the web server again"
    agent_command svids search --id "spiffe://$DOMAIN/a"
    note "the copied key stays revoked: the new certificate has another"
    kill "$DOWNLOAD_B"
}

scene_node() {
    local url
    url=http://$(listening agent metrics)/metrics
    title "6. One scrape of the agent shows every sidecar of the node"
    command_line "curl $url"
    curl -s --max-time 5 "$url" >"$STAGE/scrape"
    grep -E '^spindle_(sidecar_(connections_opened|tls_handshake_failures)|agent_revo|certificates)' "$STAGE/scrape" |
        grep -v ' 0$' | indent
    verdict "all three sidecars are in it" \
        "$(grep -c '^spindle_build_info.*component="sidecar"' "$STAGE/scrape")" -eq 3
}
