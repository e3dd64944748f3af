// The requests of the generator as bytes, built once; a request is sent from these without a copy.
#ifndef WEIR_BENCH_REQUESTS_H
#define WEIR_BENCH_REQUESTS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http.h"
#include "options.h"

/** A request around the value of the rotated header. */
static struct {
  struct slice before;
  struct slice after;
} requests[MOST_BODIES];

static struct slice join(struct slice first, struct slice second) {
  char *text = malloc(first.length + second.length + 1);
  if (text == NULL) abort();
  memcpy(text, first.text, first.length);
  if (second.length > 0) memcpy(text + first.length, second.text, second.length);
  return (struct slice){text, first.length + second.length};
}

static struct slice join_text(struct slice first, const char *second) {
  return join(first, (struct slice){second, strlen(second)});
}

/** Builds one request per body; runs once, so what it joins on the way is not freed. */
static void build_requests(struct options *options) {
  if (options->body_count == 0) options->bodies[options->body_count++] = (struct slice){"", 0};
  for (size_t i = 0; i < options->body_count; i++) {
    char length[64];
    snprintf(length, sizeof length, "\r\ncontent-length: %zu", options->bodies[i].length);
    struct slice head = {options->method, strlen(options->method)};
    head = join_text(join_text(join_text(head, " "), options->path), " HTTP/1.1\r\nhost: ");
    head = join_text(head, options->target_name);
    if (options->bodies[i].length > 0) head = join_text(head, length);
    for (size_t h = 0; h < options->header_count; h++) head = join_text(join_text(head, "\r\n"), options->headers[h]);
    struct slice end = join((struct slice){"\r\n\r\n", 4}, options->bodies[i]);
    if (options->rotated_header == NULL) {
      requests[i].before = join(head, end);
    } else {
      requests[i].before = join_text(join_text(join_text(head, "\r\n"), options->rotated_header), ": ");
      requests[i].after = end;
    }
  }
}

#define REQUEST_PARTS 3

/** Chooses the next of the bodies and the next of the rotated values; a part may be empty. */
static void choose_request(const struct options *options, struct slice parts[REQUEST_PARTS]) {
  static uint64_t number;
  size_t body = number % options->body_count;
  parts[0] = requests[body].before;
  if (options->rotated_header != NULL) {
    parts[1] = options->rotated_values[number % options->rotated_count];
    parts[2] = requests[body].after;
  }
  number++;
}

#endif
