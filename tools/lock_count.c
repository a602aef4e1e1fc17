// Preloaded into a Python process (LD_PRELOAD): counts how often each thread gives the interpreter's
// lock away, the processor time that it spends holding it, and how long it waits for it. See lock_count.py.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

static __thread long given_away;
static __thread double held, since, waited;

static double by_clock(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static double now(void) { return by_clock(CLOCK_THREAD_CPUTIME_ID); }

void* PyEval_SaveThread(void) {
  static void* (*real)(void);
  if (!real) real = (void* (*)(void))dlsym(RTLD_NEXT, "PyEval_SaveThread");
  held += now() - since;
  ++given_away;
  return real();
}

void PyEval_RestoreThread(void* state) {
  static void (*real)(void*);
  if (!real) real = (void (*)(void*))dlsym(RTLD_NEXT, "PyEval_RestoreThread");
  double asked = by_clock(CLOCK_MONOTONIC);
  real(state);
  waited += by_clock(CLOCK_MONOTONIC) - asked;
  since = now();
}

// For the calling thread, which holds the lock: start counting.
void lock_count_begin(void) {
  given_away = 0;
  held = waited = 0;
  since = now();
}

// What was counted since then: times given away, seconds held, seconds waited to get it back.
void lock_count_end(long* times, double* seconds, double* waiting) {
  *times = given_away;
  *seconds = held + now() - since;
  *waiting = waited;
}
