/* See wire.h. */
#define _GNU_SOURCE
#include "frames.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_SIZE (256 * 1024)
#define AT_ONCE (1 << 20)   /* then the other connections have their turn */
#define BATCH (64 * 1024)   /* frames that are made before they are sent together */
#define LARGEST (1 << 20)   /* of one message */
#define PERIOD 65521u       /* a prime, so that slips by powers of two are seen */
#define PATTERN (PERIOD + LARGEST)
#define NOTHING_YET (-2)

static int epoll;
static uint8_t *pattern, *landing;

/* ---- small things */

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

void wire_fail(const char *why)
{
    printf("FAIL %s (%s)\n", why, strerror(errno));
    fflush(stdout);
    exit(1);
}

const uint8_t *pattern_at(uint64_t offset) { return pattern + offset % PERIOD; }

bool pattern_agrees(const uint8_t *data, size_t size, uint64_t offset)
{
    for (; size > LARGEST; data += LARGEST, size -= LARGEST, offset += LARGEST)
        if (memcmp(data, pattern_at(offset), LARGEST)) return false;
    return !memcmp(data, pattern_at(offset), size);
}

void wire_begin(void)
{
    signal(SIGPIPE, SIG_IGN);
    pattern = malloc(PATTERN);
    landing = malloc(READ_SIZE);
    for (uint32_t i = 0, seed = 1; i < PERIOD; i++) pattern[i] = (seed = seed * 1664525u + 1013904223u) >> 24;
    for (uint32_t i = PERIOD; i < PATTERN; i++) pattern[i] = pattern[i - PERIOD];
    epoll = epoll_create1(EPOLL_CLOEXEC);
}

void conn_watch(conn *c, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = c};
    c->events = events;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e)) wire_fail("epoll_ctl");
}

void conn_watch_again(conn *c)
{
    if (c->fd < 0) return;
    bool sends = c->state == CONNECTING || c->out_to > c->out_from || (c->state == OPEN && c->bulk_left);
    uint32_t events = (c->deaf ? 0 : EPOLLIN) | (sends ? EPOLLOUT : 0);
    if (events == c->events) return;
    struct epoll_event e = {.events = events, .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &e);
    c->events = events;
}

/* ---- bytes: what was read or written, 0 at the end, -1 broken, NOTHING_YET */

