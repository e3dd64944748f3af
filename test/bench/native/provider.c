// A model provider for the bench: answers any POST in the wire format of its path, unary or streamed, after exactly the time
// that the request asks for. One thread, one epoll; it must never be what a run waits for. See README.md.
//
// The life of a connection: its head is read line by line, its body is scanned piece by piece, then it is answered. While it
// is answered, a timer says when the next event is due; when the socket takes no more, the timer rests until it does.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "http.h"
#include "random.h"
#include "request-scan.h"
#include "timers.h"
#include "wires.h"

#define MOST_BODY (64u << 20)
#define MOST_HEAD (64u << 10)
#define INPUT_SIZE (64u << 10)
#define EVENTS_PER_TURN 64 // of a stream without gaps, before others get their turn
#define TURN_SIZE 256      // sockets that one epoll_wait reports

enum state { READING_HEAD, READING_BODY, ANSWERING };
enum part { UNARY, STREAM_START, STREAM_EVENTS, STREAM_END, NOTHING };

struct connection {
  int fd;
  enum state state;

  // The request.
  struct line_reader lines;
  struct body_reader body;
  struct request_scan scan;
  size_t taken; // bytes of the head, then of the body
  bool has_request_line;
  bool is_post;
  bool is_stats;
  bool is_healthz;
  bool is_http_1_1;
  bool expects_continue;
  bool closes_after;

  // The answer.
  const struct wire *wire;
  struct settings settings;
  struct timer timer;     // set while something is due later
  int64_t due;            // when `next` is due
  enum part next;
  uint64_t events_left;
  struct buffer *output;  // begun, but not yet taken by the socket
  size_t output_sent;
  bool waits_for_socket;
  bool is_counted_open;

  // What a client that pipelines sent during the answer.
  struct buffer *early;
};

static struct {
  uint64_t requests;
  uint64_t streams;
  uint64_t open;
  uint64_t events;
  uint64_t aborted;
  uint64_t connections;
} stats;

static int epoll;

// ---- Random latencies ----

/** The delay of the next answer in nanoseconds: fixed, or log-normal about its median (Box-Muller). */
static int64_t draw_latency(const struct settings *settings) {
  static uint64_t random = 1;
  double micros = settings->latency_us;
  if (settings->sigma > 0 && micros > 0) {
    double normal = sqrt(-2 * log(next_random(&random))) * cos(2 * M_PI * next_random(&random));
    micros *= exp(settings->sigma * normal);
  }
  return (int64_t)(micros * NANOS_PER_MICRO);
}

// ---- Sending ----

static void close_connection(struct connection *connection) {
  if (connection->is_counted_open) {
    stats.open--;
    stats.aborted++;
  }
  unset_timer(&connection->timer);
  release_buffer(connection->output);
  release_buffer(connection->early);
  close(connection->fd);
  free(connection);
  stats.connections--;
}

/** Has epoll report when the socket takes more, or no longer. */
static void wait_for_socket(struct connection *connection, bool waits) {
  if (connection->waits_for_socket == waits) return;
  connection->waits_for_socket = waits;
  struct epoll_event event = {.events = EPOLLIN | (waits ? EPOLLOUT : 0), .data.ptr = connection};
  epoll_ctl(epoll, EPOLL_CTL_MOD, connection->fd, &event);
}

enum sending { SENT, SOCKET_IS_FULL, CLIENT_IS_GONE };

