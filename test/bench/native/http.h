// The part of HTTP/1.1 that client and server share: lines, header fields and the three framings of a body. Both read piece
// by piece from whatever arrived and keep no more of it than an unfinished line.
#ifndef WEIR_BENCH_HTTP_H
#define WEIR_BENCH_HTTP_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct slice {
  const char *text;
  size_t length;
};

/** Longest line that is kept whole when it arrives in parts; of a longer one the beginning is kept. */
#define LONGEST_LINE 512

struct line_reader {
  size_t length;
  char text[LONGEST_LINE];
};

static void keep_of_line(struct line_reader *reader, const char *text, size_t length) {
  size_t room = LONGEST_LINE - reader->length;
  if (length > room) length = room;
  memcpy(reader->text + reader->length, text, length);
  reader->length += length;
}

/**
 * Takes one line from the input, without its end. False when it is not whole yet: then all input is taken and kept. The
 * line is valid until the next call and as long as the input is.
 */
static bool read_line(struct line_reader *reader, const char **at, const char *end, struct slice *line) {
  const char *newline = memchr(*at, '\n', (size_t)(end - *at));
  size_t length = (size_t)((newline == NULL ? end : newline) - *at);
  const char *start = *at;
  *at += newline == NULL ? length : length + 1;
  if (newline == NULL) {
    keep_of_line(reader, start, length);
    return false;
  }
  if (reader->length > 0) {
    keep_of_line(reader, start, length);
    start = reader->text;
    length = reader->length;
    reader->length = 0;
  }
  if (length > 0 && start[length - 1] == '\r') length--;
  *line = (struct slice){start, length};
  return true;
}

/** Whether a header line is the field of this name (in lower case), and its value. */
static bool read_field(struct slice line, const char *name, struct slice *value) {
  size_t length = strlen(name);
  if (line.length <= length || line.text[length] != ':' || strncasecmp(line.text, name, length) != 0) return false;
  const char *start = line.text + length + 1;
  const char *end = line.text + line.length;
  while (start < end && (*start == ' ' || *start == '\t')) start++;
  while (end > start && (end[-1] == ' ' || end[-1] == '\t')) end--;
  *value = (struct slice){start, (size_t)(end - start)};
  return true;
}

static bool starts_with(struct slice text, const char *start) {
  size_t length = strlen(start);
  return text.length >= length && strncasecmp(text.text, start, length) == 0;
}

static int digit_of(char character) {
  if (character >= '0' && character <= '9') return character - '0';
  char lower = character | 0x20;
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 99;
}

/** Reads the number at the beginning, in base 10 or 16. False when there is none or it has more than 15 digits. */
static bool read_number(struct slice text, int base, uint64_t *number) {
  size_t length = 0;
  for (*number = 0; length < text.length && digit_of(text.text[length]) < base; length++) {
    if (length == 15) return false;
    *number = *number * (uint64_t)base + (uint64_t)digit_of(text.text[length]);
  }
  return length > 0;
}

enum framing { FRAMED_BY_LENGTH, FRAMED_IN_CHUNKS, FRAMED_BY_CLOSE };
enum chunk_part { CHUNK_SIZE, CHUNK_DATA, CHUNK_DATA_END, CHUNK_TRAILER };

/** Where one is in a body. Zeroed, it is a body of no bytes. */
struct body_reader {
  enum framing framing;
  enum chunk_part part;
  uint64_t left; // of the body, or of this chunk
};

/** Takes what a header line says of the body's framing. False when it says something unreadable. */
static bool read_framing(struct body_reader *body, struct slice line) {
  struct slice value;
  // Chunks outrank a length (RFC 9112, 6.3).
  if (read_field(line, "transfer-encoding", &value)) {
    body->framing = FRAMED_IN_CHUNKS;
    return starts_with(value, "chunked");
  }
  if (body->framing != FRAMED_IN_CHUNKS && read_field(line, "content-length", &value)) {
    body->framing = FRAMED_BY_LENGTH;
    return read_number(value, 10, &body->left);
  }
  return true;
}

enum body_step { BODY_PIECE, BODY_NEEDS_MORE, BODY_ENDED, BODY_BROKEN };

static enum body_step take_piece(struct body_reader *body, const char **at, const char *end, struct slice *piece) {
  size_t length = (size_t)(end - *at);
  if (length == 0) return BODY_NEEDS_MORE;
  if (body->framing != FRAMED_BY_CLOSE && length > body->left) length = body->left;
  *piece = (struct slice){*at, length};
  *at += length;
  body->left -= length;
  return BODY_PIECE;
}

static enum body_step take_of_chunks(struct body_reader *body, struct line_reader *lines, const char **at,
                                     const char *end, struct slice *piece) {
  for (struct slice line;;) {
    if (body->part == CHUNK_DATA) {
      if (body->left > 0) return take_piece(body, at, end, piece);
      body->part = CHUNK_DATA_END;
    }
    if (!read_line(lines, at, end, &line)) return BODY_NEEDS_MORE;
    if (body->part == CHUNK_SIZE) {
      if (!read_number(line, 16, &body->left)) return BODY_BROKEN;
      body->part = body->left == 0 ? CHUNK_TRAILER : CHUNK_DATA;
    } else if (body->part == CHUNK_DATA_END) {
      if (line.length > 0) return BODY_BROKEN;
      body->part = CHUNK_SIZE;
    } else if (line.length == 0) {
      return BODY_ENDED;
    }
  }
}

/** Takes the next piece of a body from the input. `lines` is for the lines between chunks and nothing else meanwhile. */
static enum body_step read_body(struct body_reader *body, struct line_reader *lines, const char **at, const char *end,
                                struct slice *piece) {
  if (body->framing == FRAMED_IN_CHUNKS) return take_of_chunks(body, lines, at, end, piece);
  if (body->framing == FRAMED_BY_LENGTH && body->left == 0) return BODY_ENDED;
  return take_piece(body, at, end, piece);
}

#endif
