// What the provider wants to know of a request's body, found without keeping or parsing it: `"stream":true`,
// `"include_usage":true` and `"bench":"events=64;gap_us=5000"`, at any depth and across any split of the input. A scan from
// quote to quote is enough: inside a JSON string a quote has a backslash before it, which no name we look for has.
#ifndef WEIR_BENCH_REQUEST_SCAN_H
#define WEIR_BENCH_REQUEST_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "http.h"

#define LONGEST_NAME 13 // include_usage
#define LONGEST_SETTINGS 160

/** How a request wants to be answered. */
struct settings {
  double events;     // content events of a streamed answer
  double gap_us;     // between two events; 0 for as fast as the socket takes them
  double latency_us; // from the end of the request to the first byte of the answer
  double sigma;      // above 0: latency_us is the median of a log-normal distribution with this shape
  double bytes;      // of a unary answer's body, about
};

static const struct settings DEFAULT_SETTINGS = {.events = 64, .gap_us = 5000, .bytes = 1000};

static const struct {
  const char *name;
  size_t offset;
  double most;
} SETTINGS[] = {
    {"events", offsetof(struct settings, events), 1e9},
    {"gap_us", offsetof(struct settings, gap_us), 3.6e9},
    {"latency_us", offsetof(struct settings, latency_us), 3.6e9},
    {"sigma", offsetof(struct settings, sigma), 4},
    {"bytes", offsetof(struct settings, bytes), 16 << 20},
};

enum scan_state { BETWEEN_QUOTES, IN_NAME, AFTER_NAME, BEFORE_VALUE, IN_SETTINGS };
enum scan_name { NAME_OTHER, NAME_STREAM, NAME_INCLUDE_USAGE, NAME_BENCH };

struct request_scan {
  enum scan_state state;
  enum scan_name name;
  size_t length; // of what was collected of a name, of `true`, or of the settings
  bool stream;
  bool include_usage;
  char collected[LONGEST_NAME];
  char settings[LONGEST_SETTINGS + 1]; // empty when the request has none
};

static enum scan_name find_name(const char *text, size_t length) {
  if (length == 6 && memcmp(text, "stream", 6) == 0) return NAME_STREAM;
  if (length == 13 && memcmp(text, "include_usage", 13) == 0) return NAME_INCLUDE_USAGE;
  if (length == 5 && memcmp(text, "bench", 5) == 0) return NAME_BENCH;
  return NAME_OTHER;
}

static void scan_name(struct request_scan *scan, char character) {
  if (character == '"') {
    scan->name = find_name(scan->collected, scan->length);
    scan->length = 0;
    // Which quotes open and which close is not known here: one that closes no name of ours may open the next.
    scan->state = scan->name == NAME_OTHER ? IN_NAME : AFTER_NAME;
  } else if (scan->length < LONGEST_NAME) {
    scan->collected[scan->length++] = character;
  } else {
    scan->state = BETWEEN_QUOTES;
  }
}

/** Takes a character of a value. False when it is no part of it. */
static bool scan_value(struct request_scan *scan, char character) {
  if (scan->name == NAME_BENCH) {
    if (character == '"') scan->state = IN_SETTINGS;
    return character == '"';
  }
  if (character != "true"[scan->length]) return false;
  if (++scan->length < 4) return true;
  if (scan->name == NAME_STREAM) scan->stream = true;
  else scan->include_usage = true;
  scan->state = BETWEEN_QUOTES;
  return true;
}

static void scan_settings(struct request_scan *scan, char character) {
  if (character != '"' && scan->length < LONGEST_SETTINGS) {
    scan->settings[scan->length++] = character;
    return;
  }
  // Settings that are too long end here, in the middle of one, and are refused for it.
  scan->settings[scan->length] = '\0';
  scan->state = BETWEEN_QUOTES;
}

static bool is_blank(char character) {
  return character == ' ' || character == '\n' || character == '\r' || character == '\t';
}

/** Scans a piece of the body. A zeroed scan stands at its beginning. */
static void scan_request(struct request_scan *scan, struct slice piece) {
  const char *at = piece.text;
  const char *end = at + piece.length;
  while (at < end) {
    switch (scan->state) {
    case BETWEEN_QUOTES:
      at = memchr(at, '"', (size_t)(end - at));
      if (at == NULL) return;
      at++;
      scan->length = 0;
      scan->state = IN_NAME;
      break;
    case IN_NAME:
      scan_name(scan, *at++);
      break;
    case AFTER_NAME:
      if (*at == ':') scan->state = BEFORE_VALUE;
      else if (!is_blank(*at)) scan->state = BETWEEN_QUOTES;
      if (scan->state != BETWEEN_QUOTES) at++; // else it may be a quote
      break;
    case BEFORE_VALUE:
      if (scan->length == 0 && is_blank(*at)) at++;
      else if (scan_value(scan, *at)) at++;
      else scan->state = BETWEEN_QUOTES;
      break;
    case IN_SETTINGS:
      scan_settings(scan, *at++);
      break;
    }
  }
}

/** Reads one `name=value` up to `;` or the end into the settings. Returns what follows it, or NULL when it is none. */
static const char *read_setting(const char *text, struct settings *settings) {
  size_t length = strcspn(text, "=");
  for (size_t i = 0; i < sizeof SETTINGS / sizeof *SETTINGS; i++) {
    if (strlen(SETTINGS[i].name) != length || strncmp(SETTINGS[i].name, text, length) != 0) continue;
    const char *number = text + length + 1;
    char *end;
    double value = text[length] == '=' ? strtod(number, &end) : -1;
    if (!(value >= 0 && value <= SETTINGS[i].most) || end == number || (*end != ';' && *end != '\0')) return NULL;
    *(double *)((char *)settings + SETTINGS[i].offset) = value;
    return *end == ';' ? end + 1 : end;
  }
  return NULL;
}

/** Puts what the text says over the settings. False when a part of it is not understood: a typo must not pass unseen. */
static bool read_settings(const char *text, struct settings *settings) {
  while (text != NULL && *text != '\0') text = read_setting(text, settings);
  return text != NULL;
}

#endif
