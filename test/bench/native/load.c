// A load generator for HTTP/1.1 that measures from the time at which a request was meant to start, in one thread with one
// epoll. It prints one JSON object. See README.md for what each mode counts.
//
// The life of a connection: it rests without a socket or is idle with one; a request makes it connect if need be, then ask
// and read the answer to its end, after which it is idle again. Its timer is the deadline of the request, or the end of a rest.
#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "clock.h"
#include "events.h"
#include "http.h"
#include "options.h"
#include "random.h"
#include "report.h"
#include "requests.h"
#include "timers.h"

#define INPUT_SIZE (64u << 10)
#define TURN_SIZE 256 // sockets that one epoll_wait reports
#define REST_NANOS (10 * NANOS_PER_MILLI) // before a connection that was refused is tried again, in closed mode

enum state { RESTING, IDLE, CONNECTING, ASKING };

struct connection {
  int fd; // -1 while resting
  enum state state;
  bool waits_for_socket;
  struct timer timer;

  // The request.
  struct slice parts[REQUEST_PARTS];
  size_t sent;
  int64_t intended; // when it was meant to start
  bool is_counted;

  // The answer.
  struct line_reader lines;
  struct line_reader event_lines;
  struct body_reader body;
  int status; // 0 before its first line
  bool is_in_body;
  bool is_stream;
  bool is_done; // the mark of a whole answer was there
  bool closes_after;
  bool has_first_byte;
  bool has_first_event;
};

static struct options options;
static int epoll;

// ---- The run: warm-up, window, drain ----

static struct {
  int64_t window_start;
  int64_t window_end;
  int64_t drain_end;
  bool is_draining;
  uint64_t in_flight;
  struct timer start_timer;
  struct timer end_timer;
  struct timer drain_timer;
} run;

static struct measured measured;

static int64_t watched_cpu_nanos(pid_t pid) {
  clockid_t clock;
  return clock_getcpuclockid(pid, &clock) == 0 ? read_clock(clock) : -1;
}

/** Takes down how much CPU time everyone has had until the window. */
static void on_window_start(struct timer *timer) {
  (void)timer;
  for (size_t i = 0; i < options.watched_count; i++) measured.watched_nanos[i] = watched_cpu_nanos(options.watched[i]);
  measured.cpu_micros = own_cpu_micros();
}

/** Leaves what everyone has had within the window. */
static void on_window_end(struct timer *timer) {
  (void)timer;
  run.is_draining = true;
  measured.cpu_micros = own_cpu_micros() - measured.cpu_micros;
  for (size_t i = 0; i < options.watched_count; i++) {
    int64_t nanos = watched_cpu_nanos(options.watched[i]);
    measured.watched_nanos[i] = nanos < 0 || measured.watched_nanos[i] < 0 ? -1 : nanos - measured.watched_nanos[i];
  }
}

static void on_drain_end(struct timer *timer) { (void)timer; } // only to wake up for it

static void plan_run(int64_t start) {
  run.window_start = start + options.warmup_ms * NANOS_PER_MILLI;
  run.window_end = run.window_start + options.duration_ms * NANOS_PER_MILLI;
  int64_t drain_ms = options.drain_ms < options.timeout_ms ? options.drain_ms : options.timeout_ms;
  run.drain_end = run.window_end + (options.mode == MODE_HOLD ? 0 : drain_ms * NANOS_PER_MILLI);
  run.start_timer.fire = on_window_start;
  run.end_timer.fire = on_window_end;
  run.drain_timer.fire = on_drain_end;
  set_timer(&run.start_timer, run.window_start);
  set_timer(&run.end_timer, run.window_end);
  set_timer(&run.drain_timer, run.drain_end);
}

/** Whether a request that was meant to start at this time belongs to the window. */
static bool is_in_window(int64_t intended) {
  // Streams that are held start before what is to be measured of them.
  return options.mode == MODE_HOLD || (intended >= run.window_start && intended < run.window_end);
}

static size_t request_length(const struct connection *connection) {
  return connection->parts[0].length + connection->parts[1].length + connection->parts[2].length;
}

