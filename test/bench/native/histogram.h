// A histogram of times with logarithmic buckets (as HdrHistogram): fixed memory, any number of values, each percentile
// within 0.03 % of the true one.
#ifndef WEIR_BENCH_HISTOGRAM_H
#define WEIR_BENCH_HISTOGRAM_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>

#define FINE_BITS 11 // each power of two is divided into 2048 buckets: of 300 ms, a tenth of a millisecond can be seen
#define FINE (1 << FINE_BITS)
#define MOST_BITS 43 // 2.4 hours in nanoseconds; what is longer counts as that long
#define BUCKETS ((MOST_BITS - FINE_BITS + 1) * FINE)

/** Zeroed, it is empty. All values are nanoseconds. */
struct histogram {
  uint64_t count;
  double sum;
  int64_t max;
  uint64_t buckets[BUCKETS];
};

static size_t bucket_of(int64_t nanos) {
  if (nanos < FINE) return (size_t)nanos;
  int exponent = 63 - __builtin_clzll((uint64_t)nanos) - FINE_BITS;
  return (size_t)(exponent * FINE) + (size_t)(nanos >> exponent);
}

/** The middle of a bucket. */
static double value_of(size_t bucket) {
  if (bucket < 2 * FINE) return (double)bucket;
  int exponent = (int)(bucket / FINE) - 1;
  return ldexp((double)(bucket % FINE + FINE) + 0.5, exponent);
}

static void record(struct histogram *histogram, int64_t nanos) {
  if (nanos < 0) nanos = 0;
  if (nanos > histogram->max) histogram->max = nanos;
  histogram->count++;
  histogram->sum += (double)nanos;
  int64_t most = ((int64_t)1 << MOST_BITS) - 1;
  histogram->buckets[bucket_of(nanos > most ? most : nanos)]++;
}

static double percentile(const struct histogram *histogram, double share) {
  uint64_t rank = (uint64_t)ceil(share * (double)histogram->count);
  uint64_t seen = 0;
  for (size_t bucket = 0; bucket < BUCKETS; bucket++) {
    seen += histogram->buckets[bucket];
    if (seen >= rank) return fmin(value_of(bucket), (double)histogram->max);
  }
  return (double)histogram->max;
}

/** Prints `"name":{…}` in microseconds; of an empty one, all but the count is null. */
static void print_histogram(const char *name, const struct histogram *histogram) {
  static const struct {
    const char *name;
    double share;
  } SHARES[] = {{"p50", 0.5}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}, {"p999", 0.999}};
  if (histogram->count == 0) {
    printf("\"%s\":{\"count\":0,\"mean\":null,\"p50\":null,\"p90\":null,\"p95\":null,\"p99\":null,\"p999\":null,"
           "\"max\":null}", name);
    return;
  }
  printf("\"%s\":{\"count\":%llu,\"mean\":%.1f", name, (unsigned long long)histogram->count,
         histogram->sum / (double)histogram->count / 1e3);
  for (size_t i = 0; i < sizeof SHARES / sizeof *SHARES; i++)
    printf(",\"%s\":%.1f", SHARES[i].name, percentile(histogram, SHARES[i].share) / 1e3);
  printf(",\"max\":%.1f}", (double)histogram->max / 1e3);
}

#endif
