/* Websocket frames and the handshake before them (RFC 6455). See frames.h. */
#define _GNU_SOURCE
#include "frames.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- sending */

static void mask_into(uint8_t *to, const uint8_t *from, size_t size, const uint8_t *mask)
{
    uint32_t m;
    memcpy(&m, mask, 4);
    uint64_t wide = m | (uint64_t)m << 32, word;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        memcpy(&word, from + i, 8);
        word ^= wide;
        memcpy(to + i, &word, 8);
    }
    for (; i < size; i++) to[i] = from[i] ^ mask[i & 3];
}

static uint32_t next_mask(void)
{
    static uint32_t x = 2463534242u; /* xorshift: cheap, and masks need not be secret here */
    x ^= x << 13, x ^= x >> 17, x ^= x << 5;
    return x;
}

void frames_queue(conn *c, int opcode, const uint8_t *data, size_t size)
{
    if (c->role == STREAM) {
        conn_queue(c, data, size);
        return;
    }
    uint8_t *o = conn_room(c, size + 14);
    size_t at = 2;
    o[0] = 0x80 | opcode;
    if (size < 126) o[1] = size;
    else if (size < 65536) o[1] = 126, o[2] = size >> 8, o[3] = size, at = 4;
    else {
        o[1] = 127;
        for (int i = 0; i < 8; i++) o[2 + i] = (uint64_t)size >> (56 - 8 * i);
        at = 10;
    }
    if (c->role == BROWSER) {
        uint32_t mask = next_mask();
        o[1] |= 0x80;
        memcpy(o + at, &mask, 4);
        mask_into(o + at + 4, data, size, o + at);
        at += 4;
    } else memcpy(o + at, data, size);
    c->out_to += at + size;
}

/* ---- receiving */

static bool header_complete(conn *c)
{
    if (c->header_size < 2) return false;
    int short_size = c->header[1] & 0x7f, extended = short_size == 126 ? 2 : short_size == 127 ? 8 : 0;
    c->masked = c->header[1] >> 7;
    if (c->header_size < 2 + extended + 4 * c->masked) return false;
    if (c->header[0] & 0x70) wire_fail("a reserved bit is set in a frame");
    if (c->masked != (c->role == WEBSERVER)) wire_fail("a frame is masked and should not be, or the other way");
    c->left = extended ? 0 : short_size;
    for (int i = 0; i < extended; i++) c->left = c->left << 8 | c->header[2 + i];
    memcpy(c->mask, c->header + 2 + extended, 4);
    c->opcode = c->header[0] & 15;
    c->mask_at = c->control_size = c->header_size = 0;
    c->in_frame = true;
    return true;
}

static void frame_over(conn *c)
{
    c->in_frame = false;
    if (c->opcode == 9) {
        frames_queue(c, 10, c->control, c->control_size);
        conn_flush(c);
        conn_watch_again(c);
    } else if (c->opcode == 8) {
        if (c->role == WEBSERVER) conn_send_close(c);
        conn_end(c);
    }
}

void frames_receive(conn *c, uint8_t *data, size_t size)
{
    while (size && c->fd >= 0) {
        if (!c->in_frame) {
            c->header[c->header_size++] = *data++;
            size--;
            if (!header_complete(c)) continue;
        }
        size_t part = size < c->left ? size : c->left;
        if (c->masked && part) {
            uint8_t mask[4];
            for (int i = 0; i < 4; i++) mask[i] = c->mask[(c->mask_at + i) & 3];
            mask_into(data, data, part, mask);
            c->mask_at = (c->mask_at + part) & 3;
        }
        c->left -= part;
        if (c->opcode >= 8) {
            memcpy(c->control + c->control_size, data, part);
            c->control_size += part;
        } else if (part) on_data(c, data, part);
        data += part, size -= part;
        if (!c->left && c->fd >= 0) frame_over(c);
    }
}

static void answer_upgrade(conn *c)
{
    const char *key = strcasestr(c->head, "\r\nsec-websocket-key:");
    if (!key) wire_fail("no websocket handshake came");
    key += 20 + strspn(key + 20, " ");
    char joined[128], accept[32], answer[256];
    unsigned char digest[20];
    int size = snprintf(joined, sizeof joined, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", (int)strcspn(key, "\r "), key);
    EVP_Digest(joined, size, digest, NULL, EVP_sha1(), NULL);
    EVP_EncodeBlock((unsigned char *)accept, digest, sizeof digest);
    size = snprintf(answer, sizeof answer,
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: binary\r\n\r\n", accept);
    conn_queue(c, answer, size);
}

static void check_upgrade(const char *head)
{
    if (strstr(head, " 101 ") && strstr(head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")) return;
    printf("FAIL handshake: %.300s\n", head);
    fflush(stdout);
    exit(1);
}

void frames_receive_head(conn *c, const uint8_t *data, size_t size)
{
    c->head = realloc(c->head, c->head_size + size + 1);
    memcpy(c->head + c->head_size, data, size);
    c->head_size += size;
    c->head[c->head_size] = 0;
    char *end = strstr(c->head, "\r\n\r\n");
    if (!end) return;
    uint8_t *rest = (uint8_t *)end + 4;
    size_t rest_size = c->head_size - (rest - (uint8_t *)c->head);
    if (c->role == BROWSER) check_upgrade(c->head);
    else answer_upgrade(c);
    char *head = c->head;
    c->head = NULL, c->head_size = 0, c->state = OPEN;
    on_open(c);
    if (rest_size && c->fd >= 0) frames_receive(c, rest, rest_size);
    free(head);
}

