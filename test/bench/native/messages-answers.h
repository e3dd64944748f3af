// Messages, as Anthropic's servers answer them: https://platform.claude.com/docs/en/build-with-claude/streaming
#ifndef WEIR_BENCH_MESSAGES_ANSWERS_H
#define WEIR_BENCH_MESSAGES_ANSWERS_H

#include "answers.h"

#define MESSAGE_START "{\"model\":\"bench\",\"id\":\"msg_bench\",\"type\":\"message\",\"role\":\"assistant\",\"content\":["
#define NO_CACHE "\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,"

static struct buffer *create_message(size_t bytes) {
  char end[256];
  snprintf(end, sizeof end,
           "\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":%d," NO_CACHE
           "\"output_tokens\":%zu}}",
           PROMPT_TOKENS, count_tokens(bytes));
  return create_text_answer(MESSAGE_START "{\"type\":\"text\",\"text\":\"", end, bytes);
}

static struct slice start_message(void) {
  static char start[3 * LONGEST_EVENT];
  static struct slice framed;
  if (framed.length > 0) return framed;
  char message[LONGEST_EVENT - 16];
  snprintf(message, sizeof message,
           "event: message_start\ndata: {\"type\":\"message_start\",\"message\":" MESSAGE_START
           "],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":%d," NO_CACHE
           "\"output_tokens\":1}}}\n\n",
           PROMPT_TOKENS);
  const char *const EVENTS[] = {
      message,
      "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
      "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
      NULL,
  };
  return framed = frame_start(start, EVENTS);
}

/** 140 bytes. */
static struct slice make_block_delta(int64_t sent_nanos, uint64_t number) {
  (void)number;
  static char event[LONGEST_EVENT];
  static size_t length;
  static char *stamp;
  if (length == 0) {
    length = frame_event(event, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
                                "\"delta\":{\"type\":\"text_delta\",\"text\":\"" STAMPED_TEXT "\"}}\n\n");
    stamp = strstr(event, STAMP_PLACE);
  }
  write_stamp(stamp, sent_nanos);
  return (struct slice){event, length};
}

/** The usage is said whether or not somebody asks for it. */
static struct slice end_message(bool with_usage, uint64_t events) {
  (void)with_usage;
  static char end[4 * LONGEST_EVENT];
  char usage[LONGEST_EVENT - 16];
  snprintf(usage, sizeof usage,
           "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\","
           "\"stop_sequence\":null},\"usage\":{\"input_tokens\":%d," NO_CACHE "\"output_tokens\":%llu}}\n\n",
           PROMPT_TOKENS, (unsigned long long)events);
  size_t length = frame_event(end, "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n");
  length += frame_event(end + length, usage);
  length += frame_event(end + length, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
  memcpy(end + length, LAST_CHUNK, sizeof LAST_CHUNK - 1);
  return (struct slice){end, length + sizeof LAST_CHUNK - 1};
}

static const struct wire MESSAGES = {"/messages", create_message, start_message, make_block_delta, end_message};

#endif
