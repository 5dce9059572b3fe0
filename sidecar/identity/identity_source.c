#include "sidecar/identity/identity_source.h"

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/log/log.h"
#include "common/loop/closing.h"
#include "common/loop/file_reader.h"
#include "common/rpc/workload_client.h"
#include "sidecar/identity/identity_files.h"

#include <stdio.h>
#include <unistd.h>

/* Expiry is looked at on the wall clock at least this often: it may be set, and timers stand still
 * while a machine sleeps. */
#define EXPIRY_LOOK_MS (30 * 1000)

/* What one reading on the thread pool brings back. */
struct file_job {
    struct identity_files files;
    struct pem_unused unused;
    struct identity *id; /* owned until taken */
    err_t err;
    struct why why;
};

struct identity_source {
    struct identity_source_options opt;
    uv_timer_t expiry;
    struct identity *current;                          /* shared, or NULL */
    char problem[sizeof((struct why *)0)->text];       /* last one logged */
    char unused[sizeof((struct pem_unused *)0)->text]; /* the same of blocks that are not used */
    struct closing closing;

    struct file_reader *reader;
    struct file_job job;

    struct workload_client *client;
    bool connected;
};

static void on_expiry_timer(uv_timer_t *timer);

static void watch_expiry(struct identity_source *s)
{
    uv_timer_stop(&s->expiry);
    if (s->current == NULL)
        return;
    int64_t left_ms = (identity_leaf(s->current)->not_after + 1) * 1000 - clock_wall_ms();
    uint64_t wait = left_ms < 0 ? 0 : (uint64_t)left_ms;
    uv_timer_start(&s->expiry, on_expiry_timer, wait < EXPIRY_LOOK_MS ? wait : EXPIRY_LOOK_MS, 0);
}

/* The only writer of `current`. */
static void set_current(struct identity_source *s, struct identity *id, const struct why *why)
{
    struct identity *old = s->current;
    s->current = id != NULL ? identity_ref(id) : NULL;
    watch_expiry(s);
    s->opt.on_change(s->opt.arg, id, why);
    identity_unref(old);
}

static void accept_identity(struct identity_source *s, struct identity *id)
{
    s->problem[0] = '\0';
    if (s->current != NULL && identity_eq(s->current, id))
        return;
    const struct x509 *leaf = identity_leaf(id);
    char serial[64];
    log_debug("identity_taken", log_slice("spiffe_id", identity_id(id)->text),
              log_str("serial", x509_serial_text(leaf->serial, serial, sizeof serial)),
              log_time("not_after", leaf->not_after));
    set_current(s, id, NULL);
}

/* The owner tells the loss; its cause is not told again as a problem, however often it comes. */
static void drop_identity(struct identity_source *s, const struct why *why)
{
    if (s->current == NULL)
        return;
    snprintf(s->problem, sizeof s->problem, "%s", why_text(why));
    set_current(s, NULL, why);
}

/* One line for each new problem, not one for each try. */
static void report_problem(struct identity_source *s, const struct why *why, const char *next)
{
    if (s->closing.begun || strcmp(s->problem, why_text(why)) == 0)
        return;
    snprintf(s->problem, sizeof s->problem, "%s", why_text(why));
    char until[CLOCK_TEXT_LEN];
    char keeping[96];
    if (s->current != NULL) {
        clock_format_s(identity_leaf(s->current)->not_after, until);
        snprintf(keeping, sizeof keeping, "keeping the certificate that expires at %s; ", until);
    } else {
        snprintf(keeping, sizeof keeping, "no identity until then; ");
    }
    char text[256];
    snprintf(text, sizeof text, "%s%s", keeping, next);
    log_warn("identity_problem", log_err("reason", why->err), log_str("cause", why_text(why)),
             log_str("next", text));
    if (s->opt.on_problem != NULL)
        s->opt.on_problem(s->opt.arg, why);
}

/* ---- files ---- */

