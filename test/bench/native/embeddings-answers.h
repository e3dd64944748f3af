// Embeddings, as OpenAI's servers answer them. They have no streams.
#ifndef WEIR_BENCH_EMBEDDINGS_ANSWERS_H
#define WEIR_BENCH_EMBEDDINGS_ANSWERS_H

#include "answers.h"

#define NUMBER "0.0123456789" // about as long as those of OpenAI's vectors
#define NUMBER_LENGTH (sizeof NUMBER - 1)

/** Numbers with commas between them; the last one takes the digits that are left. */
static void fill_with_numbers(char *at, size_t length) {
  const char *end = at + length;
  size_t count = (length + 1) / (NUMBER_LENGTH + 1);
  for (size_t i = 1; i < count; i++) at = stpcpy(at, NUMBER ",");
  memcpy(at, NUMBER, NUMBER_LENGTH);
  at += NUMBER_LENGTH;
  memset(at, '1', (size_t)(end - at));
}

/** One vector, of as many numbers as the body has room for. */
static struct buffer *create_embedding(size_t bytes) {
  static const char START[] = "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":[";
  char end[128];
  snprintf(end, sizeof end, "]}],\"model\":\"bench\",\"usage\":{\"prompt_tokens\":%d,\"total_tokens\":%d}}", PROMPT_TOKENS,
           PROMPT_TOKENS);
  size_t fixed = sizeof START - 1 + strlen(end);
  size_t length = bytes > fixed + NUMBER_LENGTH ? bytes - fixed : NUMBER_LENGTH;
  char *numbers;
  struct buffer *buffer = create_answer(START, length, end, &numbers);
  fill_with_numbers(numbers, length);
  return buffer;
}

static const struct wire EMBEDDINGS = {"/embeddings", create_embedding, NULL, NULL, NULL};

#endif