static long tls_result(conn *c, int result)
{
    if (result > 0) return result;
    int error = SSL_get_error(c->tls, result);
    ERR_clear_error();
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return NOTHING_YET;
    return error == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

static long read_some(conn *c, uint8_t *data, size_t size)
{
    if (c->tls) return tls_result(c, SSL_read(c->tls, data, (int)size));
    long count = recv(c->fd, data, size, 0);
    return count < 0 && errno == EAGAIN ? NOTHING_YET : count;
}

static long write_some(conn *c, const void *data, size_t size)
{
    if (c->tls) return tls_result(c, SSL_write(c->tls, data, (int)size));
    long count = send(c->fd, data, size, MSG_NOSIGNAL);
    return count < 0 && errno == EAGAIN ? NOTHING_YET : count;
}

void conn_end(conn *c)
{
    if (c->fd < 0) return;
    if (c->tls) {
        SSL_shutdown(c->tls);
        ERR_clear_error();
        SSL_free(c->tls);
    }
    close(c->fd);
    free(c->out);
    free(c->head);
    c->fd = -1;
    c->tls = NULL;
    c->out = c->head = NULL;
    c->out_from = c->out_to = c->out_room = c->head_size = c->bulk_left = 0;
    c->state = GONE;
    on_gone(c);
}

/* ---- sending */

uint8_t *conn_room(conn *c, size_t size)
{
    if (c->out_from == c->out_to) c->out_from = c->out_to = 0;
    if (c->out_to + size > c->out_room) {
        c->out_room = (c->out_to + size) * 2;
        c->out = realloc(c->out, c->out_room);
        if (!c->out) wire_fail("no memory");
    }
    return (uint8_t *)c->out + c->out_to;
}

bool conn_flush(conn *c)
{
    while (c->out_to > c->out_from) {
        long count = write_some(c, c->out + c->out_from, c->out_to - c->out_from);
        if (count == NOTHING_YET) return false;
        if (count <= 0) {
            conn_end(c);
            return false;
        }
        c->out_from += count;
    }
    return true;
}

void conn_queue(conn *c, const void *data, size_t size)
{
    memcpy(conn_room(c, size), data, size);
    c->out_to += size;
}

void conn_send(conn *c, const void *data, size_t size)
{
    bool idle = c->out_to == c->out_from;
    frames_queue(c, 2, data, size);
    if (idle) conn_flush(c);
    conn_watch_again(c);
}

void conn_send_close(conn *c)
{
    frames_queue(c, 8, (const uint8_t *)"\x03\xe8", c->role == STREAM ? 0 : 2);
    conn_flush(c);
    conn_watch_again(c);
}

void conn_send_bulk(conn *c, uint64_t size, uint32_t unit)
{
    if (unit > LARGEST) wire_fail("unit too large");
    c->bulk_left = size, c->bulk_at = 0, c->unit = unit;
    conn_watch_again(c);
}

static size_t next_unit(conn *c) { return c->unit < c->bulk_left ? c->unit : c->bulk_left; }

/* One batch of frames, made here; or bytes as they are, straight from the pattern. What has gone or waits now. */
static size_t send_batch(conn *c)
{
    size_t size, batch = 0;
    if (c->role == STREAM) {
        long count = write_some(c, pattern_at(c->bulk_at), next_unit(c));
        if (count <= 0) {
            if (count != NOTHING_YET) conn_end(c);
            return 0;
        }
        c->bulk_left -= count, c->bulk_at += count;
        return count;
    }
    do {
        size = next_unit(c);
        frames_queue(c, 2, pattern_at(c->bulk_at), size);
        c->bulk_left -= size, c->bulk_at += size, batch += size;
    } while (c->bulk_left && batch + c->unit <= BATCH);
    return batch;
}

static void send_on(conn *c)
{
    size_t done = 0, batch = 1;
    for (; conn_flush(c) && c->bulk_left && batch && done < AT_ONCE; done += batch) batch = send_batch(c);
    conn_watch_again(c);
}

/* ---- receiving */

static void receive(conn *c, uint8_t *data, size_t size)
{
    if (c->state == UPGRADING) frames_receive_head(c, data, size);
    else if (c->role == STREAM) on_data(c, data, size);
    else frames_receive(c, data, size);
}

/* Read until nothing is there, records of TLS together. */
static void receive_on(conn *c)
{
    size_t total = 0;
    while (c->fd >= 0 && !c->deaf && (total < AT_ONCE || (c->tls && SSL_has_pending(c->tls)))) {
        size_t size = 0;
        long count;
        do {
            count = read_some(c, landing + size, READ_SIZE - size);
            if (count > 0) size += count;
        } while (c->tls && count > 0 && READ_SIZE - size >= 16384);
        if (size) receive(c, landing, size);
        total += size;
        if (count == NOTHING_YET) return;
        if (count <= 0) {
            conn_end(c);
            return;
        }
        if (!c->tls && size < READ_SIZE) return;
    }
}

/* ---- beginning */

void conn_established(conn *c)
{
    if (c->role == STREAM) {
        c->state = OPEN;
        on_open(c);
    } else {
        c->state = UPGRADING;
        if (c->role == BROWSER) {
            const char *request = on_upgrade(c);
            conn_queue(c, request, strlen(request));
            conn_flush(c);
        }
    }
    conn_watch_again(c);
}

void conn_connect(conn *c, const char *host, int port, SSL_CTX *tls)
{
    int one = 1;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, host, &to.sin_addr) != 1) wire_fail("an IPv4 address is needed");
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) wire_fail("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (void *)&to, sizeof to) && errno != EINPROGRESS) wire_fail("connect");
    if (tls) {
        c->tls = SSL_new(tls);
        SSL_set_fd(c->tls, c->fd);
        SSL_set_connect_state(c->tls);
    }
    c->state = CONNECTING;
    conn_watch(c, EPOLLIN | EPOLLOUT);
}

void conn_accept_tls(conn *c, SSL_CTX *tls)
{
    c->tls = SSL_new(tls);
    SSL_set_fd(c->tls, c->fd);
    SSL_set_accept_state(c->tls);
    c->state = SECURING;
}

void conn_stop_reading(conn *c)
{
    c->deaf = true;
    conn_watch_again(c);
}

SSL_CTX *tls_settings(const SSL_METHOD *method)
{
    SSL_CTX *tls = SSL_CTX_new(method);
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(tls, 1);
    SSL_CTX_set_options(tls, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    return tls;
}

static void connected(conn *c)
{
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) conn_end(c);
    else if (c->tls) c->state = SECURING;
    else conn_established(c);
}

static void secure_on(conn *c)
{
    long result = tls_result(c, SSL_do_handshake(c->tls));
    if (result > 0) conn_established(c);
    else if (result != NOTHING_YET) conn_end(c);
    else conn_watch_again(c);
}

static void dispatch(conn *c, uint32_t events)
{
    uint64_t expirations;
    if (c->state == LISTENING) on_accept(c);
    else if (c->state == TIMER) {
        if (read(c->fd, &expirations, sizeof expirations) < 0 && errno != EAGAIN) wire_fail("timer");
    } else {
        if (c->state == CONNECTING && events & (EPOLLOUT | EPOLLERR)) connected(c);
        if (c->state == SECURING) secure_on(c);
        if (c->state != OPEN && c->state != UPGRADING) return;
        if (events & EPOLLOUT) send_on(c);
        if (c->fd >= 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive_on(c);
    }
}

void wire_turn(int milliseconds)
{
    struct epoll_event events[256];
    int count = epoll_wait(epoll, events, 256, milliseconds);
    for (int i = 0; i < count; i++) dispatch(events[i].data.ptr, events[i].events);
}
