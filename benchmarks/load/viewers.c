/* The viewers of the benchmarks: browsers' websockets, as many as asked for.
 *
 *     viewers --url ws://127.0.0.1:P/path --mode MODE [--sessions N] [--tokens FILE] ...
 *
 * With --tokens each connection shows the file's next line as `consolekit.token.LINE`, once.
 * Modes, see target.c for what is asked of the other end:
 *
 *     down         each session is sent --bytes
 *     up           each session sends --bytes in messages of --unit
 *     ping         each session sends 8 bytes --rate times a second, gets --unit back, for --seconds
 *     connect      --at-once viewers connect, wait for the console's first word, close; again, for --seconds,
 *                  --connections at most
 *     idle         nothing, for --seconds
 *     stall-down   the viewer stops reading while it is sent --bytes
 *     stall-up     the console stops reading while the viewer sends --bytes
 *
 * A line begins it: it opens the sessions and prints READY when every console's first word has come. Another
 * line: it measures, prints DONE and JSON, and keeps the sessions open until one more line, or the end, comes.
 */
#define _GNU_SOURCE
#include "wire.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define PREAMBLE 18 /* version, security types, security result: 12 + 2 + 4 */
#define FIRST_WORD 12
#define GIVE_UP 60e9 /* ns, for opening and for a transfer */

typedef struct viewer {
    conn wire; /* first: the handlers get this one's address */
    size_t greeted;
    bool leaving;
    uint64_t began, taken;
    uint64_t stamp; /* of the answer that is coming */
    uint32_t answered;
} viewer;

static struct {
    const char *mode;
    int sessions, at_once, connections;
    uint64_t bytes;
    uint32_t unit;
    double rate, seconds;
    bool rfb;
} want = {"idle", 1, 16, 1 << 30, 1 << 28, 65536, 5, 2, false};

static char host[64], path[256], tokens_file[512];
static int port;
static SSL_CTX *tls;
static FILE *tokens;
static viewer *viewers;
static int ready, done, lost, failed;
static uint64_t *delays, delay_count, delay_room, bad;

static bool mode_is(const char *mode) { return !strcmp(want.mode, mode); }

/* ---- one viewer */

const char *on_upgrade(conn *wire)
{
    (void)wire;
    static char request[2048];
    char line[128] = "", offer[192] = "";
    if (tokens) {
        if (!fgets(line, sizeof line, tokens)) wire_fail("not enough tokens");
        snprintf(offer, sizeof offer, ", consolekit.token.%.*s", (int)strcspn(line, "\n"), line);
    }
    snprintf(request, sizeof request,
             "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Origin: %s://%s:%d\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
             "Sec-WebSocket-Protocol: binary%s\r\n\r\n",
             path, host, port, tls ? "https" : "http", host, port, offer);
    return request;
}

void on_accept(conn *listener) { (void)listener; }
void on_open(conn *wire) { (void)wire; }

static void begin(viewer *v)
{
    memset(v, 0, sizeof *v);
    v->wire.role = BROWSER;
    v->began = now_ns();
    conn_connect(&v->wire, host, port, tls);
}

static void note_delay(uint64_t since)
{
    if (delay_count == delay_room) {
        delay_room = delay_room ? delay_room * 2 : 65536;
        delays = realloc(delays, delay_room * sizeof *delays);
    }
    delays[delay_count++] = now_ns() - since;
}

void on_gone(conn *wire)
{
    viewer *v = (viewer *)wire;
    if (!mode_is("connect")) lost++;
    else if (v->leaving) done++, note_delay(v->began);
    else failed++;
}

static void order(viewer *v, char what, uint32_t a, uint64_t b)
{
    uint8_t message[16] = {what};
    memcpy(message + 4, &a, 4);
    memcpy(message + 8, &b, 8);
    conn_send(&v->wire, message, sizeof message);
}

