// Time for both programs. All of it is CLOCK_MONOTONIC in nanoseconds, so a stamp that one process writes can be
// subtracted from the clock of another on the same machine.
#ifndef WEIR_BENCH_CLOCK_H
#define WEIR_BENCH_CLOCK_H

#include <stdint.h>
#include <sys/resource.h>
#include <time.h>

#define NANOS_PER_MICRO 1000LL
#define NANOS_PER_MILLI 1000000LL
#define NANOS_PER_SECOND 1000000000LL

static inline int64_t read_clock(clockid_t clock) {
  struct timespec time;
  if (clock_gettime(clock, &time) != 0) return -1;
  return (int64_t)time.tv_sec * NANOS_PER_SECOND + time.tv_nsec;
}

static inline int64_t now_nanos(void) { return read_clock(CLOCK_MONOTONIC); }

/** CPU time of this process so far, user and system, in microseconds. */
static inline int64_t own_cpu_micros(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (int64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 + usage.ru_utime.tv_usec +
         usage.ru_stime.tv_usec;
}

#endif