// ---- Sockets ----

static void watch_socket(struct connection *connection, int operation, bool waits) {
  connection->waits_for_socket = waits;
  struct epoll_event event = {.events = EPOLLIN | (waits ? EPOLLOUT : 0), .data.ptr = connection};
  epoll_ctl(epoll, operation, connection->fd, &event);
}

static void drop_socket(struct connection *connection) {
  if (connection->fd >= 0) close(connection->fd);
  connection->fd = -1;
  connection->state = RESTING;
}

/** Begins to connect. False when that failed at once. */
static bool open_socket(struct connection *connection) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  connection->fd = fd;
  bool is_connected = connect(fd, (struct sockaddr *)&options.target, sizeof options.target) == 0;
  if (!is_connected && errno != EINPROGRESS) {
    drop_socket(connection);
    return false;
  }
  connection->state = is_connected ? ASKING : CONNECTING;
  tally.connections_opened += is_connected;
  watch_socket(connection, EPOLL_CTL_ADD, !is_connected);
  return true;
}

/** Sends what is left of the request. False when the connection is broken. */
static bool send_request(struct connection *connection) {
  struct iovec pieces[REQUEST_PARTS];
  size_t count = 0;
  size_t skip = connection->sent;
  for (size_t i = 0; i < REQUEST_PARTS; i++) {
    struct slice part = connection->parts[i];
    if (skip >= part.length) {
      skip -= part.length;
      continue;
    }
    pieces[count++] = (struct iovec){(char *)part.text + skip, part.length - skip};
    skip = 0;
  }
  struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count};
  ssize_t sent = sendmsg(connection->fd, &message, MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) return false;
  if (sent > 0) connection->sent += (size_t)sent;
  bool waits = connection->sent < request_length(connection);
  if (waits != connection->waits_for_socket) watch_socket(connection, EPOLL_CTL_MOD, waits);
  return true;
}

// ---- One request ----

static void go_on(struct connection *connection, enum outcome outcome);

static void count_outcome(struct connection *connection, enum outcome outcome) {
  if (outcome == SUCCEEDED) tally.all.requests++;
  if (!connection->is_counted) return;
  tally.outcomes[outcome]++;
  if (outcome == SUCCEEDED) record(&tally.total, now_nanos() - connection->intended);
  if (outcome == REFUSED_WITH_STATUS) tally.statuses[connection->status]++;
}

static void end_request(struct connection *connection, enum outcome outcome) {
  unset_timer(&connection->timer);
  run.in_flight--;
  count_outcome(connection, outcome);
  bool is_whole = outcome == SUCCEEDED || outcome == REFUSED_WITH_STATUS;
  bool is_reusable = is_whole && !connection->closes_after && connection->sent == request_length(connection);
  if (is_reusable) connection->state = IDLE;
  else drop_socket(connection);
  go_on(connection, outcome);
}

/** Starts a request that was meant to start at `intended`, over a new socket if the connection has none. */
static void start_request(struct connection *connection, int64_t intended) {
  int64_t now = now_nanos();
  choose_request(&options, connection->parts);
  connection->sent = 0;
  connection->intended = intended;
  connection->is_counted = is_in_window(intended);
  connection->status = 0;
  connection->is_in_body = false;
  connection->lines.length = 0;
  run.in_flight++;
  tally.meant += connection->is_counted;
  if (connection->is_counted) record(&tally.lateness, now - intended);
  set_timer(&connection->timer, intended + options.timeout_ms * NANOS_PER_MILLI);
  if (connection->fd < 0 && !open_socket(connection)) {
    end_request(connection, NOT_CONNECTED);
    return;
  }
  if (connection->state == CONNECTING) return;
  connection->state = ASKING;
  if (!send_request(connection)) end_request(connection, RESET);
}

// ---- Arrivals: the requests of an open loop, and the streams to be held ----

static struct {
  double next; // when the next request is meant to start; in the past while no connection is free
  uint64_t started;
  uint64_t random;
  struct timer timer;
} arrivals;

