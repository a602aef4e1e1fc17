#include "dropout_mask.h"

#include <cstring>

#if defined(__GNUC__) && defined(__x86_64__)
#include <immintrin.h>
#define DFL_TF_VECTOR_MASKS
#endif

namespace dfl_tf {
namespace {

constexpr int kBlocks = kTile / 4;
constexpr uint32_t kMultiplier0 = 0xD2511F53u, kMultiplier1 = 0xCD9E8D57u;
constexpr uint32_t kStep0 = 0x9E3779B9u, kStep1 = 0xBB67AE85u;

void DrawTileOneByOne(const MaskKey& key, int64_t tile, uint32_t* words) {
  const uint64_t first = static_cast<uint64_t>(tile) * kBlocks;  // a multiple of 256: no carry
  for (int b = 0; b < kBlocks; ++b) {
    uint32_t c0 = static_cast<uint32_t>(first) + b, c1 = static_cast<uint32_t>(first >> 32);
    uint32_t c2 = static_cast<uint32_t>(key.step), c3 = static_cast<uint32_t>(key.step >> 32);
    uint32_t k0 = key.seed, k1 = key.index;
    for (int round = 0; round < 10; ++round, k0 += kStep0, k1 += kStep1) {
      const uint64_t p0 = static_cast<uint64_t>(c0) * kMultiplier0;
      const uint64_t p1 = static_cast<uint64_t>(c2) * kMultiplier1;
      c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
      c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
      c1 = static_cast<uint32_t>(p1);
      c3 = static_cast<uint32_t>(p0);
    }
    const uint32_t block[4] = {c0, c1, c2, c3};
    for (int w = 0; w < 4; ++w) words[w * kBlocks + b] = block[w];
  }
}

#ifdef DFL_TF_VECTOR_MASKS
// The same with one block in each lane of 64 bits. The multiplication of the low halves is one
// instruction, which compilers do not find by themselves, and what the high halves of the other
// operands hold does not matter: nothing has to be shuffled. A macro, because a template cannot
// take over the instruction set of its caller.
#define DFL_TF_DRAW_TILE(NAME, TARGET, BYTES, VECTOR, MULTIPLY)                                  \
  __attribute__((target(TARGET))) void NAME(const MaskKey& key, int64_t tile, uint32_t* words) { \
    typedef uint64_t Wide __attribute__((vector_size(BYTES)));                                   \
    typedef uint32_t Narrow __attribute__((vector_size(BYTES / 2)));                             \
    constexpr int kLanes = BYTES / 8;                                                            \
    const Wide zero = {};                                                                        \
    const uint64_t first = static_cast<uint64_t>(tile) * kBlocks;                                \
    Wide block = zero + (first & 0xFFFFFFFFu);                                                   \
    for (int lane = 0; lane < kLanes; ++lane) block[lane] += lane;                               \
    const Wide high = zero + (first >> 32);                                                      \
    const Wide step_low = zero + (key.step & 0xFFFFFFFFu), step_high = zero + (key.step >> 32);  \
    const Wide m0 = zero + uint64_t{kMultiplier0}, m1 = zero + uint64_t{kMultiplier1};           \
    for (int b = 0; b < kBlocks; b += kLanes, block += kLanes) {                                 \
      Wide c0 = block, c1 = high, c2 = step_low, c3 = step_high;                                 \
      uint32_t k0 = key.seed, k1 = key.index;                                                    \
      _Pragma("GCC unroll 10") for (int round = 0; round < 10; ++round) {                        \
        const Wide p0 = (Wide)MULTIPLY((VECTOR)c0, (VECTOR)m0);                                  \
        const Wide p1 = (Wide)MULTIPLY((VECTOR)c2, (VECTOR)m1);                                  \
        c0 = (p1 >> 32) ^ c1 ^ (zero + k0);                                                      \
        c2 = (p0 >> 32) ^ c3 ^ (zero + k1);                                                      \
        c1 = p1;                                                                                 \
        c3 = p0;                                                                                 \
        k0 += kStep0;                                                                            \
        k1 += kStep1;                                                                            \
      }                                                                                          \
      const Narrow out[] = {                                                                     \
          __builtin_convertvector(c0, Narrow), __builtin_convertvector(c1, Narrow),              \
          __builtin_convertvector(c2, Narrow), __builtin_convertvector(c3, Narrow)};             \
      for (int w = 0; w < 4; ++w) memcpy(words + w * kBlocks + b, &out[w], sizeof(Narrow));      \
    }                                                                                            \
  }
DFL_TF_DRAW_TILE(DrawTileAvx512, "avx512f", 64, __m512i, _mm512_mul_epu32)
DFL_TF_DRAW_TILE(DrawTileAvx2, "avx2", 32, __m256i, _mm256_mul_epu32)
#undef DFL_TF_DRAW_TILE
#endif

using Draw = void (*)(const MaskKey&, int64_t, uint32_t*);

Draw Fastest() {
#ifdef DFL_TF_VECTOR_MASKS
  if (__builtin_cpu_supports("avx512f")) return DrawTileAvx512;
  if (__builtin_cpu_supports("avx2")) return DrawTileAvx2;
#endif
  return DrawTileOneByOne;
}

}  // namespace

void DrawTile(const MaskKey& key, int64_t tile, uint32_t* words) {
  static const Draw draw = Fastest();
  draw(key, tile, words);
}

}  // namespace dfl_tf
