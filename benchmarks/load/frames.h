/* Between wire.c and frames.c: what each needs of the other. */
#ifndef FRAMES_H
#define FRAMES_H

#include "wire.h"

void frames_queue(conn *c, int opcode, const uint8_t *data, size_t size);
void frames_receive(conn *c, uint8_t *data, size_t size);
void frames_receive_head(conn *c, const uint8_t *data, size_t size);

uint8_t *conn_room(conn *c, size_t size); /* behind what waits; the caller moves c->out_to */
void conn_queue(conn *c, const void *data, size_t size);
bool conn_flush(conn *c); /* true when nothing waits any more */
void conn_watch_again(conn *c);

#endif
