// Random numbers from a fixed seed, so that every run sees the same ones.
#ifndef WEIR_BENCH_RANDOM_H
#define WEIR_BENCH_RANDOM_H

#include <math.h>
#include <stdint.h>

/** The next number in (0, 1] of the sequence that this state stands in (splitmix64). */
static double next_random(uint64_t *state) {
  uint64_t x = *state += 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  x ^= x >> 31;
  return (double)((x >> 11) + 1) * 0x1p-53;
}

#endif
