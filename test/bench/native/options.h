// The command line of the load generator.
#ifndef WEIR_BENCH_OPTIONS_H
#define WEIR_BENCH_OPTIONS_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http.h"

enum mode { MODE_CLOSED, MODE_OPEN, MODE_HOLD };

#define MOST_BODIES 64
#define MOST_HEADERS 64
#define MOST_WATCHED 16
#define MOST_CONNECTIONS 28000 // about as many as there are ports to connect from

struct options {
  struct sockaddr_in target;
  const char *target_name;
  const char *path;
  const char *method; // NULL: POST with a body, GET without
  enum mode mode;
  bool is_poisson;
  double rate; // requests a second
  int64_t connections;
  int64_t streams;
  int64_t warmup_ms;
  int64_t duration_ms;
  int64_t ramp_ms;
  int64_t timeout_ms;
  int64_t drain_ms;
  int64_t seed;
  struct slice bodies[MOST_BODIES];
  size_t body_count;
  const char *headers[MOST_HEADERS];
  size_t header_count;
  const char *rotated_header; // NULL: none
  struct slice *rotated_values;
  size_t rotated_count;
  pid_t watched[MOST_WATCHED];
  size_t watched_count;
};

#define USAGE                                                                                                          \
  "usage: load --target 127.0.0.1:PORT --path /v1/chat/completions [--body FILE]… [--header 'name: value']…\n"         \
  "       [--rotate-header NAME FILE] [--method NAME] [--timeout-ms 30000] [--drain-ms 5000] [--watch-pid PID]…\n"     \
  "       --mode closed [--connections 64]                       [--warmup-ms 0] --duration-ms N\n"                    \
  "       --mode open --rate N [--poisson | --fixed] [--seed 1] [--connections 4096] [--warmup-ms 0] --duration-ms N\n" \
  "       --mode hold --streams N [--ramp-ms 0]                   [--warmup-ms 0] --duration-ms N\n"

/** Ends the program with a message. */
static _Noreturn void give_up(const char *format, ...) {
  va_list values;
  va_start(values, format);
  vfprintf(stderr, format, values);
  va_end(values);
  fputc('\n', stderr);
  exit(1);
}

static struct slice read_file(const char *path) {
  FILE *file = fopen(path, "rb");
  char *text = NULL;
  size_t length = 0;
  for (size_t capacity = 0, got = 1; file != NULL && got > 0; length += got) {
    if (length == capacity) text = realloc(text, capacity = capacity == 0 ? 1 << 16 : capacity * 2);
    if (text == NULL) abort();
    got = fread(text + length, 1, capacity - length, file);
  }
  if (file == NULL || ferror(file)) give_up("Cannot read \"%s\": %s", path, strerror(errno));
  fclose(file);
  return (struct slice){text, length};
}

/** Takes the lines of a file as the values of a header that changes with every request. */
static void read_rotated_values(struct options *options, const char *path) {
  struct slice text = read_file(path);
  const char *at = text.text;
  const char *end = text.text + text.length;
  size_t capacity = 0;
  while (at < end) {
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    const char *stop = newline == NULL ? end : newline;
    size_t length = (size_t)(stop - at);
    if (length > 0 && at[length - 1] == '\r') length--;
    if (options->rotated_count == capacity) {
      capacity = capacity == 0 ? 1024 : capacity * 2;
      options->rotated_values = realloc(options->rotated_values, capacity * sizeof *options->rotated_values);
      if (options->rotated_values == NULL) abort();
    }
    if (length > 0) options->rotated_values[options->rotated_count++] = (struct slice){at, length};
    at = stop + 1;
  }
  if (options->rotated_count == 0) give_up("Cannot rotate a header: \"%s\" has no line", path);
}

static void read_target(struct options *options, const char *text) {
  char host[64] = "";
  unsigned port = 0;
  options->target_name = text;
  options->target.sin_family = AF_INET;
  if (sscanf(text, "%63[^:]:%u", host, &port) == 2 && port > 0 && port <= 65535 &&
      inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &options->target.sin_addr) == 1) {
    options->target.sin_port = htons((uint16_t)port);
    return;
  }
  give_up("Cannot use --target \"%s\": it is an IPv4 address and a port, as 127.0.0.1:8080", text);
}

static enum mode read_mode(const char *text) {
  if (strcmp(text, "closed") == 0) return MODE_CLOSED;
  if (strcmp(text, "open") == 0) return MODE_OPEN;
  if (strcmp(text, "hold") == 0) return MODE_HOLD;
  give_up("Cannot use --mode \"%s\": it is closed, open or hold", text);
}

static double read_number_option(const char *name, const char *text, double least, double most) {
  char *end;
  double value = strtod(text, &end);
  if (end == text || *end != '\0' || !(value >= least && value <= most))
    give_up("Cannot use %s \"%s\": it is a number from %.0f to %.0f", name, text, least, most);
  return value;
}

