// Timers: a binary heap by due time, and one timerfd that wakes the program for the earliest. The due times are absolute,
// so what repeats does not drift; a timerfd has no slack, unlike the timeout of epoll_wait (50 µs and whole milliseconds).
#ifndef WEIR_BENCH_TIMERS_H
#define WEIR_BENCH_TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include "clock.h"

/** Part of what it belongs to; zeroed, it is not set. */
struct timer {
  int64_t due;
  void (*fire)(struct timer *timer);
  size_t place; // in the heap, counted from 1; 0 while not set
};

#define OWNER_OF(timer, type, member) ((type *)((char *)(timer) - offsetof(type, member)))

static struct {
  struct timer **heap; // heap[1] is the earliest
  size_t count;
  size_t capacity;
  int fd;
  int64_t armed; // what the timerfd waits for; 0 for nothing
} timers;

static void put_timer(struct timer *timer, size_t place) {
  timers.heap[place] = timer;
  timer->place = place;
}

static void raise_timer(struct timer *timer, size_t place) {
  for (; place > 1 && timers.heap[place / 2]->due > timer->due; place /= 2) put_timer(timers.heap[place / 2], place);
  put_timer(timer, place);
}

static void sink_timer(struct timer *timer, size_t place) {
  for (size_t child; (child = place * 2) <= timers.count; place = child) {
    if (child < timers.count && timers.heap[child + 1]->due < timers.heap[child]->due) child++;
    if (timers.heap[child]->due >= timer->due) break;
    put_timer(timers.heap[child], place);
  }
  put_timer(timer, place);
}

static void unset_timer(struct timer *timer) {
  size_t place = timer->place;
  if (place == 0) return;
  timer->place = 0;
  struct timer *last = timers.heap[timers.count--];
  if (last == timer) return;
  if (place > 1 && timers.heap[place / 2]->due > last->due) raise_timer(last, place);
  else sink_timer(last, place);
}

/** Sets a timer, also one that is set already. What is due is fired by run_timers(), never from here. */
static void set_timer(struct timer *timer, int64_t due) {
  unset_timer(timer);
  if (timers.count + 1 >= timers.capacity) {
    timers.capacity = timers.capacity == 0 ? 1024 : timers.capacity * 2;
    timers.heap = realloc(timers.heap, timers.capacity * sizeof *timers.heap);
    if (timers.heap == NULL) abort();
  }
  timer->due = due;
  raise_timer(timer, ++timers.count);
}

/** Opens the timerfd and lets this epoll report it, with `mark` as its pointer. */
static void open_timers(int epoll, void *mark) {
  timers.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  // Edge-triggered: nobody needs to read it, since arming it again clears what has expired.
  struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = mark};
  if (timers.fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, timers.fd, &event) != 0) {
    perror("Cannot open a timer");
    exit(1);
  }
}

/** Fires what is due now. What those set anew for now or earlier waits for the next call, so that sockets get their turn. */
static void run_timers(void) {
  int64_t now = now_nanos();
  for (size_t limit = timers.count; limit > 0 && timers.count > 0 && timers.heap[1]->due <= now; limit--) {
    struct timer *timer = timers.heap[1];
    unset_timer(timer);
    timer->fire(timer);
  }
}

/** Arms the timerfd for the earliest timer and returns the timeout for epoll_wait: 0 when one is due, else -1. */
static int arm_timers(void) {
  if (timers.count == 0) return -1;
  int64_t now = now_nanos();
  int64_t due = timers.heap[1]->due;
  if (due <= now) return 0;
  // An alarm that comes too early costs one idle turn; moving it with every request would cost a system call each.
  if (timers.armed > now && timers.armed <= due) return -1;
  struct itimerspec alarm = {.it_value = {.tv_sec = due / NANOS_PER_SECOND, .tv_nsec = due % NANOS_PER_SECOND}};
  timerfd_settime(timers.fd, TFD_TIMER_ABSTIME, &alarm, NULL);
  timers.armed = due;
  return -1;
}

#endif