static void go(viewer *v)
{
    if (mode_is("down")) order(v, 'D', want.unit, want.bytes);
    else if (mode_is("up")) order(v, 'U', 0, want.bytes), conn_send_bulk(&v->wire, want.bytes, want.unit);
    else if (mode_is("ping")) order(v, 'E', want.unit, 0);
    else if (mode_is("stall-down")) order(v, 'D', want.unit, want.bytes), conn_stop_reading(&v->wire);
    else if (mode_is("stall-up")) order(v, 'S', 0, 0), conn_send_bulk(&v->wire, want.bytes, want.unit);
}

static void greeted(viewer *v)
{
    ready++;
    if (mode_is("connect")) {
        v->leaving = true;
        conn_send_close(&v->wire);
    }
}

/* The console's first word, and with --rfb the viewer's part of RFB's security handshake. */
static size_t greet(viewer *v, size_t size)
{
    size_t all = want.rfb ? PREAMBLE : FIRST_WORD, before = v->greeted;
    size_t part = size < all - before ? size : all - before;
    v->greeted += part;
    if (want.rfb && before < 12 && v->greeted >= 12) conn_send(&v->wire, "RFB 003.008\n", 12);
    if (want.rfb && before < 14 && v->greeted >= 14) conn_send(&v->wire, "\x01", 1);
    if (v->greeted == all) greeted(v);
    return part;
}

static void take_answers(viewer *v, const uint8_t *data, size_t size)
{
    while (size) {
        size_t until = v->answered < 8 ? 8 : want.unit;
        size_t part = size < until - v->answered ? size : until - v->answered;
        if (until == 8) memcpy((uint8_t *)&v->stamp + v->answered, data, part);
        v->answered += part, data += part, size -= part;
        if (v->answered == want.unit) {
            v->answered = 0;
            done++;
            note_delay(v->stamp);
        }
    }
}

void on_data(conn *wire, uint8_t *data, size_t size)
{
    viewer *v = (viewer *)wire;
    size_t all = want.rfb ? PREAMBLE : FIRST_WORD;
    if (v->greeted < all) {
        size_t part = greet(v, size);
        data += part, size -= part;
    }
    if (!size || wire->fd < 0) return;
    if (mode_is("ping")) {
        take_answers(v, data, size);
        return;
    }
    if (mode_is("down")) bad += !pattern_agrees(data, size, v->taken);
    v->taken += size;
    if (mode_is("down") && v->taken == want.bytes) done++;
    if (mode_is("up") && v->taken == 8) done++, bad += size < 8 || memcmp(data + size - 8, "UPLOADOK", 8);
}

/* ---- all of them */

static void open_all(void)
{
    uint64_t began = now_ns();
    int opened = 0;
    while (ready < want.sessions) {
        while (opened < want.sessions && opened - ready < want.at_once) begin(&viewers[opened++]);
        wire_turn(100);
        if (lost) wire_fail("a session ended while it was being opened");
        if (now_ns() - began > GIVE_UP) wire_fail("opening took too long");
    }
}

static void transfer(uint64_t began)
{
    for (int i = 0; i < want.sessions; i++) go(&viewers[i]);
    while (done < want.sessions && !lost) {
        wire_turn(200);
        if (now_ns() - began > GIVE_UP) wire_fail("the transfer took too long");
    }
}

/* The same load whatever the answers do: a request at its time, and its delay counts from then. */
static void ping_on(uint64_t began, uint64_t end)
{
    static conn timer = {.state = TIMER};
    timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    conn_watch(&timer, EPOLLIN);
    double step = 1e9 / want.rate / want.sessions;
    uint64_t sent = 0, now;
    while ((now = now_ns()) < end && !lost) {
        uint64_t due;
        while ((due = began + (uint64_t)(sent * step)) <= now && due < end)
            conn_send(&viewers[sent++ % want.sessions].wire, &due, sizeof due);
        struct itimerspec at = {.it_value = {due / 1000000000, due % 1000000000}};
        timerfd_settime(timer.fd, TFD_TIMER_ABSTIME, &at, NULL);
        wire_turn(100);
    }
    uint64_t grace = now_ns() + 1000000000;
    while (done < (int)sent && now_ns() < grace && !lost) wire_turn(20);
    failed = (int)sent - done;
}

