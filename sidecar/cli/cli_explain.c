/* explain: would a peer be accepted, and who was refused lately, as the running sidecar sees it. */
#include "common/cli/admin_client.h"
#include "sidecar/cli/commands.h"

static bool is_true(const json_t *row, const char *key)
{
    return json_is_true(json_object_get(row, key));
}

static void put_route(FILE *out, const json_t *row)
{
    fprintf(out, "  %s (%s): ", admin_client_text(row, "key"), admin_client_text(row, "listen"));
    if (is_true(row, "listed"))
        fprintf(out, "listed, by the rule %s\n", admin_client_text(row, "rule"));
    else if (json_object_get(row, "nearest") != NULL)
        fprintf(out, "NOT LISTED\n    nearest rule  %s\n    differs       %s\n",
                admin_client_text(row, "nearest"), admin_client_text(row, "differs"));
    else
        fprintf(out, "NOT LISTED: %s\n", admin_client_text(row, "differs"));
}

static void put_refusal(FILE *out, const json_t *row)
{
    const char *peer = admin_client_text(row, "peer"), *serial = admin_client_text(row, "serial");
    fprintf(out, "  %s %s: %s at %s, peer %s\n", admin_client_text(row, "last"),
            admin_client_text(row, "reason"), admin_client_text(row, "direction"),
            admin_client_text(row, "listen"), admin_client_text(row, "address"));
    if (strcmp(peer, "-") != 0)
        fprintf(out, "    claims %s%s%s\n", peer, strcmp(serial, "-") != 0 ? ", serial " : "",
                strcmp(serial, "-") != 0 ? serial : "");
    fprintf(out, "    %s\n", admin_client_text(row, "detail"));
    if (admin_client_number(row, "count") > 1)
        fprintf(out, "    %lld times since %s\n", admin_client_number(row, "count"),
                admin_client_text(row, "first"));
}

static void put_revocation(FILE *out, const json_t *row)
{
    if (is_true(row, "held"))
        fprintf(out, "revocation: REVOKED since %s, reason %s%s\n", admin_client_text(row, "since"),
                admin_client_text(row, "reason"),
                is_true(row, "checked") ? "" : " (not heeded: revocation.policy is off)");
    else if (is_true(row, "cache"))
        fprintf(out, "revocation: not revoked, agent last seen %s\n",
                admin_client_text(row, "agent_last_seen"));
    else
        fprintf(out, "revocation: not known, no agent shares its revocations with this sidecar\n");
}

static void put_peer(FILE *out, const json_t *top)
{
    size_t i = 0;
    const json_t *domain = NULL;
    fprintf(out, "peer %s\n", admin_client_text(top, "peer"));
    if (is_true(top, "trusted")) {
        fprintf(out, "trust domain: %s is trusted\n", admin_client_text(top, "trust_domain"));
    } else {
        fprintf(out, "trust domain: %s is NOT TRUSTED; trusted are",
                admin_client_text(top, "trust_domain"));
        json_array_foreach(json_object_get(top, "trust_domains"), i, domain)
            fprintf(out, " %s", json_string_value(domain));
        fprintf(out, "%s\n", i == 0 ? " none" : "");
    }
    put_revocation(out, json_object_get(top, "revocation"));
    admin_client_rows(out, "routes", json_object_get(top, "routes"), put_route);
    admin_client_rows(out, "its last refusals", json_object_get(top, "refusals"), put_refusal);
    admin_client_verdict(out, top);
}

static void put_answer(FILE *out, const json_t *top)
{
    const json_t *refusals = json_object_get(top, "refusals");
    if (json_object_get(top, "peer") != NULL) {
        put_peer(out, top);
        return;
    }
    admin_client_rows(out, "last refusals, newest first", refusals, put_refusal);
    fprintf(out, json_array_size(refusals) > 0
                     ? "explain --peer ID says more of a peer\n"
                     : "nobody was refused since the start; explain --peer ID tells of a peer\n");
}

err_t cli_explain(const struct command_line *line, struct why *why)
{
    const char *peer = command_flag_value(line, "peer");
    const struct admin_question q = {"GET", "/v1/explain", {{"peer", peer}}, "--peer: too long"};
    return admin_client_show(line, &q, put_answer, why);
}
