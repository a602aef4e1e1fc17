#ifndef DFL_TF_OPS_CC_CPU_DISPATCH_H_
#define DFL_TF_OPS_CC_CPU_DISPATCH_H_

// DFL_TF_CLONES compiles a function for several x86-64 levels; the loader picks one for the
// machine. Results do not depend on the level: contraction to fused multiply-add is off (see
// setup.py), and sums are kept in a fixed number of lanes. Sanitizers cannot run before their own
// start-up code, which is when the choice is made, so their builds take the baseline only.
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__linux__) && \
    !defined(DFL_TF_SANITIZE)
#define DFL_TF_CLONES \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"), flatten))
#else
#define DFL_TF_CLONES
#endif

#if defined(__GNUC__)
#define DFL_TF_INLINE inline __attribute__((always_inline))
#define DFL_TF_PREFETCH(address) __builtin_prefetch(address)
#else
#define DFL_TF_INLINE inline
#define DFL_TF_PREFETCH(address)
#endif

#endif  // DFL_TF_OPS_CC_CPU_DISPATCH_H_
