// Every wire format that the provider speaks, by path, and the answers in one piece that it keeps.
#ifndef WEIR_BENCH_WIRES_H
#define WEIR_BENCH_WIRES_H

#include "answers.h"
#include "chat-answers.h"
#include "embeddings-answers.h"
#include "messages-answers.h"
#include "responses-answers.h"

static bool ends_with(struct slice text, const char *end) {
  size_t length = strlen(end);
  return text.length >= length && memcmp(text.text + text.length - length, end, length) == 0;
}

/** The format of a request, from its first line: "POST /v1/messages?beta=true HTTP/1.1". */
static const struct wire *find_wire(struct slice request_line) {
  static const struct wire *const BY_PATH[] = {&MESSAGES, &RESPONSES, &EMBEDDINGS};
  const char *start = memchr(request_line.text, '/', request_line.length);
  if (start == NULL) return &CHAT;
  const char *line_end = request_line.text + request_line.length;
  const char *end = start;
  while (end < line_end && *end != ' ' && *end != '?') end++;
  for (size_t i = 0; i < sizeof BY_PATH / sizeof *BY_PATH; i++) {
    if (ends_with((struct slice){start, (size_t)(end - start)}, BY_PATH[i]->path_end)) return BY_PATH[i];
  }
  return &CHAT;
}

#define KEPT_ANSWERS 8

/** Holds an answer in one piece of this size. A few are kept, since a run asks for one or two again and again. */
static struct buffer *hold_answer(const struct wire *wire, size_t bytes) {
  static struct {
    const struct wire *wire;
    size_t bytes;
    struct buffer *buffer;
  } kept[KEPT_ANSWERS];
  static size_t next;

  size_t i = 0;
  while (i < KEPT_ANSWERS && (kept[i].buffer == NULL || kept[i].bytes != bytes || kept[i].wire != wire)) i++;
  if (i == KEPT_ANSWERS) {
    i = next++ % KEPT_ANSWERS;
    release_buffer(kept[i].buffer);
    kept[i].wire = wire;
    kept[i].bytes = bytes;
    kept[i].buffer = wire->create_unary(bytes);
  }
  kept[i].buffer->holders++;
  return kept[i].buffer;
}

#endif
