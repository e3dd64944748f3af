// Responses, as OpenAI's servers answer them: https://platform.openai.com/docs/api-reference/responses-streaming
#ifndef WEIR_BENCH_RESPONSES_ANSWERS_H
#define WEIR_BENCH_RESPONSES_ANSWERS_H

#include "answers.h"

#define RESPONSE_START(STATUS)                                                                                         \
  "{\"id\":\"resp_bench\",\"object\":\"response\",\"created_at\":1700000000,\"status\":\"" STATUS                      \
  "\",\"error\":null,\"incomplete_details\":null,\"instructions\":null,\"model\":\"bench\",\"output\":["
#define RESPONSE_END "],\"parallel_tool_calls\":true,\"tool_choice\":\"auto\",\"tools\":[],\"usage\":"
#define ITEM_START(STATUS) "{\"id\":\"msg_bench\",\"type\":\"message\",\"status\":\"" STATUS "\",\"role\":\"assistant\",\"content\":["
#define TEXT_START "{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\""
#define TEXT_PLACE "\"item_id\":\"msg_bench\",\"output_index\":0,\"content_index\":0,"

static void write_response_usage(char *to, size_t room, uint64_t tokens) {
  snprintf(to, room,
           "{\"input_tokens\":%d,\"input_tokens_details\":{\"cached_tokens\":0},\"output_tokens\":%llu,"
           "\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":%llu}",
           PROMPT_TOKENS, (unsigned long long)tokens, (unsigned long long)(PROMPT_TOKENS + tokens));
}

static struct buffer *create_response(size_t bytes) {
  char usage[256];
  char end[512];
  write_response_usage(usage, sizeof usage, count_tokens(bytes));
  snprintf(end, sizeof end, "\"}]}" RESPONSE_END "%s}", usage);
  return create_text_answer(RESPONSE_START("completed") ITEM_START("completed") TEXT_START, end, bytes);
}

static struct slice start_response(void) {
  static const char *const EVENTS[] = {
      "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":" RESPONSE_START(
          "in_progress") RESPONSE_END "null}}\n\n",
      "event: response.in_progress\ndata: {\"type\":\"response.in_progress\",\"sequence_number\":1,"
      "\"response\":" RESPONSE_START("in_progress") RESPONSE_END "null}}\n\n",
      "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":2,"
      "\"output_index\":0,\"item\":" ITEM_START("in_progress") "]}}\n\n",
      "event: response.content_part.added\ndata: {\"type\":\"response.content_part.added\",\"sequence_number\":3,"
      TEXT_PLACE "\"part\":" TEXT_START "\"}}\n\n",
      NULL,
  };
  static char start[5 * LONGEST_EVENT];
  static struct slice framed;
  if (framed.length == 0) framed = frame_start(start, EVENTS);
  return framed;
}

#define FIRST_DELTA 4 // its sequence number

/** 205 bytes and the digits of its number, which is why each is written anew. */
static struct slice make_text_delta(int64_t sent_nanos, uint64_t number) {
  static char event[LONGEST_EVENT];
  char text[LONGEST_EVENT - 16];
  snprintf(text, sizeof text,
           "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":%llu,"
           TEXT_PLACE "\"delta\":\"" STAMPED_TEXT "\",\"logprobs\":[]}\n\n",
           (unsigned long long)(FIRST_DELTA + number));
  write_stamp(strstr(text, STAMP_PLACE), sent_nanos);
  return (struct slice){event, frame_event(event, text)};
}

#define MOST_TEXT (64u << 10) // that is said once more at the end, four times

/** An event that says the text once more, between these parts, as one HTTP chunk. Returns the length with framing. */
static size_t frame_repeated(char *to, const char *start, size_t text_length, const char *end) {
  char size[24];
  size_t size_length = (size_t)snprintf(size, sizeof size, "%zx\r\n", strlen(start) + text_length + strlen(end));
  char *at = to;
  memcpy(at, size, size_length);
  at = stpcpy(at + size_length, start);
  fill(at, text_length);
  return (size_t)(stpcpy(stpcpy(at + text_length, end), "\r\n") - to);
}

/** Text, part, item and response are each told whole, as OpenAI does: as long as all deltas together, of other words. */
static struct slice end_response(bool with_usage, uint64_t events) {
  (void)with_usage; // it is said whether or not somebody asks for it
  static char end[4 * (MOST_TEXT + 2 * LONGEST_EVENT) + sizeof LAST_CHUNK];
  static const struct {
    const char *type;
    const char *start;
    const char *end;
  } EVENTS[] = {
      {"response.output_text.done", TEXT_PLACE "\"logprobs\":[],\"text\":\"", "\"}\n\n"},
      {"response.content_part.done", TEXT_PLACE "\"part\":" TEXT_START, "\"}}\n\n"},
      {"response.output_item.done", "\"output_index\":0,\"item\":" ITEM_START("completed") TEXT_START, "\"}]}}\n\n"},
      {"response.completed", "\"response\":" RESPONSE_START("completed") ITEM_START("completed") TEXT_START,
       "\"}]}" RESPONSE_END},
  };
  static const size_t COUNT = sizeof EVENTS / sizeof *EVENTS;
  size_t text_length = events < MOST_TEXT / (sizeof STAMPED_TEXT - 1) ? events * (sizeof STAMPED_TEXT - 1) : MOST_TEXT;
  char usage[256];
  write_response_usage(usage, sizeof usage, events);
  size_t length = 0;
  for (size_t i = 0; i < COUNT; i++) {
    char event_start[2 * LONGEST_EVENT];
    char event_end[LONGEST_EVENT];
    snprintf(event_start, sizeof event_start, "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%llu,%s",
             EVENTS[i].type, EVENTS[i].type, (unsigned long long)(FIRST_DELTA + events + i), EVENTS[i].start);
    bool is_last = i + 1 == COUNT;
    snprintf(event_end, sizeof event_end, "%s%s%s", EVENTS[i].end, is_last ? usage : "", is_last ? "}}\n\n" : "");
    length += frame_repeated(end + length, event_start, text_length, event_end);
  }
  memcpy(end + length, LAST_CHUNK, sizeof LAST_CHUNK - 1);
  return (struct slice){end, length + sizeof LAST_CHUNK - 1};
}

static const struct wire RESPONSES = {"/responses", create_response, start_response, make_text_delta, end_response};

#endif
