// What the provider says: answers as whole byte strings, ready to be sent.
#ifndef WEIR_BENCH_ANSWERS_H
#define WEIR_BENCH_ANSWERS_H

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

#define PROMPT_TOKENS 100
#define FILLER "the river carries what it is given "

/** A chat.completion with a body of this many bytes, or of as few as it takes. */
static struct buffer *create_completion(size_t bytes) {
  static const char START[] = "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1700000000,"
                              "\"model\":\"bench\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                              "\"content\":\"";
  char end[256];
  size_t tokens = bytes / 5 + 1;
  size_t end_length = (size_t)snprintf(end, sizeof end,
                                       "\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":"
                                       "{\"prompt_tokens\":%d,\"completion_tokens\":%zu,\"total_tokens\":%zu}}",
                                       PROMPT_TOKENS, tokens, PROMPT_TOKENS + tokens);
  size_t start_length = sizeof START - 1;
  size_t fixed = start_length + end_length;
  size_t content = bytes > fixed ? bytes - fixed : 1;
  char head[128];
  size_t head_length = (size_t)snprintf(head, sizeof head,
                                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n",
                                        fixed + content);

  struct buffer *buffer = create_buffer(NULL, head_length + fixed + content);
  char *at = buffer->bytes;
  memcpy(at, head, head_length);
  memcpy(at += head_length, START, start_length);
  at += start_length;
  for (size_t i = 0; i < content; i++) at[i] = FILLER[i % (sizeof FILLER - 1)];
  memcpy(at + content, end, end_length);
  return buffer;
}

#define KEPT_COMPLETIONS 8

/** Holds a completion of this size. A few sizes are kept, since a run asks for one or two again and again. */
static struct buffer *hold_completion(size_t bytes) {
  static struct {
    size_t bytes;
    struct buffer *buffer;
  } kept[KEPT_COMPLETIONS];
  static size_t next;

  size_t i = 0;
  while (i < KEPT_COMPLETIONS && (kept[i].buffer == NULL || kept[i].bytes != bytes)) i++;
  if (i == KEPT_COMPLETIONS) {
    i = next++ % KEPT_COMPLETIONS;
    release_buffer(kept[i].buffer);
    kept[i].bytes = bytes;
    kept[i].buffer = create_completion(bytes);
  }
  kept[i].buffer->holders++;
  return kept[i].buffer;
}

#define CHUNK_START                                                                                                    \
  "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"bench\","

/** An event as one HTTP chunk. Its text must be shorter than `LONGEST_EVENT`. Returns the length with framing. */
#define LONGEST_EVENT 512
static size_t frame_event(char *to, const char *text) {
  return (size_t)snprintf(to, LONGEST_EVENT, "%zx\r\n%s\r\n", strlen(text), text);
}

/** The head of a streamed answer and its first event, which names the role. */
static struct slice stream_start(void) {
  static char start[1024];
  static size_t length;
  if (length == 0) {
    length = (size_t)snprintf(start, sizeof start,
                              "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n"
                              "transfer-encoding: chunked\r\n\r\n");
    length += frame_event(start + length, CHUNK_START "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\","
                                                      "\"content\":\"\"},\"finish_reason\":null}]}\n\n");
  }
  return (struct slice){start, length};
}

#define STAMP_DIGITS 16
#define STAMP_PLACE "0000000000000000"

/** A content event of about 200 bytes that says when it was sent. Valid until the next call. */
static struct slice stream_event(int64_t sent_nanos) {
  static char event[LONGEST_EVENT];
  static size_t length;
  static char *stamp;
  if (length == 0) {
    length = frame_event(event, CHUNK_START "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"t=" STAMP_PLACE
                                            " river \"},\"finish_reason\":null}]}\n\n");
    stamp = strstr(event, STAMP_PLACE);
  }
  for (int digit = STAMP_DIGITS - 1; digit >= 0; digit--, sent_nanos /= 10) stamp[digit] = (char)('0' + sent_nanos % 10);
  return (struct slice){event, length};
}

/** What follows the last content event, up to the end of the answer. Valid until the next call. */
static struct slice stream_end(bool with_usage, uint64_t events) {
  static char end[3 * LONGEST_EVENT];
  size_t length = frame_event(end, CHUNK_START "\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n");
  if (with_usage) {
    char usage[LONGEST_EVENT - 16];
    snprintf(usage, sizeof usage,
             CHUNK_START "\"choices\":[],\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%llu,"
                         "\"total_tokens\":%llu}}\n\n",
             PROMPT_TOKENS, (unsigned long long)events, (unsigned long long)(PROMPT_TOKENS + events));
    length += frame_event(end + length, usage);
  }
  length += frame_event(end + length, "data: [DONE]\n\n");
  memcpy(end + length, "0\r\n\r\n", 5);
  return (struct slice){end, length + 5};
}

#endif
