/* SPDX-License-Identifier: MIT
 *
 * h2_peer - see h2_peer.h.
 */
#include "h2_peer.h"

#include "fault.h"

#include <stdlib.h>
#include <string.h>

static struct h2_reply *reply_of(struct h2_peer *p, int32_t id)
{
    for (unsigned i = 0; i < p->count; i++)
        if (p->replies[i].id == id)
            return &p->replies[i];
    return NULL;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
    struct h2_reply *r = reply_of(user, frame->hd.stream_id);
    (void)ng, (void)flags;
    if (r && name_len == 7 && memcmp(name, ":status", 7) == 0 && value_len == 3)
        r->status = (value[0] - '0') * 100 + (value[1] - '0') * 10 + value[2] - '0';
    return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n, void *user)
{
    struct h2_reply *r = reply_of(user, id);
    (void)ng, (void)flags;
    if (!r)
        return 0;
    size_t room = sizeof(r->body) - 1 - r->len, part = n < room ? n : room;
    memcpy(r->body + r->len, bytes, part);
    r->len += part;
    r->bytes += n;
    return 0;
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    struct h2_peer *p = user;
    struct h2_reply *r = reply_of(p, frame->hd.stream_id);
    (void)ng;
    bool has_end = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (r && has_end && frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        r->ended = true;
    p->goaway |= frame->hd.type == NGHTTP2_GOAWAY;
    return 0;
}

static int on_invalid(nghttp2_session *ng, const nghttp2_frame *frame, int error, void *user)
{
    struct h2_peer *p = user;
    (void)ng, (void)frame;
    p->wrong = nghttp2_strerror(error);
    return 0;
}

static int on_close(nghttp2_session *ng, int32_t id, uint32_t error, void *user)
{
    struct h2_reply *r = reply_of(user, id);
    (void)ng, (void)error;
    if (r && !r->ended)
        r->reset = true;
    return 0;
}

static ssize_t read_body(nghttp2_session *ng, int32_t id, uint8_t *out, size_t n, uint32_t *flags,
                         nghttp2_data_source *source, void *user)
{
    struct h2_reply *r = source->ptr;
    (void)ng, (void)id, (void)user;
    size_t left = strlen(r->send), part = left < n ? left : n;
    memcpy(out, r->send, part);
    r->send += part;
    if (part < left)
        return (ssize_t)part;
    if (!r->holds)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    else if (part == 0)
        return NGHTTP2_ERR_DEFERRED;
    return (ssize_t)part;
}

void h2_peer_open(struct h2_peer *p, struct sim *s, uint32_t loop, uint32_t window)
{
    nghttp2_session_callbacks *cb;
    const nghttp2_settings_entry settings = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window};
    memset(p, 0, sizeof(*p));
    fault_pause();
    if (nghttp2_session_callbacks_new(&cb) != 0)
        abort();
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
    if (nghttp2_session_client_new(&p->ng, cb, p) != 0 ||
        nghttp2_submit_settings(p->ng, NGHTTP2_FLAG_NONE, &settings, 1) != 0)
        abort();
    nghttp2_session_callbacks_del(cb);
    p->sim = s;
    p->sock = sim_connect(s, loop);
    fault_resume();
}

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value),
                        NGHTTP2_NV_FLAG_NONE};
}

struct h2_reply *h2_peer_ask(struct h2_peer *p, const char *method, const char *path, const char *body,
                             bool holds, unsigned large)
{
    static char value[16 * 1024];
    nghttp2_nv nv[6] = {field(":method", method), field(":scheme", "http"), field(":authority", "localhost"),
                        field(":path", path)};
    size_t count = 4;
    if (p->over || p->count == H2_PEER_REPLIES)
        return NULL;
    struct h2_reply *r = &p->replies[p->count];
    nghttp2_data_provider source = {.source = {.ptr = r}, .read_callback = read_body};
    r->send = body;
    r->holds = holds;
    if (body)
        nv[count++] = field("content-type", holds ? "application/x-ndjson" : "application/json");
    memset(value, 'x', sizeof(value));
    value[large < sizeof(value) ? large : sizeof(value) - 1] = '\0';
    if (large > 0)
        nv[count++] = field("x", value);
    fault_pause();
    r->id = nghttp2_submit_request(p->ng, NULL, nv, count, body ? &source : NULL, NULL);
    fault_resume();
    if (r->id < 0)
        return NULL;
    p->count++;
    return r;
}

void h2_peer_more(struct h2_peer *p, struct h2_reply *r, const char *body, bool holds)
{
    r->send = body;
    r->holds = holds;
    fault_pause();
    nghttp2_session_resume_data(p->ng, r->id);
    fault_resume();
}

void h2_peer_reset(struct h2_peer *p, const struct h2_reply *r)
{
    fault_pause();
    nghttp2_submit_rst_stream(p->ng, NGHTTP2_FLAG_NONE, r->id, NGHTTP2_CANCEL);
    fault_resume();
}

bool h2_peer_pump(struct h2_peer *p)
{
    uint8_t piece[4096];
    const uint8_t *out;
    bool did = false;
    ssize_t n;
    if (!p->ng || p->over)
        return false;
    fault_pause();
    while ((n = nghttp2_session_mem_send(p->ng, &out)) > 0) {
        did = true;
        sim_send(p->sim, p->sock, out, (size_t)n);
    }
    while ((n = (ssize_t)sim_recv(p->sim, p->sock, piece, sizeof(piece))) > 0) {
        did = true;
        if (nghttp2_session_mem_recv(p->ng, piece, (size_t)n) != n)
            p->wrong = "bytes that are not HTTP/2";
    }
    fault_resume();
    p->over = sim_ended(p->sim, p->sock) || sim_was_reset(p->sim, p->sock);
    return did;
}

bool h2_peer_is_done(const struct h2_peer *p, const struct h2_reply *r)
{
    return r->ended || r->reset || p->over;
}

void h2_peer_finish(struct h2_peer *p)
{
    if (p->ng && p->sock != SIM_NONE)
        sim_close(p->sim, p->sock);
    fault_pause();
    nghttp2_session_del(p->ng);
    fault_resume();
    p->ng = NULL;
    p->sock = SIM_NONE;
}