/** Sends what was begun before. */
static enum sending send_output(struct connection *connection) {
  struct buffer *output = connection->output;
  if (output == NULL) return SENT;
  ssize_t sent = send(connection->fd, output->bytes + connection->output_sent, output->length - connection->output_sent,
                      MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN ? SOCKET_IS_FULL : CLIENT_IS_GONE;
  connection->output_sent += (size_t)sent;
  if (connection->output_sent < output->length) return SOCKET_IS_FULL;
  release_buffer(output);
  connection->output = NULL;
  return SENT;
}

static enum sending send_buffer(struct connection *connection, struct buffer *buffer) {
  connection->output = buffer;
  connection->output_sent = 0;
  return send_output(connection);
}

/**
 * Sends a piece with one write. What the socket does not take of a piece that it has begun is kept; a piece of which it
 * takes nothing is forgotten, to be made anew later with its true time.
 */
static enum sending send_piece(struct connection *connection, struct slice piece, bool *begun) {
  ssize_t sent = send(connection->fd, piece.text, piece.length, MSG_NOSIGNAL);
  *begun = sent > 0;
  if (sent < 0) return errno == EAGAIN ? SOCKET_IS_FULL : CLIENT_IS_GONE;
  if ((size_t)sent == piece.length) return SENT;
  // A bench knows its own clients: this is rare, so it may cost a copy.
  connection->output = create_buffer(piece.text + sent, piece.length - (size_t)sent);
  connection->output_sent = 0;
  return SOCKET_IS_FULL;
}

// ---- Answering ----

static void expect_next_request(struct connection *connection) {
  connection->state = READING_HEAD;
  connection->taken = 0;
  connection->has_request_line = false;
}

/** Sends the next part of an answer and says what comes after it. */
static enum sending send_next(struct connection *connection) {
  uint64_t events = (uint64_t)connection->settings.events;
  bool begun = false;
  enum sending sending = SENT;
  switch (connection->next) {
  case UNARY:
    connection->next = NOTHING;
    return send_buffer(connection, hold_answer(connection->wire, (size_t)connection->settings.bytes));
  case STREAM_START:
    sending = send_piece(connection, connection->wire->stream_start(), &begun);
    if (begun) connection->next = events > 0 ? STREAM_EVENTS : STREAM_END;
    break;
  case STREAM_EVENTS:
    sending = send_piece(connection, connection->wire->stream_event(now_nanos(), events - connection->events_left), &begun);
    if (begun) {
      stats.events++;
      if (--connection->events_left == 0) connection->next = STREAM_END;
    }
    break;
  case STREAM_END:
    sending = send_piece(connection, connection->wire->stream_end(connection->scan.include_usage, events), &begun);
    if (begun) connection->next = NOTHING;
    break;
  case NOTHING:
    break;
  }
  // From the time at which it was due, not from now: a late event does not make the following ones late.
  if (begun) connection->due += (int64_t)(connection->settings.gap_us * NANOS_PER_MICRO);
  return sending;
}

/** Whether the connection lives on; it is free for the next request or closed. */
static bool end_answer(struct connection *connection) {
  if (connection->is_counted_open) stats.open--;
  connection->is_counted_open = false;
  if (connection->closes_after) {
    close_connection(connection);
    return false;
  }
  expect_next_request(connection);
  return true;
}

/** Sends all that is due and fits into the socket. False when the connection is closed. */
static bool continue_answer(struct connection *connection) {
  enum sending sending = send_output(connection);
  for (int turn = 0; sending == SENT && connection->next != NOTHING; turn++) {
    int64_t now = now_nanos();
    if (connection->due > now || turn == EVENTS_PER_TURN) {
      wait_for_socket(connection, false);
      set_timer(&connection->timer, connection->due > now ? connection->due : now);
      return true;
    }
    sending = send_next(connection);
  }
  if (sending == CLIENT_IS_GONE) {
    close_connection(connection);
    return false;
  }
  wait_for_socket(connection, sending == SOCKET_IS_FULL);
  return sending == SOCKET_IS_FULL || end_answer(connection);
}

static bool reply(struct connection *connection, const char *status, const char *json) {
  connection->next = NOTHING;
  connection->state = ANSWERING;
  connection->output = create_reply(status, json);
  connection->output_sent = 0;
  return continue_answer(connection);
}

/** Refuses a request whose end is not known: nothing that follows on this connection could be understood. */
static bool refuse(struct connection *connection, const char *status, const char *json) {
  connection->closes_after = true;
  return reply(connection, status, json);
}

static bool reply_stats(struct connection *connection) {
  char json[512];
  snprintf(json, sizeof json,
           "{\"requests\":%llu,\"streams\":%llu,\"open\":%llu,\"events\":%llu,\"aborted\":%llu,\"connections\":%llu,"
           "\"cpuMicros\":%lld,\"pid\":%d}",
           (unsigned long long)stats.requests, (unsigned long long)stats.streams, (unsigned long long)stats.open,
           (unsigned long long)stats.events, (unsigned long long)stats.aborted, (unsigned long long)stats.connections,
           (long long)own_cpu_micros(), (int)getpid());
  return reply(connection, "200 OK", json);
}

/** Begins to answer a request that has been read to its end. False when the connection is closed. */
static bool answer(struct connection *connection) {
  connection->state = ANSWERING;
  if (!connection->is_post) {
    if (connection->is_stats) return reply_stats(connection);
    if (connection->is_healthz) return reply(connection, "200 OK", "{\"status\":\"ok\"}");
    return reply(connection, "404 Not Found", "{\"error\":{\"message\":\"Cannot find this: POST, or GET /stats\"}}");
  }
  connection->settings = DEFAULT_SETTINGS;
  if (!read_settings(connection->scan.settings, &connection->settings)) {
    return reply(connection, "400 Bad Request",
                 "{\"error\":{\"message\":\"Cannot read metadata.bench: each part is name=number of events, gap_us, "
                 "latency_us, sigma, bytes\"}}");
  }
  bool is_streamed = connection->scan.stream && connection->wire->stream_start != NULL;
  stats.requests++;
  stats.streams += is_streamed;
  stats.open++;
  connection->is_counted_open = true;
  connection->next = is_streamed ? STREAM_START : UNARY;
  connection->events_left = (uint64_t)connection->settings.events;
  connection->due = now_nanos() + draw_latency(&connection->settings);
  return continue_answer(connection);
}

// ---- Reading ----

static void read_request_line(struct connection *connection, struct slice line) {
  connection->has_request_line = true;
  connection->is_post = starts_with(line, "POST ");
  connection->is_stats = starts_with(line, "GET /stats ");
  connection->is_healthz = starts_with(line, "GET /healthz ");
  connection->wire = find_wire(line);
  connection->is_http_1_1 = ends_with(line, " HTTP/1.1");
  connection->expects_continue = false;
  connection->closes_after = false;
  connection->body = (struct body_reader){0};
  connection->scan.state = BETWEEN_QUOTES;
  connection->scan.stream = false;
  connection->scan.include_usage = false;
  connection->scan.settings[0] = '\0';
}

/** Takes one line of the head. False when it asks for a body that cannot be read. */
static bool read_header(struct connection *connection, struct slice line) {
  struct slice value;
  switch (line.text[0] | 0x20) { // most headers of a request are none of ours
  case 'c':
    if (read_field(line, "connection", &value)) connection->closes_after |= starts_with(value, "close");
    return read_framing(&connection->body, line);
  case 't':
    return read_framing(&connection->body, line);
  case 'e':
    connection->expects_continue |= read_field(line, "expect", &value);
  }
  return true;
}

/** Goes on to the body. False when the connection is closed. */
static bool end_head(struct connection *connection) {
  connection->taken = 0;
  connection->state = READING_BODY;
  // HTTP/1.0 has neither chunks nor keep-alive: a relay that falls back to it would be measured unlike the others.
  if (!connection->is_http_1_1)
    return refuse(connection, "505 HTTP Version Not Supported", "{\"error\":{\"message\":\"Speak HTTP/1.1\"}}");
  if (connection->body.framing == FRAMED_BY_LENGTH && connection->body.left > MOST_BODY)
    return refuse(connection, "413 Content Too Large", "{\"error\":{\"message\":\"Cannot read more than 64 MB\"}}");
  if (connection->expects_continue) {
    static const char CONTINUE[] = "HTTP/1.1 100 Continue\r\n\r\n";
    ssize_t length = sizeof CONTINUE - 1;
    // Nothing else is on its way to this client; one whose socket does not take 25 bytes is not worth more.
    if (send(connection->fd, CONTINUE, (size_t)length, MSG_NOSIGNAL) != length) {
      close_connection(connection);
      return false;
    }
  }
  return true;
}

/** Reads of the head what is there. False when the connection is closed. */
static bool read_head(struct connection *connection, const char **at, const char *end) {
  const char *start = *at;
  struct slice line;
  while (connection->state == READING_HEAD && read_line(&connection->lines, at, end, &line)) {
    if (line.length == 0) {
      if (connection->has_request_line) return end_head(connection);
    } else if (!connection->has_request_line) {
      read_request_line(connection, line);
    } else if (!read_header(connection, line)) {
      return refuse(connection, "400 Bad Request", "{\"error\":{\"message\":\"Cannot read the length of the body\"}}");
    }
  }
  connection->taken += (size_t)(*at - start);
  if (connection->taken <= MOST_HEAD) return true;
  return refuse(connection, "431 Request Header Fields Too Large", "{\"error\":{\"message\":\"Cannot read this head\"}}");
}

/** Reads of the body what is there, and answers when that was all. False when the connection is closed. */
static bool read_request_body(struct connection *connection, const char **at, const char *end) {
  for (struct slice piece;;) {
    switch (read_body(&connection->body, &connection->lines, at, end, &piece)) {
    case BODY_PIECE:
      scan_request(&connection->scan, piece);
      connection->taken += piece.length;
      if (connection->taken <= MOST_BODY) break;
      return refuse(connection, "413 Content Too Large", "{\"error\":{\"message\":\"Cannot read more than 64 MB\"}}");
    case BODY_NEEDS_MORE:
      return true;
    case BODY_ENDED:
      return answer(connection);
    case BODY_BROKEN:
      return refuse(connection, "400 Bad Request", "{\"error\":{\"message\":\"Cannot read the chunks of the body\"}}");
    }
  }
}

/** Keeps for later what comes during an answer. False when that is too much and the connection is closed. */
static bool keep_early(struct connection *connection, const char *at, size_t length) {
  struct buffer *before = connection->early;
  size_t kept = before == NULL ? 0 : before->length;
  if (connection->closes_after) return true;
  if (kept + length > INPUT_SIZE) {
    close_connection(connection);
    return false;
  }
  connection->early = create_buffer(NULL, kept + length);
  if (kept > 0) memcpy(connection->early->bytes, before->bytes, kept);
  memcpy(connection->early->bytes + kept, at, length);
  release_buffer(before);
  return true;
}

/** Takes what has arrived, which may be part of a request or several. False when the connection is closed. */
static bool take_input(struct connection *connection, const char *at, const char *end) {
  for (;;) {
    switch (connection->state) {
    case READING_HEAD:
      if (at == end) return true;
      if (!read_head(connection, &at, end)) return false;
      break;
    case READING_BODY: // also when nothing is left to take: a body of no bytes ends without input
      if (!read_request_body(connection, &at, end)) return false;
      if (connection->state == READING_BODY) return true;
      break;
    case ANSWERING:
      return at == end || keep_early(connection, at, (size_t)(end - at));
    }
  }
}

static void take_early(struct connection *connection) {
  struct buffer *early = connection->early;
  if (early == NULL || connection->state == ANSWERING) return;
  connection->early = NULL;
  take_input(connection, early->bytes, early->bytes + early->length);
  release_buffer(early);
}

// ---- What wakes a connection ----

static void on_timer(struct timer *timer) {
  struct connection *connection = OWNER_OF(timer, struct connection, timer);
  if (continue_answer(connection)) take_early(connection);
}

static void on_socket(struct connection *connection, uint32_t events) {
  static char input[INPUT_SIZE];
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
    ssize_t length = recv(connection->fd, input, sizeof input, 0);
    if (length == 0 || (length < 0 && errno != EAGAIN)) {
      close_connection(connection);
      return;
    }
    if (length > 0 && !take_input(connection, input, input + length)) return;
  }
  if ((events & EPOLLOUT) && connection->waits_for_socket && continue_answer(connection)) take_early(connection);
}