static struct connection **idle; // a stack, so that few connections are kept busy
static size_t idle_count;
static size_t made_count;

static struct connection *make_connection(void);

static double draw_gap(void) {
  if (options.mode == MODE_HOLD) return (double)(options.ramp_ms * NANOS_PER_MILLI) / (double)options.streams;
  double gap = NANOS_PER_SECOND / options.rate;
  return options.is_poisson ? -log(next_random(&arrivals.random)) * gap : gap;
}

static bool has_arrivals(void) {
  if (options.mode == MODE_CLOSED) return false;
  if (options.mode == MODE_HOLD && arrivals.started == (uint64_t)options.streams) return false;
  return arrivals.next < (double)run.window_end;
}

static struct connection *take_connection(void) {
  if (idle_count > 0) return idle[--idle_count];
  return made_count < (size_t)options.connections ? make_connection() : NULL;
}

/**
 * Starts what is due. When all connections are busy the rest waits without being stored: `arrivals.next` stays where it is,
 * so each of them will still start from its own intended time.
 */
static void start_arrivals(struct timer *timer) {
  for (double now = (double)now_nanos(); has_arrivals() && arrivals.next <= now; now = (double)now_nanos()) {
    int64_t intended = (int64_t)arrivals.next;
    if (now - arrivals.next > (double)(options.timeout_ms * NANOS_PER_MILLI)) {
      tally.meant += is_in_window(intended);
      tally.outcomes[TIMED_OUT] += is_in_window(intended);
    } else {
      struct connection *connection = take_connection();
      if (connection == NULL) return; // end_request() comes back here
      start_request(connection, intended);
    }
    arrivals.started++;
    arrivals.next += draw_gap();
  }
  if (has_arrivals()) set_timer(timer, (int64_t)arrivals.next);
}

// ---- What follows a request ----

/** Starts the next request of a closed loop. By the clock, not by the timer of the window's end, which may be late. */
static void ask_again(struct connection *connection) {
  int64_t now = now_nanos();
  if (now < run.window_end) start_request(connection, now);
}

static void go_on(struct connection *connection, enum outcome outcome) {
  if (options.mode == MODE_OPEN) {
    idle[idle_count++] = connection;
    // By the timer, not by a call: a target that refuses each connection must not become a recursion.
    if (has_arrivals() && arrivals.timer.place == 0) set_timer(&arrivals.timer, (int64_t)arrivals.next);
  }
  if (options.mode == MODE_HOLD) drop_socket(connection);
  if (options.mode != MODE_CLOSED) return;
  if (connection->state == IDLE) ask_again(connection);
  else set_timer(&connection->timer, now_nanos() + (outcome == NOT_CONNECTED ? REST_NANOS : 0));
}

static void on_connection_timer(struct timer *timer) {
  struct connection *connection = OWNER_OF(timer, struct connection, timer);
  if (connection->state == CONNECTING || connection->state == ASKING) end_request(connection, TIMED_OUT);
  else ask_again(connection);
}

static struct connection *make_connection(void) {
  struct connection *connection = calloc(1, sizeof *connection);
  if (connection == NULL) abort();
  connection->fd = -1;
  connection->timer.fire = on_connection_timer;
  made_count++;
  return connection;
}

// ---- Reading an answer ----

static bool is_success(const struct connection *connection) {
  return connection->status >= 200 && connection->status < 300;
}

static void note_event(struct connection *connection, struct event_line event, int64_t now) {
  connection->is_done |= event.is_done;
  if (!event.is_content) return;
  tally.all.events++;
  if (!connection->is_counted || !is_success(connection)) return;
  if (!connection->has_first_event) record(&tally.first_event, now - connection->intended);
  connection->has_first_event = true;
  if (now < run.window_start) return; // of a held stream, during the warm-up
  tally.events++;
  if (event.stamp > 0) record(&tally.event_delay, now - event.stamp);
}

