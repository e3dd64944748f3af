// What answers of every wire format are made of. The formats are in files of their own, one `struct wire` each; wires.h knows
// them all.
#ifndef WEIR_BENCH_ANSWERS_H
#define WEIR_BENCH_ANSWERS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http.h"

/** Bytes on their way to one connection or, unary answers, to many. Freed with the last of its holders. */
struct buffer {
  size_t holders;
  size_t length;
  char bytes[];
};

static struct buffer *create_buffer(const char *bytes, size_t length) {
  struct buffer *buffer = malloc(sizeof *buffer + length);
  if (buffer == NULL) abort();
  buffer->holders = 1;
  buffer->length = length;
  if (bytes != NULL) memcpy(buffer->bytes, bytes, length);
  return buffer;
}

static void release_buffer(struct buffer *buffer) {
  if (buffer != NULL && --buffer->holders == 0) free(buffer);
}

/** A short JSON answer of any status. */
static struct buffer *create_reply(const char *status, const char *json) {
  char text[1024];
  int length = snprintf(text, sizeof text,
                        "HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n%s", status,
                        strlen(json), json);
  return create_buffer(text, (size_t)length);
}

/** How a provider of some wire format answers: all that it says, as byte strings ready to be sent. */
struct wire {
  /** What the paths of its requests end with; NULL for what all other paths are. */
  const char *path_end;
  /** An answer in one piece, with a body of this many bytes, or of as few as it takes. */
  struct buffer *(*create_unary)(size_t bytes);
  /** Head and first events of a streamed answer. NULL, as are the next two, when this format has no streams. */
  struct slice (*stream_start)(void);
  /** Content event number `number`, from 0, which says when it was sent. Valid until the next call. */
  struct slice (*stream_event)(int64_t sent_nanos, uint64_t number);
  /** What follows so many content events, up to the end of the answer. Valid until the next call. */
  struct slice (*stream_end)(bool with_usage, uint64_t events);
};

#define PROMPT_TOKENS 100
#define FILLER "the river carries what it is given "

static void fill(char *at, size_t length) {
  for (size_t i = 0; i < length; i++) at[i] = FILLER[i % (sizeof FILLER - 1)];
}

/** An answer with JSON of these parts around room for more, which is at `*content`. */
static struct buffer *create_answer(const char *start, size_t room, const char *end, char **content) {
  size_t start_length = strlen(start);
  size_t end_length = strlen(end);
  size_t length = start_length + room + end_length;
  char head[128];
  size_t head_length = (size_t)snprintf(
      head, sizeof head, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n", length);
  struct buffer *buffer = create_buffer(NULL, head_length + length);
  char *at = buffer->bytes;
  memcpy(at, head, head_length);
  memcpy(at += head_length, start, start_length);
  *content = at += start_length;
  memcpy(at + room, end, end_length);
  return buffer;
}

/** The same with text in that room, so that the body has this many bytes. */
static struct buffer *create_text_answer(const char *start, const char *end, size_t bytes) {
  size_t fixed = strlen(start) + strlen(end);
  size_t length = bytes > fixed ? bytes - fixed : 1;
  char *content;
  struct buffer *buffer = create_answer(start, length, end, &content);
  fill(content, length);
  return buffer;
}

/** So many tokens has an answer in one piece. */
static size_t count_tokens(size_t bytes) { return bytes / 5 + 1; }

#define STREAM_HEAD                                                                                                    \
  "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
#define LAST_CHUNK "0\r\n\r\n"

/** An event as one HTTP chunk. Its text must be shorter than `LONGEST_EVENT`. Returns the length with framing. */
#define LONGEST_EVENT 512
static size_t frame_event(char *to, const char *text) {
  return (size_t)snprintf(to, LONGEST_EVENT, "%zx\r\n%s\r\n", strlen(text), text);
}

/** What is sent first: the head, and each of these events as a chunk. NULL is behind the last one. */
static struct slice frame_start(char *to, const char *const *events) {
  size_t length = sizeof STREAM_HEAD - 1;
  memcpy(to, STREAM_HEAD, length);
  for (; *events != NULL; events++) length += frame_event(to + length, *events);
  return (struct slice){to, length};
}

#define STAMP_DIGITS 16
#define STAMP_PLACE "0000000000000000"

/** The text of a content event; the time is put into its place. */
#define STAMPED_TEXT "t=" STAMP_PLACE " river "

static void write_stamp(char *place, int64_t sent_nanos) {
  for (int digit = STAMP_DIGITS - 1; digit >= 0; digit--, sent_nanos /= 10) place[digit] = (char)('0' + sent_nanos % 10);
}

#endif
