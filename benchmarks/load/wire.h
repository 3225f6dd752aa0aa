/* Connections of the load generator: plain sockets, TLS and websocket frames under one epoll loop.
 *
 * Knows nothing of what is measured; viewers.c and target.c do, each a program of its own. They give the
 * four functions at the end of this file. What cannot go on prints "FAIL why" and ends the program.
 */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

enum role { STREAM, BROWSER, WEBSERVER }; /* bytes as they are; masked frames; unmasked frames */
enum state { LISTENING, TIMER, CONNECTING, SECURING, UPGRADING, OPEN, GONE };

typedef struct conn {
    int fd;
    enum state state;
    enum role role;
    uint32_t events; /* what epoll watches */
    bool deaf;       /* nothing more is read */
    SSL *tls;
    char *head; /* of the websocket handshake, as far as it has come */
    size_t head_size;

    /* the frame that is being received */
    uint8_t header[14], mask[4], control[125];
    int header_size, opcode, mask_at, control_size;
    bool in_frame, masked;
    uint64_t left;

    /* what waits to be sent: bytes, then so much of the pattern in messages of `unit` bytes */
    char *out;
    size_t out_from, out_to, out_room;
    uint64_t bulk_left, bulk_at;
    uint32_t unit;
} conn;

void wire_begin(void);
void wire_turn(int milliseconds);
void wire_fail(const char *why);
uint64_t now_ns(void);

/* Every stream of bulk bytes is this pattern, over and over: the byte at an offset, and whether bytes agree. */
const uint8_t *pattern_at(uint64_t offset);
bool pattern_agrees(const uint8_t *data, size_t size, uint64_t offset);

void conn_watch(conn *c, uint32_t events);
void conn_connect(conn *c, const char *host, int port, SSL_CTX *tls);
void conn_established(conn *c); /* for an accepted socket that conn_watch has */
void conn_accept_tls(conn *c, SSL_CTX *tls); /* the same, with TLS before */
SSL_CTX *tls_settings(const SSL_METHOD *method);
void conn_send(conn *c, const void *data, size_t size);
void conn_send_bulk(conn *c, uint64_t size, uint32_t unit);
void conn_send_close(conn *c);
void conn_stop_reading(conn *c);
void conn_end(conn *c);

/* Given by the program. */
void on_accept(conn *listener);
const char *on_upgrade(conn *c); /* a browser's request, up to and with its empty line */
void on_open(conn *c);
void on_data(conn *c, uint8_t *data, size_t size);
void on_gone(conn *c);

#endif