/** An option that is a whole number. */
struct number_option {
  const char *name;
  int64_t *value;
  double least;
  double most;
};

static bool take_number(const struct number_option *numbers, const char *name, const char *text) {
  for (; numbers->name != NULL; numbers++) {
    if (strcmp(numbers->name, name) != 0) continue;
    *numbers->value = (int64_t)read_number_option(name, text, numbers->least, numbers->most);
    return true;
  }
  return false;
}

static void add_body(struct options *options, const char *path) {
  if (options->body_count == MOST_BODIES) give_up("Cannot take more than %d --body", MOST_BODIES);
  options->bodies[options->body_count++] = read_file(path);
}

static void add_header(struct options *options, const char *line) {
  if (options->header_count == MOST_HEADERS) give_up("Cannot take more than %d --header", MOST_HEADERS);
  if (strchr(line, ':') == NULL || strpbrk(line, "\r\n") != NULL)
    give_up("Cannot use --header \"%s\": it is 'name: value'", line);
  options->headers[options->header_count++] = line;
}

static void add_watched(struct options *options, const char *text) {
  if (options->watched_count == MOST_WATCHED) give_up("Cannot take more than %d --watch-pid", MOST_WATCHED);
  options->watched[options->watched_count++] = (pid_t)read_number_option("--watch-pid", text, 1, 1 << 22);
}

/** What the words alone cannot say: which belong together. */
static void check_options(struct options *options, bool has_mode) {
  if (options->target_name == NULL || options->path == NULL || !has_mode || options->duration_ms == 0)
    give_up("Cannot start without --target, --path, --mode and --duration-ms\n%s", USAGE);
  if (options->path[0] != '/' || strpbrk(options->path, " \r\n") != NULL)
    give_up("Cannot use --path \"%s\": it begins with / and has no blank", options->path);
  if (options->mode == MODE_OPEN && options->rate == 0) give_up("Cannot start --mode open without --rate");
  if (options->mode == MODE_HOLD && options->streams == 0) give_up("Cannot start --mode hold without --streams");
  if (options->ramp_ms > options->warmup_ms + options->duration_ms)
    give_up("Cannot ramp for %lld ms: the run is shorter", (long long)options->ramp_ms);
  if (options->mode == MODE_HOLD) options->connections = options->streams;
  if (options->connections == 0) options->connections = options->mode == MODE_CLOSED ? 64 : 4096;
  if (options->method == NULL) options->method = options->body_count > 0 ? "POST" : "GET";
}

static struct options read_options(int count, char **words) {
  struct options options = {.timeout_ms = 30000, .drain_ms = 5000, .seed = 1, .is_poisson = true};
  bool has_mode = false;
  const struct number_option numbers[] = {
      {"--connections", &options.connections, 1, MOST_CONNECTIONS},
      {"--streams", &options.streams, 1, MOST_CONNECTIONS},
      {"--warmup-ms", &options.warmup_ms, 0, 600000},
      {"--duration-ms", &options.duration_ms, 1, 3600000},
      {"--ramp-ms", &options.ramp_ms, 0, 600000},
      {"--timeout-ms", &options.timeout_ms, 1, 3600000},
      {"--drain-ms", &options.drain_ms, 0, 600000},
      {"--seed", &options.seed, 0, 1e15},
      {NULL, NULL, 0, 0},
  };
  for (int i = 1; i < count; i++) {
    const char *name = words[i];
    if (strcmp(name, "--poisson") == 0 || strcmp(name, "--fixed") == 0) {
      options.is_poisson = name[2] == 'p';
      continue;
    }
    if (i + 1 == count) give_up("Cannot use \"%s\": it is unknown or its value is missing\n%s", name, USAGE);
    const char *value = words[++i];
    if (take_number(numbers, name, value)) continue;
    if (strcmp(name, "--target") == 0) read_target(&options, value);
    else if (strcmp(name, "--path") == 0) options.path = value;
    else if (strcmp(name, "--method") == 0) options.method = value;
    else if (strcmp(name, "--body") == 0) add_body(&options, value);
    else if (strcmp(name, "--header") == 0) add_header(&options, value);
    else if (strcmp(name, "--rate") == 0) options.rate = read_number_option(name, value, 0.001, 1e6);
    else if (strcmp(name, "--watch-pid") == 0) add_watched(&options, value);
    else if (strcmp(name, "--mode") == 0) options.mode = read_mode(value), has_mode = true;
    else if (strcmp(name, "--rotate-header") == 0 && i + 1 < count) {
      options.rotated_header = value;
      read_rotated_values(&options, words[++i]);
    } else give_up("Cannot use \"%s\": it is unknown or its value is missing\n%s", name, USAGE);
  }
  check_options(&options, has_mode);
  return options;
}

#endif