static void read_files(void *arg)
{
    struct file_job *job = &((struct identity_source *)arg)->job;
    job->why = (struct why){0};
    job->unused = (struct pem_unused){0};
    job->err = identity_files_load(&job->files, clock_wall_s(), &job->unused, &job->id, &job->why);
}

/* Once for each set of blocks, however often the files are read. */
static void report_unused(struct identity_source *s, const struct pem_unused *unused)
{
    if (unused->count == 0 || strcmp(s->unused, unused->text) == 0)
        return;
    snprintf(s->unused, sizeof s->unused, "%s", unused->text);
    log_warn("pem_blocks_unused", log_int("count", unused->count), log_str("blocks", unused->text),
             log_str("next", "the rest of the file is in use; remove them, or name the file that "
                             "should hold them"));
}

/* A set that was refused is looked at again at each tick. */
static bool on_files_read(void *arg)
{
    struct identity_source *s = arg;
    struct file_job *job = &s->job;
    struct identity *id = job->id;
    job->id = NULL;
    report_unused(s, &job->unused);
    if (job->err != ERR_OK)
        report_problem(s, &job->why, "the files are read again when they change");
    else
        accept_identity(s, id);
    identity_unref(id);
    return job->err == ERR_OK;
}

static err_t open_files(struct identity_source *s, uv_loop_t *loop, struct why *why)
{
    const char *paths[] = {s->opt.certificate, s->opt.key, s->opt.bundle};
    struct file_reader_options files = {
        .paths = paths, .count = 3, .read = read_files, .on_read = on_files_read, .arg = s};
    s->job.files = (struct identity_files){s->opt.certificate, s->opt.key, s->opt.bundle};
    err_t err = file_reader_open(loop, &files, &s->reader, why);
    if (err == ERR_OK)
        file_reader_now(s->reader);
    return err;
}

/* ---- Workload API ---- */

static bool is_wanted(const struct identity_source *s, const struct identity *id)
{
    const struct identity_source_options *opt = &s->opt;
    return (opt->hint == NULL || strcmp(identity_hint(id), opt->hint) == 0) &&
           (opt->spiffe_id == NULL || slice_eq_str(identity_id(id)->text, opt->spiffe_id));
}

/* AG-27: by hint or SPIFFE ID, else the first. Borrowed, or NULL. */
static struct identity *pick(const struct identity_source *s, const struct workload_svids *svids)
{
    for (size_t i = 0; i < svids->count; i++)
        if (is_wanted(s, svids->items[i]))
            return svids->items[i];
    return NULL;
}

/* Says what was asked for and what there is to choose from. */
static void explain_no_match(const struct identity_source *s, const struct workload_svids *svids,
                             struct why *why)
{
    char offered[320] = "";
    for (size_t i = 0; i < svids->count; i++) {
        size_t used = strlen(offered);
        const struct identity *id = svids->items[i];
        const char *hint = identity_hint(id);
        snprintf(offered + used, sizeof offered - used, "%s%.*s%s%s%s", i > 0 ? ", " : "",
                 SLICE_ARG(identity_id(id)->text), hint[0] != '\0' ? " (hint " : "", hint,
                 hint[0] != '\0' ? ")" : "");
    }
    why_set(why, ERR_NOT_FOUND, "no SVID with %s %.80s; the agent offers: %s",
            s->opt.hint != NULL ? "hint" : "SPIFFE ID",
            s->opt.hint != NULL ? s->opt.hint : s->opt.spiffe_id, offered);
}

static void set_connected(struct identity_source *s, bool connected)
{
    if (s->connected == connected)
        return;
    s->connected = connected;
    if (s->opt.on_connected != NULL)
        s->opt.on_connected(s->opt.arg, connected);
}