static void accept_connections(int listener) {
  for (int i = 0; i < TURN_SIZE; i++) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR) return;
      perror("Cannot accept a connection"); // out of files or memory: a bench must not limp on unseen
      exit(1);
    }
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) abort();
    connection->fd = fd;
    connection->timer.fire = on_timer;
    stats.connections++;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  }
}

// ---- Start ----

static void allow_many_files(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

static int listen_on(uint16_t port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int on = 1;
  // Only lets a port be taken whose last connections linger; one with a listener stays refused.
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  if (bind(fd, (struct sockaddr *)&address, length) != 0 || listen(fd, 4096) != 0) {
    fprintf(stderr, "Cannot listen on 127.0.0.1:%d: %s\n", port, strerror(errno));
    exit(1);
  }
  getsockname(fd, (struct sockaddr *)&address, &length);
  printf("provider listening on 127.0.0.1:%d, pid %d\n", ntohs(address.sin_port), (int)getpid());
  fflush(stdout);
  return fd;
}

static uint16_t read_port(int count, char **words) {
  uint64_t port;
  if (count == 3 && strcmp(words[1], "--port") == 0 &&
      read_number((struct slice){words[2], strlen(words[2])}, 10, &port) && port <= 65535)
    return (uint16_t)port;
  fprintf(stderr, "Cannot start: usage is provider --port N (0 for any free port)\n");
  exit(1);
}

int main(int count, char **words) {
  uint16_t port = read_port(count, words);
  allow_many_files();
  static int listener;
  listener = listen_on(port);
  epoll = epoll_create1(EPOLL_CLOEXEC);
  open_timers(epoll, &timers);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listener};
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);

  for (;;) {
    struct epoll_event events[TURN_SIZE];
    int ready = epoll_wait(epoll, events, TURN_SIZE, arm_timers());
    for (int i = 0; i < ready; i++) {
      void *mark = events[i].data.ptr;
      if (mark == &listener) accept_connections(listener);
      else if (mark != &timers) on_socket(mark, events[i].events);
    }
    run_timers();
  }
}
