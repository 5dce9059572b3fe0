# What the demo's programs are configured with. Sourced.
# shellcheck shell=bash

# Users without a name will do: the agent looks at the kernel's numbers.
# shellcheck disable=SC2034  # scenes.sh has them
readonly UID_AGENT=20000 UID_WEB=20001 UID_CLIENT=20002 UID_STRANGER=20003 UID_MALLORY=20004
readonly DOMAIN=demo.example
SVID_TTL=6s # an hour in real life

config_main() {
    install -d -m 755 -o $UID_AGENT -g $UID_AGENT "$STAGE/run"
    install -d -m 700 -o $UID_AGENT -g $UID_AGENT "$STAGE/data"
    install -d -m 700 -o $UID_WEB -g $UID_WEB "$STAGE/web"
    install -d -m 1777 "$STAGE/admin" # each sidecar's socket is its user's own, mode 0600
    config_agent
    config_nginx
    config_sidecar web "inbound: [{listen: 127.0.0.1:0, forward: $STAGE/web/nginx.sock,
           allow: [spiffe://$DOMAIN/client]}]"
}

config_agent() {
    cat >"$STAGE/agent.yaml" <<EOF
trust_domain: $DOMAIN
data_dir: $STAGE/data
workload_api: {socket: $STAGE/run/api.sock}
admin: {socket: $STAGE/data/admin.sock}
metrics: {listen: 127.0.0.1:0}
svid: {x509_ttl: $SVID_TTL}
entries: $STAGE/entries.yaml
audit: {file: $STAGE/data/audit.log}
EOF
    cat >"$STAGE/entries.yaml" <<EOF
entries:
  - {spiffe_id: spiffe://$DOMAIN/web, selectors: ["unix:uid:$UID_WEB"]}
  - {spiffe_id: spiffe://$DOMAIN/client, selectors: ["unix:uid:$UID_CLIENT"]}
  - {spiffe_id: spiffe://$DOMAIN/mallory, selectors: ["unix:uid:$UID_MALLORY"]}
EOF
}

# It listens on a socket of its own user, so that the sidecar is the only way in.
config_nginx() {
    cat >"$STAGE/nginx.conf" <<EOF
worker_processes 1;
daemon off;
pid $STAGE/web/nginx.pid;
error_log $STAGE/web/nginx.err;
events { worker_connections 512; }
http {
  access_log off;
  keepalive_requests 1000000;
  client_body_temp_path $STAGE/web/1; proxy_temp_path $STAGE/web/2; fastcgi_temp_path $STAGE/web/3;
  uwsgi_temp_path $STAGE/web/4; scgi_temp_path $STAGE/web/5;
  server {
    listen unix:$STAGE/web/nginx.sock;
    location / { return 200 "Hello from nginx, over mTLS.\n"; }
    location = /big { root $STAGE/web; limit_rate 4m; }
  }
}
EOF
}

# config_sidecar NAME ROUTES [IDENTITY]
config_sidecar() {
    cat >"$STAGE/$1.yaml" <<EOF
identity: ${3:-{workload_api: "unix://$STAGE/run/api.sock"\}}
metrics: {listen: 127.0.0.1:0}
admin: {socket: $STAGE/admin/$1.sock}
timeouts: {connect: 2s}
drain_delay: 0s
$2
EOF
}

# config_outbound NAME ADDRESS [IDENTITY]: a sidecar that reaches the web server's.
config_outbound() {
    config_sidecar "$1" "outbound: [{listen: 127.0.0.1:0, forward: $2, expect: [spiffe://$DOMAIN/web]}]" "${@:3}"
}