static void connect_on(uint64_t end)
{
    int active = 1, begun = 0;
    for (int i = 0; i < want.at_once; i++) viewers[i].wire.fd = -1;
    while (active) {
        active = 0;
        for (int i = 0; i < want.at_once; i++) {
            viewer *v = &viewers[i];
            if (v->wire.fd < 0 && now_ns() < end && begun < want.connections) begin(v), begun++;
            if (v->wire.fd >= 0 && now_ns() - v->began > 10e9) conn_end(&v->wire);
            active += v->wire.fd >= 0;
        }
        wire_turn(20);
    }
}

static void wait_on(uint64_t end)
{
    if (!mode_is("idle"))
        for (int i = 0; i < want.sessions; i++) go(&viewers[i]);
    while (now_ns() < end && !lost) wire_turn(20);
}

static void wait_for_line(void)
{
    char line[16];
    struct pollfd input = {STDIN_FILENO, POLLIN, 0};
    while (!poll(&input, 1, 0)) wire_turn(20);
    if (!fgets(line, sizeof line, stdin)) exit(0);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static double cpu_seconds(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static double percentile(double share)
{
    return delay_count ? delays[(uint64_t)((delay_count - 1) * share)] / 1e6 : 0;
}

static void measure(void)
{
    uint64_t began = now_ns(), end = began + (uint64_t)(want.seconds * 1e9);
    double cpu = cpu_seconds();
    if (mode_is("down") || mode_is("up")) transfer(began);
    else if (mode_is("ping")) ping_on(began, end);
    else if (mode_is("connect")) connect_on(end);
    else wait_on(end);
    if (lost) wire_fail("a session ended in the middle");
    qsort(delays, delay_count, sizeof *delays, by_size);
    printf("DONE {\"seconds\": %.4f, \"done\": %d, \"failed\": %d, \"bad\": %lu, \"p50_ms\": %.3f, \"p99_ms\": %.3f, "
           "\"cpu\": %.4f}\n",
           (now_ns() - began) / 1e9, done, failed, (unsigned long)bad, percentile(0.5), percentile(0.99),
           cpu_seconds() - cpu);
    fflush(stdout);
}

static void read_url(const char *url)
{
    if (sscanf(url, "%*[ws]://%63[^:]:%d%255s", host, &port, path) != 3) wire_fail("ws://address:port/path is needed");
    if (strncmp(url, "wss:", 4)) return;
    tls = tls_settings(TLS_client_method());
}

static void read_words(int count, char **words)
{
    for (int i = 1; i < count; i++) {
        const char *word = words[i], *value = i + 1 < count ? words[i + 1] : "";
        if (!strcmp(word, "--rfb")) {
            want.rfb = true;
            continue;
        }
        i++;
        if (!strcmp(word, "--url")) read_url(value);
        else if (!strcmp(word, "--mode")) want.mode = value;
        else if (!strcmp(word, "--sessions")) want.sessions = atoi(value);
        else if (!strcmp(word, "--at-once")) want.at_once = atoi(value);
        else if (!strcmp(word, "--connections")) want.connections = atoi(value);
        else if (!strcmp(word, "--bytes")) want.bytes = strtoull(value, NULL, 0);
        else if (!strcmp(word, "--unit")) want.unit = atoi(value);
        else if (!strcmp(word, "--rate")) want.rate = atof(value);
        else if (!strcmp(word, "--seconds")) want.seconds = atof(value);
        else if (!strcmp(word, "--tokens")) snprintf(tokens_file, sizeof tokens_file, "%s", value);
        else wire_fail(word);
    }
    if (tokens_file[0] && !(tokens = fopen(tokens_file, "r"))) wire_fail("the tokens cannot be read");
}

int main(int count, char **words)
{
    wire_begin();
    read_words(count, words);
    viewers = calloc(want.sessions > want.at_once ? want.sessions : want.at_once, sizeof *viewers);
    wait_for_line();
    if (!mode_is("connect")) open_all();
    if (mode_is("ping"))
        for (int i = 0; i < want.sessions; i++) go(&viewers[i]);
    printf("READY\n");
    fflush(stdout);
    wait_for_line();
    measure();
    wait_for_line();
}
