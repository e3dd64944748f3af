// What the generator reads of a streamed answer: server-sent events, of which it wants the content, the stamps in it and
// the end. It looks for these in each line and parses no JSON.
#ifndef WEIR_BENCH_EVENTS_H
#define WEIR_BENCH_EVENTS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "http.h"

/** What one line of an event stream is. */
struct event_line {
  bool is_content; // the data of an event that has content
  bool is_done;    // the mark of a whole answer: [DONE], message_stop, response.completed
  int64_t stamp;   // when the provider sent it, in nanoseconds; 0 when it does not say
};

/** The time in `"t=…`, or 0 when there is none. */
static int64_t find_stamp(struct slice data) {
  const char *mark = memmem(data.text, data.length, "\"t=", 3);
  if (mark == NULL) return 0;
  uint64_t stamp = 0;
  const char *end = data.text + data.length;
  for (const char *at = mark + 3; at < end && *at >= '0' && *at <= '9'; at++) stamp = stamp * 10 + (uint64_t)(*at - '0');
  return (int64_t)stamp;
}

/** Whether a chunk of a chat has text, whatever blanks there are in its JSON. */
static bool has_content(struct slice data) {
  static const char NAME[] = "\"content\"";
  const char *at = memmem(data.text, data.length, NAME, sizeof NAME - 1);
  if (at == NULL) return false;
  const char *end = data.text + data.length;
  at += sizeof NAME - 1;
  while (at < end && (*at == ' ' || *at == ':')) at++;
  return end - at >= 2 && at[0] == '"' && at[1] != '"';
}

/** The type that an event of messages or responses begins with, whatever blanks there are. False for one of a chat. */
static bool read_type(struct slice data, struct slice *type) {
  static const char START[] = "{\"type\":";
  if (data.length < sizeof START || memcmp(data.text, START, sizeof START - 1) != 0) return false;
  const char *end = data.text + data.length;
  const char *at = data.text + sizeof START - 1;
  while (at < end && *at == ' ') at++;
  if (at == end || *at++ != '"') return false;
  const char *quote = memchr(at, '"', (size_t)(end - at));
  if (quote == NULL) return false;
  *type = (struct slice){at, (size_t)(quote - at)};
  return true;
}

static bool is_word(struct slice text, const char *word) {
  return text.length == strlen(word) && memcmp(text.text, word, text.length) == 0;
}

/** Only what a text grows by is content: the events that end one may say all of it again. */
static struct event_line read_typed_event(struct slice type, struct slice data) {
  bool is_content = is_word(type, "content_block_delta") || is_word(type, "response.output_text.delta");
  return (struct event_line){
      .is_content = is_content,
      .is_done = is_word(type, "message_stop") || is_word(type, "response.completed"),
      .stamp = is_content ? find_stamp(data) : 0,
  };
}

static struct event_line read_event_line(struct slice line) {
  struct event_line event = {0};
  struct slice data, type;
  if (!read_field(line, "data", &data)) return event;
  if (read_type(data, &type)) return read_typed_event(type, data);
  event.is_done = data.length == 6 && memcmp(data.text, "[DONE]", 6) == 0;
  event.stamp = find_stamp(data);
  event.is_content = event.stamp > 0 || has_content(data);
  return event;
}

#endif