static void note_piece(struct connection *connection, struct slice piece, int64_t now) {
  tally.all.bytes += piece.length;
  if (connection->is_counted && now >= run.window_start) tally.bytes += piece.length;
  if (!connection->has_first_byte) {
    connection->has_first_byte = true;
    if (connection->is_counted && is_success(connection)) record(&tally.first_byte, now - connection->intended);
    if (options.mode == MODE_HOLD) unset_timer(&connection->timer); // what is held may last
  }
  if (!connection->is_stream) return;
  const char *at = piece.text;
  const char *end = at + piece.length;
  struct slice line;
  while (read_line(&connection->event_lines, &at, end, &line)) {
    if (line.length > 0) note_event(connection, read_event_line(line), now);
  }
}

/** Takes the first line of a head. False when it is none of HTTP/1.1. */
static bool read_status_line(struct connection *connection, struct slice line) {
  uint64_t status = 0;
  if (!starts_with(line, "HTTP/1.") || line.length < 12) return false;
  if (!read_number((struct slice){line.text + 9, 3}, 10, &status) || status < 100 || status > 999) return false;
  connection->status = (int)status;
  connection->body = (struct body_reader){.framing = FRAMED_BY_CLOSE};
  connection->closes_after = starts_with(line, "HTTP/1.0");
  connection->is_stream = false;
  connection->is_done = false;
  connection->has_first_byte = false;
  connection->has_first_event = false;
  connection->event_lines.length = 0;
  return true;
}

/** Takes another line of a head. False when it cannot be read. */
static bool read_header(struct connection *connection, struct slice line) {
  struct slice value;
  switch (line.text[0] | 0x20) { // most headers of an answer are none of ours
  case 'c':
    if (read_field(line, "connection", &value)) connection->closes_after |= starts_with(value, "close");
    if (read_field(line, "content-type", &value)) connection->is_stream = starts_with(value, "text/event-stream");
    return read_framing(&connection->body, line);
  case 't':
    return read_framing(&connection->body, line);
  }
  return true;
}

static void end_head(struct connection *connection) {
  if (connection->status < 200) { // 100 Continue and its like: the answer is still to come
    connection->status = 0;
    return;
  }
  connection->is_in_body = true;
  if (connection->status == 204 || connection->status == 304) connection->body = (struct body_reader){0};
}

static void end_answer(struct connection *connection) {
  bool is_cut = connection->is_stream && !connection->is_done;
  if (!is_success(connection)) end_request(connection, REFUSED_WITH_STATUS);
  else end_request(connection, is_cut ? INCOMPLETE : SUCCEEDED);
}

/** Takes a line of the head. False when it cannot be read. */
static bool take_head_line(struct connection *connection, struct slice line) {
  if (connection->status == 0) return read_status_line(connection, line);
  if (line.length > 0) return read_header(connection, line);
  end_head(connection);
  return true;
}

static void take_answer(struct connection *connection, const char *at, const char *end) {
  int64_t now = now_nanos();
  struct slice line, piece;
  while (!connection->is_in_body) {
    if (!read_line(&connection->lines, &at, end, &line)) return;
    if (!take_head_line(connection, line)) {
      end_request(connection, INCOMPLETE);
      return;
    }
  }
  for (;;) {
    switch (read_body(&connection->body, &connection->lines, &at, end, &piece)) {
    case BODY_PIECE:
      note_piece(connection, piece, now);
      break;
    case BODY_NEEDS_MORE:
      return;
    case BODY_ENDED:
      connection->closes_after |= at < end; // something after the answer that nobody asked for
      end_answer(connection);
      return;
    case BODY_BROKEN:
      end_request(connection, INCOMPLETE);
      return;
    }
  }
}

/** The other side closed the connection, in order or not. */
static void take_close(struct connection *connection, bool in_order) {
  if (connection->state == IDLE) {
    drop_socket(connection);
    return;
  }
  connection->closes_after = true;
  bool has_begun = connection->status > 0 || connection->lines.length > 0;
  if (in_order && connection->is_in_body && connection->body.framing == FRAMED_BY_CLOSE) end_answer(connection);
  else end_request(connection, has_begun ? INCOMPLETE : RESET);
}

// ---- What wakes a connection ----

