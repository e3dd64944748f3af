// What the generator counts, and how it says it. `report.ts` has the same as a type.
#ifndef WEIR_BENCH_REPORT_H
#define WEIR_BENCH_REPORT_H

#include <stdint.h>
#include <stdio.h>

#include "clock.h"
#include "histogram.h"
#include "options.h"

enum outcome { SUCCEEDED, REFUSED_WITH_STATUS, NOT_CONNECTED, RESET, TIMED_OUT, INCOMPLETE, OUTCOMES };

/** What has been counted so far; of the window, where nothing else is said. */
static struct {
  uint64_t meant; // requests of the window that were started or dropped; each gets an outcome or stays unfinished
  uint64_t outcomes[OUTCOMES];
  uint64_t statuses[1000]; // of answers that are not 2xx
  uint64_t bytes;
  uint64_t events;
  uint64_t connections_opened;
  struct { // the whole run, with what comes before and after the window
    uint64_t requests;
    uint64_t events;
    uint64_t bytes;
  } all;
  struct histogram first_byte;
  struct histogram first_event;
  struct histogram total;
  struct histogram event_delay;
  struct histogram lateness;
} tally;

/** What is known only at the end. */
struct measured {
  uint64_t unfinished;
  int64_t cpu_micros;                  // own, within the window
  int64_t watched_nanos[MOST_WATCHED]; // CPU time of the watched processes within the window; -1 when unknown
};

static void print_errors(void) {
  printf("\"errors\":{\"status\":{");
  const char *separator = "";
  for (int status = 0; status < 1000; status++) {
    if (tally.statuses[status] == 0) continue;
    printf("%s\"%d\":%llu", separator, status, (unsigned long long)tally.statuses[status]);
    separator = ",";
  }
  printf("},\"connect\":%llu,\"reset\":%llu,\"timeout\":%llu,\"incomplete\":%llu}",
         (unsigned long long)tally.outcomes[NOT_CONNECTED], (unsigned long long)tally.outcomes[RESET],
         (unsigned long long)tally.outcomes[TIMED_OUT], (unsigned long long)tally.outcomes[INCOMPLETE]);
}

static void print_watched(const struct options *options, const struct measured *measured) {
  printf("\"watchedCpuMicros\":{");
  for (size_t i = 0; i < options->watched_count; i++) {
    printf("%s\"%d\":", i == 0 ? "" : ",", (int)options->watched[i]);
    if (measured->watched_nanos[i] < 0) printf("null");
    else printf("%lld", (long long)(measured->watched_nanos[i] / NANOS_PER_MICRO));
  }
  printf("}");
}

/** Prints the one line of JSON. */
static void print_report(const struct options *options, const struct measured *measured) {
  static const char *const MODES[] = {"closed", "open", "hold"};
  double seconds = (double)options->duration_ms / 1e3;
  printf("{\"mode\":\"%s\",\"requests\":%llu,", MODES[options->mode], (unsigned long long)tally.outcomes[SUCCEEDED]);
  print_errors();
  printf(",\"unfinished\":%llu,\"seconds\":%.3f,\"rps\":%.1f,\"bytes\":%llu,\"events\":%llu,",
         (unsigned long long)measured->unfinished, seconds, (double)tally.outcomes[SUCCEEDED] / seconds,
         (unsigned long long)tally.bytes, (unsigned long long)tally.events);
  printf("\"connectionsOpened\":%llu,", (unsigned long long)tally.connections_opened);
  print_histogram("firstByteMicros", &tally.first_byte);
  printf(",");
  print_histogram("firstEventMicros", &tally.first_event);
  printf(",");
  print_histogram("totalMicros", &tally.total);
  printf(",");
  print_histogram("eventDelayMicros", &tally.event_delay);
  printf(",");
  print_histogram("latenessMicros", &tally.lateness);
  printf(",\"cpuMicros\":%lld,\"busyShare\":%.4f,", (long long)measured->cpu_micros, (double)measured->cpu_micros / seconds / 1e6);
  print_watched(options, measured);
  printf(",\"wholeRun\":{\"requests\":%llu,\"events\":%llu,\"bytes\":%llu}}\n",
         (unsigned long long)tally.all.requests, (unsigned long long)tally.all.events,
         (unsigned long long)tally.all.bytes);
}

#endif