static void on_svids(void *arg, const struct workload_svids *svids)
{
    struct identity_source *s = arg;
    struct why why = {0};
    set_connected(s, true);
    struct identity *id = pick(s, svids);
    if (id == NULL) {
        /* The answer is the agent's full state: ours was taken from us. */
        explain_no_match(s, svids, &why);
        drop_identity(s, &why);
        report_problem(s, &why, "the agent tells us when there is one");
        return;
    }
    if (identity_leaf(id)->not_after < clock_wall_s()) {
        char when[CLOCK_TEXT_LEN];
        why_set(&why, ERR_CERT_EXPIRED, "the agent sent a certificate that ran out at %s",
                clock_format_s(identity_leaf(id)->not_after, when));
        report_problem(s, &why, "the agent tells us when there is a newer one");
        return;
    }
    accept_identity(s, id);
}

static void on_trouble(void *arg, const struct workload_trouble *trouble)
{
    struct identity_source *s = arg;
    const char *next = "the agent is asked again, at least every 10 s";
    char who[160];
    set_connected(s, trouble->code == RPC_OK);
    if (trouble->is_final)
        next = "the agent is not asked again before a reload or restart (is this a SPIFFE agent?)";
    else if (trouble->code == RPC_OK)
        next = "the agent's message was discarded, the next one is awaited";
    if (trouble->code == RPC_PERMISSION_DENIED) {
        drop_identity(s, trouble->why); /* AG-26 */
        snprintf(who, sizeof who,
                 "this program runs as uid %u and gid %u: an entry with the selector unix:uid:%u "
                 "would match it; the agent is asked again",
                 (unsigned)geteuid(), (unsigned)getegid(), (unsigned)geteuid());
        next = who;
    }
    report_problem(s, trouble->why, next);
}

static err_t open_workload(struct identity_source *s, uv_loop_t *loop, struct why *why)
{
    const struct workload_events events = {
        .on_svids = on_svids, .on_trouble = on_trouble, .arg = s};
    struct address endpoint;
    err_t err = address_parse_endpoint(slice_str(s->opt.workload_api), &endpoint, why);
    if (err == ERR_OK)
        err = workload_client_open(loop, &endpoint, WORKLOAD_X509_SVIDS, &events, &s->client, why);
    return err == ERR_OK ? err : why_add(why, err, "identity.workload_api");
}

/* ---- both ---- */

err_t identity_source_open(uv_loop_t *loop, const struct identity_source_options *opt,
                           struct identity_source **ret, struct why *why)
{
    struct identity_source *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return why_set(why, ERR_NO_MEMORY, "no memory for the identity source");
    s->opt = *opt;
    uv_timer_init(loop, &s->expiry);
    s->expiry.data = s;
    err_t err = opt->workload_api != NULL ? open_workload(s, loop, why) : open_files(s, loop, why);
    if (err != ERR_OK) {
        identity_source_close(s, NULL, NULL);
        return err;
    }
    *ret = s;
    return ERR_OK;
}

void identity_source_reload(struct identity_source *s)
{
    if (s->closing.begun)
        return;
    if (s->client != NULL)
        workload_client_retry(s->client);
    else
        file_reader_now(s->reader);
}

static void source_free(void *arg)
{
    struct identity_source *s = arg;
    identity_unref(s->current);
    identity_unref(s->job.id);
    mem_free(s);
}

void identity_source_close(struct identity_source *s, void (*done)(void *arg), void *arg)
{
    if (!closing_begin(&s->closing, source_free, s, done, arg))
        return;
    closing_handle(&s->closing, &s->expiry);
    if (s->reader != NULL)
        file_reader_close(s->reader, closing_drop, closing_hold(&s->closing));
    if (s->client != NULL)
        workload_client_close(s->client, closing_drop, closing_hold(&s->closing));
}

static void on_expiry_timer(uv_timer_t *timer)
{
    struct identity_source *s = timer->data;
    if (s->closing.begun || s->current == NULL)
        return;
    int64_t not_after = identity_leaf(s->current)->not_after;
    if (clock_wall_s() <= not_after) {
        watch_expiry(s);
        return;
    }
    struct why why;
    char when[CLOCK_TEXT_LEN];
    why_set(&why, ERR_CERT_EXPIRED, "the certificate ran out at %s and nothing newer came",
            clock_format_s(not_after, when));
    drop_identity(s, &why);
}