static void take_connected(struct connection *connection) {
  int error = 0;
  socklen_t length = sizeof error;
  getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &length);
  if (error != 0) {
    end_request(connection, NOT_CONNECTED);
    return;
  }
  tally.connections_opened++;
  connection->state = ASKING;
  if (!send_request(connection)) end_request(connection, RESET);
}

static void on_socket(struct connection *connection, uint32_t events) {
  static char input[INPUT_SIZE];
  if (connection->state == CONNECTING) {
    take_connected(connection);
    return;
  }
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
    ssize_t length = recv(connection->fd, input, sizeof input, 0);
    if (length == 0 || (length < 0 && errno != EAGAIN)) {
      take_close(connection, length == 0);
      return;
    }
    if (connection->state == IDLE) drop_socket(connection); // nobody asked for this
    else if (length > 0) take_answer(connection, input, input + length);
  } else if (connection->waits_for_socket && !send_request(connection)) {
    end_request(connection, RESET);
  }
}

// ---- Start and end ----

/** Connects once and at once, to end early when nobody is there; the connection serves the first request. */
static struct connection *connect_first(void) {
  struct connection *connection = make_connection();
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct timeval patience = {.tv_sec = 5};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (connect(fd, (struct sockaddr *)&options.target, sizeof options.target) != 0)
    give_up("Cannot connect to %s: %s", options.target_name, strerror(errno));
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ioctl(fd, FIONBIO, &on);
  connection->fd = fd;
  connection->state = IDLE;
  tally.connections_opened = 1;
  watch_socket(connection, EPOLL_CTL_ADD, false);
  return connection;
}

static void allow_files(size_t count) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < count + 32)
    give_up("Cannot open %zu connections: the limit of open files is %llu", count, (unsigned long long)limit.rlim_cur);
}

static void start_load(void) {
  struct connection *first = connect_first();
  int64_t start = now_nanos();
  plan_run(start);
  arrivals.random = (uint64_t)options.seed;
  arrivals.timer.fire = start_arrivals;
  if (options.mode == MODE_CLOSED) {
    start_request(first, start);
    while (made_count < (size_t)options.connections) ask_again(make_connection());
  } else {
    idle[idle_count++] = first;
    arrivals.next = (double)start + (options.mode == MODE_OPEN ? draw_gap() : 0);
    set_timer(&arrivals.timer, (int64_t)arrivals.next);
  }
}

static bool is_over(void) {
  if (!run.is_draining) return false;
  return now_nanos() >= run.drain_end || (run.in_flight == 0 && !has_arrivals());
}

static void run_load(void) {
  while (!is_over()) {
    struct epoll_event events[TURN_SIZE];
    int ready = epoll_wait(epoll, events, TURN_SIZE, arm_timers());
    for (int i = 0; i < ready; i++) {
      if (events[i].data.ptr != &timers) on_socket(events[i].data.ptr, events[i].events);
    }
    run_timers();
  }
}

/** Requests of the window that neither ended nor failed: under way, or never started for want of a free connection. */
static uint64_t count_unfinished(void) {
  uint64_t unfinished = tally.meant;
  for (size_t i = 0; i < OUTCOMES; i++) unfinished -= tally.outcomes[i];
  for (; has_arrivals(); arrivals.started++, arrivals.next += draw_gap()) {
    unfinished += is_in_window((int64_t)arrivals.next);
  }
  return unfinished;
}

int main(int count, char **words) {
  options = read_options(count, words);
  allow_files((size_t)options.connections);
  for (size_t i = 0; i < options.watched_count; i++) {
    pid_t pid = options.watched[i];
    if (watched_cpu_nanos(pid) < 0) give_up("Cannot watch process %d: there is none", (int)pid);
  }
  build_requests(&options);
  idle = calloc((size_t)options.connections, sizeof *idle);
  epoll = epoll_create1(EPOLL_CLOEXEC);
  if (idle == NULL || epoll < 0) abort();
  open_timers(epoll, &timers);
  start_load();
  run_load();
  measured.unfinished = count_unfinished();
  print_report(&options, &measured);
  return 0;
}
