/* revoke, revocations: what must not be used any more. */
#include "agent/cli/commands.h"
#include "agent/cli/listing.h"
#include "common/base/quantity.h"

/* --- revoke ----------------------------------------------------------------------------------- */

static void print_result(FILE *out, const json_t *r)
{
    const char *kind = admin_client_text(r, "kind"), *reason = admin_client_text(r, "reason");
    const char *note = json_string_value(json_object_get(r, "note"));
    bool lift = json_is_true(json_object_get(r, "lift"));
    fprintf(out, "%s: ", admin_client_text(r, "target"));
    if (!json_is_true(json_object_get(r, "changed"))) {
        fprintf(out, "%s\n", note != NULL ? note : "nothing changed");
        return;
    }
    if (lift)
        fprintf(out, "lifted");
    else if (strcmp(kind, "serial") == 0)
        fprintf(out, "revoked (%s)", reason);
    else
        fprintf(out, "revoked (%s), %lld certificates, held until it is lifted", reason,
                admin_client_number(r, "certificates"));
    fprintf(out, "; sidecars told: %lld\n", admin_client_number(r, "sidecars"));
    if (note != NULL)
        fprintf(out, "  note: %s\n", note);
}

err_t cli_revoke(const struct command_line *line, struct why *why)
{
    const char *lift = command_flag_value(line, "lift");
    const struct admin_question q = {"POST",
                                     "/v1/revoke",
                                     {{"target", line->arguments[0]},
                                      {"reason", command_flag_value(line, "reason")},
                                      {"lift", lift != NULL ? "true" : NULL}},
                                     "the target or reason is too long"};
    return admin_client_show(line, &q, print_result, why);
}

/* --- revocations ------------------------------------------------------------------------------ */

static void print_row(FILE *out, const json_t *row)
{
    const char *kind = admin_client_text(row, "kind");
    if (strcmp(kind, "serial") == 0)
        fprintf(out, "%s\n  revoked %s (%s), of %s, until %s\n", admin_client_text(row, "target"),
                admin_client_text(row, "at"), admin_client_text(row, "reason"),
                admin_client_text(row, "spiffe_id"), admin_client_text(row, "not_after"));
    else
        fprintf(out, "%s\n  held since %s (%s), by uid %lld\n", admin_client_text(row, "target"),
                admin_client_text(row, "at"), admin_client_text(row, "reason"),
                admin_client_number(row, "by_uid"));
}

err_t cli_revocations(const struct command_line *line, struct why *why)
{
    const struct admin_question q = {.method = "GET", .path = "/v1/revocations"};
    struct listing l = {.line = line, .name = "revocations", .more = ", and more"};
    const char *text = command_flag_value(line, "limit");
    uint64_t limit = SIZE_MAX;
    if (text != NULL && quantity_parse_number(text, SIZE_MAX, &limit) != ERR_OK)
        return why_set(why, ERR_USAGE, "--limit %s: expected a number", text);
    l.limit = limit;
    err_t err = listing_begin(&l, why);
    if (err == ERR_OK)
        err = listing_fetch(&l, &q, "from", why);
    if (err == ERR_OK)
        listing_print(&l, print_row);
    json_decref(l.rows);
    return err;
}
