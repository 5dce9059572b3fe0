#include "agent/api/health.h"

#include "common/base/mem.h"
#include "health.pb-c.h"

/* One Check or Watch. */
struct prober {
    struct call call;
    LIST_ENTRY(prober) in_probers;
};

struct health {
    struct metrics *metrics;
    struct rpc_message *answers[2]; /* by serving */
    LIST_HEAD(, prober) probers;
    bool serving;
};

static struct rpc_message *
health_encode(Grpc__Health__V1__HealthCheckResponse__ServingStatus status)
{
    Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    uint8_t bytes[16];
    response.status = status;
    size_t len = grpc__health__v1__health_check_response__pack(&response, bytes);
    return rpc_message_new(slice_of(bytes, len));
}

static void *on_alloc(void *arg, size_t size)
{
    (void)arg;
    return mem_alloc(size);
}

static void on_free(void *arg, void *ptr)
{
    (void)arg;
    mem_free(ptr);
}

/* ERR_NOT_FOUND for any service but the whole server. */
static err_t check_request(struct slice request)
{
    ProtobufCAllocator allocator = {.alloc = on_alloc, .free = on_free};
    Grpc__Health__V1__HealthCheckRequest *r =
        grpc__health__v1__health_check_request__unpack(&allocator, request.len, request.data);
    if (r == NULL)
        return ERR_PARSE;
    err_t err = r->service[0] == '\0' ? ERR_OK : ERR_NOT_FOUND;
    grpc__health__v1__health_check_request__free_unpacked(r, &allocator);
    return err;
}

static void on_end(struct call *c)
{
    struct prober *p = (struct prober *)c; /* its first member */
    LIST_REMOVE(p, in_probers);
    mem_free(p);
}

static void health_serve(void *self, struct rpc_call *rpc, struct connection *connection,
                         const struct method *method)
{
    struct health *h = self;
    struct prober *p = NULL;
    err_t err = check_request(rpc_call_request(rpc));
    if (err == ERR_OK) {
        p = mem_alloc(sizeof *p);
        err = p == NULL ? ERR_NO_MEMORY
                        : call_init(&p->call, rpc, connection, method, h->metrics, on_end, NULL);
    }
    if (err != ERR_OK) {
        mem_free(p);
        call_refuse(rpc, method->label, h->metrics, err,
                    err == ERR_NOT_FOUND ? "only the empty service name is known" : err_text(err));
        return;
    }
    LIST_INSERT_HEAD(&h->probers, p, in_probers);
    call_offer(&p->call, h->answers[h->serving]);
    if (method->label == METHOD_HEALTH_CHECK)
        call_end(&p->call, ERR_OK, "");
}

struct service health_service(struct health *h)
{
    static const struct method methods[] = {{"Check", METHOD_HEALTH_CHECK, health_serve},
                                            {"Watch", METHOD_HEALTH_WATCH, health_serve}};
    return (struct service){
        .prefix = "/grpc.health.v1.Health/", .methods = methods, .method_count = 2, .self = h};
}

void health_set(struct health *h, bool serving)
{
    struct prober *p;
    h->serving = serving;
    LIST_FOREACH(p, &h->probers, in_probers)
        call_offer(&p->call, h->answers[serving]);
}

err_t health_new(struct metrics *metrics, struct health **ret, struct why *why)
{
    struct health *h = mem_alloc(sizeof *h);
    if (h == NULL)
        return why_set(why, ERR_NO_MEMORY, "health service");
    h->metrics = metrics;
    h->answers[0] =
        health_encode(GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING);
    h->answers[1] = health_encode(GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING);
    if (h->answers[0] == NULL || h->answers[1] == NULL) {
        health_free(h);
        return why_set(why, ERR_NO_MEMORY, "health service");
    }
    *ret = h;
    return ERR_OK;
}

void health_free(struct health *h)
{
    if (h == NULL)
        return;
    rpc_message_unref(h->answers[0]);
    rpc_message_unref(h->answers[1]);
    mem_free(h);
}
