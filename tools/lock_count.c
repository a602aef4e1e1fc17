// Preloaded into a Python process (LD_PRELOAD): counts how often each thread gives the interpreter's
// lock away, and the processor time that it spends holding it. See lock_count.py.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

static __thread long given_away;
static __thread double held, since;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

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
  real(state);
  since = now();
}

// For the calling thread, which holds the lock: start counting.
void lock_count_begin(void) {
  given_away = 0;
  held = 0;
  since = now();
}

// What was counted since then: times given away, seconds held.
void lock_count_end(long* times, double* seconds) {
  *times = given_away;
  *seconds = held + now() - since;
}
