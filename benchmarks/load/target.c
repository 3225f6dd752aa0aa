/* The console server of the benchmarks: what the proxies connect to.
 *
 *     target --port P [--websocket] [--rfb] [--tls PEM]
 *
 * It says "RFB 003.008\n" at once, as a VNC server does. With --rfb it goes on with RFB's security handshake
 * (RFC 6143, 7.1; security type None). Then it takes orders of 16 bytes: one letter, 3 of nothing, u32 a, u64 b:
 *
 *     D  stream b bytes of the pattern, written a at a time
 *     U  take b bytes, then say "UPLOADOK", or "UPLOADNO" if they were not the pattern
 *     E  from now on answer each request of 8 bytes with a bytes that begin with it
 *     S  read nothing more
 */
#define _GNU_SOURCE
#include "wire.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ORDER 16
#define REPLY_ROOM (1 << 20)
#define ENDED_ROOM 4096

enum phase { VERSION, SECURITY, ORDERS, UPLOAD, ECHO };

typedef struct console {
    conn wire; /* first: the handlers get this one's address */
    enum phase phase;
    uint8_t order[ORDER]; /* or the part of a request or answer that has come */
    size_t have;
    uint32_t reply;
    uint64_t wanted, taken;
    bool damaged;
} console;

static bool websocket, rfb;
static SSL_CTX *tls;
static uint8_t *reply;
static console *ended[ENDED_ROOM]; /* freed after the turn in which they ended */
static int ended_count;

void on_accept(conn *listener)
{
    int one = 1;
    for (int i = 0; i < 64; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        console *c = calloc(1, sizeof *c);
        c->wire.fd = fd;
        c->wire.role = websocket ? WEBSERVER : STREAM;
        conn_watch(&c->wire, EPOLLIN);
        if (tls) conn_accept_tls(&c->wire, tls);
        else conn_established(&c->wire);
    }
}

const char *on_upgrade(conn *wire) { return wire->head; }

void on_open(conn *wire)
{
    ((console *)wire)->phase = rfb ? VERSION : ORDERS;
    conn_send(wire, "RFB 003.008\n", 12);
}

void on_gone(conn *wire)
{
    if (ended_count < ENDED_ROOM) ended[ended_count++] = (console *)wire;
}

static void obey(console *c)
{
    uint32_t a;
    uint64_t b;
    memcpy(&a, c->order + 4, 4);
    memcpy(&b, c->order + 8, 8);
    switch (c->order[0]) {
    case 'D': conn_send_bulk(&c->wire, b, a); break;
    case 'U': c->phase = UPLOAD, c->wanted = b, c->taken = 0; break;
    case 'E': c->phase = ECHO, c->reply = a; break;
    case 'S': conn_stop_reading(&c->wire); break;
    default: conn_end(&c->wire);
    }
}

static void take_upload(console *c, const uint8_t *data, size_t size)
{
    c->damaged |= !pattern_agrees(data, size, c->taken);
    c->taken += size;
    if (c->taken < c->wanted) return;
    c->phase = ORDERS;
    conn_send(&c->wire, c->damaged ? "UPLOADNO" : "UPLOADOK", 8);
}

/* Something of a known size is there whole. */
static void act(console *c)
{
    switch (c->phase) {
    case VERSION: c->phase = SECURITY, conn_send(&c->wire, "\x01\x01", 2); break;
    case SECURITY: c->phase = ORDERS, conn_send(&c->wire, "\0\0\0\0", 4); break;
    case ECHO: memcpy(reply, c->order, 8), conn_send(&c->wire, reply, c->reply); break;
    default: obey(c);
    }
}

void on_data(conn *wire, uint8_t *data, size_t size)
{
    static const size_t sizes[] = {[VERSION] = 12, [SECURITY] = 1, [ORDERS] = ORDER, [ECHO] = 8};
    console *c = (console *)wire;
    while (size && wire->fd >= 0 && !wire->deaf) {
        size_t part;
        if (c->phase == UPLOAD) {
            part = size < c->wanted - c->taken ? size : c->wanted - c->taken;
            take_upload(c, data, part);
        } else {
            size_t need = sizes[c->phase];
            part = size < need - c->have ? size : need - c->have;
            memcpy(c->order + c->have, data, part);
            c->have += part;
            if (c->have == need) c->have = 0, act(c);
        }
        data += part, size -= part;
    }
}

static void listen_on(int port)
{
    static conn listener = {.state = LISTENING};
    struct sockaddr_in here = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    listener.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener.fd, (void *)&here, sizeof here) || listen(listener.fd, 4096)) wire_fail("cannot listen");
    conn_watch(&listener, EPOLLIN);
}

static void serve_tls(const char *pem)
{
    tls = tls_settings(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(tls, pem) != 1 || SSL_CTX_use_PrivateKey_file(tls, pem, SSL_FILETYPE_PEM) != 1)
        wire_fail("the certificate cannot be read");
}

int main(int count, char **words)
{
    int port = 0;
    for (int i = 1; i < count; i++) {
        if (!strcmp(words[i], "--websocket")) websocket = true;
        else if (!strcmp(words[i], "--rfb")) rfb = true;
        else if (!strcmp(words[i], "--port") && i + 1 < count) port = atoi(words[++i]);
        else if (!strcmp(words[i], "--tls") && i + 1 < count) serve_tls(words[++i]);
    }
    reply = calloc(1, REPLY_ROOM);
    wire_begin();
    listen_on(port);
    for (;;) {
        wire_turn(-1);
        while (ended_count) free(ended[--ended_count]);
    }
}
