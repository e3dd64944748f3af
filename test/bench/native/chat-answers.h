// Chat completions, as OpenAI's servers answer them.
#ifndef WEIR_BENCH_CHAT_ANSWERS_H
#define WEIR_BENCH_CHAT_ANSWERS_H

#include "answers.h"

static struct buffer *create_completion(size_t bytes) {
  char end[256];
  size_t tokens = count_tokens(bytes);
  snprintf(end, sizeof end,
           "\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":"
           "{\"prompt_tokens\":%d,\"completion_tokens\":%zu,\"total_tokens\":%zu}}",
           PROMPT_TOKENS, tokens, PROMPT_TOKENS + tokens);
  return create_text_answer("{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1700000000,"
                            "\"model\":\"bench\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                            "\"content\":\"",
                            end, bytes);
}

#define CHUNK_START                                                                                                    \
  "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"bench\","

static struct slice start_chunks(void) {
  static const char *const EVENTS[] = {
      CHUNK_START "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
      NULL,
  };
  static char start[1024];
  static struct slice framed;
  if (framed.length == 0) framed = frame_start(start, EVENTS);
  return framed;
}

/** 194 bytes. */
static struct slice make_chunk(int64_t sent_nanos, uint64_t number) {
  (void)number;
  static char event[LONGEST_EVENT];
  static size_t length;
  static char *stamp;
  if (length == 0) {
    length = frame_event(event, CHUNK_START "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" STAMPED_TEXT
                                            "\"},\"finish_reason\":null}]}\n\n");
    stamp = strstr(event, STAMP_PLACE);
  }
  write_stamp(stamp, sent_nanos);
  return (struct slice){event, length};
}

static struct slice end_chunks(bool with_usage, uint64_t events) {
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
  memcpy(end + length, LAST_CHUNK, sizeof LAST_CHUNK - 1);
  return (struct slice){end, length + sizeof LAST_CHUNK - 1};
}

static const struct wire CHAT = {NULL, create_completion, start_chunks, make_chunk, end_chunks};

#endif
