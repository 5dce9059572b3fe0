#include "agent/svid/svid_text.h"

#include "agent/svid/svid_files.h"
#include "common/base/clock.h"

#define SERIAL_TEXT_LEN 64
#define PEM_MAX (16u * 1024u * 1024u)

static size_t count_certificates(struct slice ders)
{
    struct slice certs[BUNDLE_ROOTS_MAX];
    size_t count = 0;
    return x509_split(ders, certs, BUNDLE_ROOTS_MAX, &count, NULL) == ERR_OK ? count : 0;
}

static const struct bundle *own_bundle(const struct identity *id)
{
    return bundle_set_find(identity_bundles(id), identity_id(id)->trust_domain);
}

/* A hint is the agent's text: nothing of it may move the cursor. */
static void print_safe(FILE *out, const char *text)
{
    for (; *text != '\0'; text++)
        fputc((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text, out);
}

void svid_text_print(FILE *out, const struct workload_svids *svids)
{
    char text[SERIAL_TEXT_LEN > CLOCK_TEXT_LEN ? SERIAL_TEXT_LEN : CLOCK_TEXT_LEN];
    for (size_t i = 0; i < svids->count; i++) {
        const struct identity *id = svids->items[i];
        const struct x509 *leaf = identity_leaf(id);
        const struct bundle_set *set = identity_bundles(id);
        const struct bundle *own = own_bundle(id);
        if (i > 0)
            fputc('\n', out);
        fprintf(out, "SPIFFE ID:     %.*s\n", SLICE_ARG(identity_id(id)->text));
        if (identity_hint(id)[0] != '\0') {
            fputs("Hint:          ", out);
            print_safe(out, identity_hint(id));
            fputc('\n', out);
        }
        fprintf(out, "Valid from:    %s\n", clock_format_s(leaf->not_before, text));
        fprintf(out, "Valid until:   %s\n", clock_format_s(leaf->not_after, text));
        fprintf(out, "Serial:        %s\n", x509_serial_text(leaf->serial, text, sizeof text));
        fprintf(out, "Certificates:  %zu\n", count_certificates(identity_chain(id)));
        fprintf(out, "Bundle roots:  %zu\n", own != NULL ? own->root_count : 0);
        for (size_t j = 0; j < set->count; j++)
            if (&set->items[j] != own)
                fprintf(out, "Federated:     %s, bundle roots %zu\n", set->items[j].trust_domain,
                        set->items[j].root_count);
    }
}

void svid_text_line(FILE *out, int64_t now, const struct workload_svids *svids)
{
    char text[SERIAL_TEXT_LEN > CLOCK_TEXT_LEN ? SERIAL_TEXT_LEN : CLOCK_TEXT_LEN];
    fprintf(out, "%s", clock_format_s(now, text));
    for (size_t i = 0; i < svids->count; i++) {
        const struct x509 *leaf = identity_leaf(svids->items[i]);
        fprintf(out, "%s %.*s serial ", i > 0 ? "," : "",
                SLICE_ARG(identity_id(svids->items[i])->text));
        fprintf(out, "%s until ", x509_serial_text(leaf->serial, text, sizeof text));
        fputs(clock_format_s(leaf->not_after, text), out);
    }
    fputc('\n', out);
    fflush(out);
}

static json_t *pem_json(struct slice ders)
{
    struct buf pem;
    buf_init(&pem, PEM_MAX);
    json_t *text =
        svid_files_pem(&pem, ders) == ERR_OK ? json_stringn((const char *)pem.data, pem.len) : NULL;
    buf_done(&pem);
    return text;
}

static json_t *bundles_json(const struct identity *id)
{
    json_t *map = json_object();
    const struct bundle_set *set = identity_bundles(id);
    for (size_t i = 0; i < set->count; i++)
        if (&set->items[i] != own_bundle(id))
            json_object_set_new(map, set->items[i].trust_domain,
                                pem_json(slice_of(set->items[i].der, set->items[i].der_len)));
    return map;
}

static json_t *identity_json(const struct identity *id)
{
    char serial[SERIAL_TEXT_LEN], before[CLOCK_TEXT_LEN], after[CLOCK_TEXT_LEN];
    const struct x509 *leaf = identity_leaf(id);
    const struct bundle *own = own_bundle(id);
    const struct slice roots = own != NULL ? slice_of(own->der, own->der_len) : slice_of(NULL, 0);
    return json_pack(
        "{s:s%, s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "spiffe_id", identity_id(id)->text.data,
        identity_id(id)->text.len, "hint", identity_hint(id), "serial",
        x509_serial_text(leaf->serial, serial, sizeof serial), "not_before",
        clock_format_s(leaf->not_before, before), "not_after",
        clock_format_s(leaf->not_after, after), "x509_svid", pem_json(identity_chain(id)), "bundle",
        pem_json(roots), "federated_bundles", bundles_json(id));
}

json_t *svid_text_json(const struct workload_svids *svids)
{
    json_t *list = json_array();
    for (size_t i = 0; i < svids->count; i++)
        json_array_append_new(list, identity_json(svids->items[i]));
    return json_pack("{s:o}", "svids", list);
}
