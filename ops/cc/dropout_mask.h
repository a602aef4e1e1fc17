#ifndef DFL_TF_OPS_CC_DROPOUT_MASK_H_
#define DFL_TF_OPS_CC_DROPOUT_MASK_H_

#include <cstdint>

#include "cpu_dispatch.h"

namespace dfl_tf {

// Elements that share one run of the generator; see the mask definition in DrawTile.
constexpr int64_t kTile = 1024;

// What decides the mask of one variable in one step.
struct MaskKey {
  uint32_t seed;
  uint32_t index;  // number of the variable in its optimizer
  uint64_t step;
};

// Draws the 1024 words of a tile: element e takes word e / 256 of the Philox4x32-10 block
// 256 * tile + e % 256, so that neighboring blocks are computed side by side. The key is
// (seed, index), the counter (block low, block high, step low, step high).
DFL_TF_INLINE void DrawTile(const MaskKey& key, int64_t tile, uint32_t* __restrict words) {
  constexpr int kBlocks = kTile / 4;
  const uint64_t first =
      static_cast<uint64_t>(tile) * kBlocks;  // a multiple of 256: no carry below
  const uint32_t low = static_cast<uint32_t>(first);
  const uint32_t high = static_cast<uint32_t>(first >> 32);
  const uint32_t step_low = static_cast<uint32_t>(key.step);
  const uint32_t step_high = static_cast<uint32_t>(key.step >> 32);
  for (int b = 0; b < kBlocks; ++b) {
    uint32_t c0 = low + static_cast<uint32_t>(b), c1 = high, c2 = step_low, c3 = step_high;
    uint32_t k0 = key.seed, k1 = key.index;
#pragma GCC unroll 10
    for (int round = 0; round < 10; ++round) {
      const uint64_t p0 = static_cast<uint64_t>(c0) * 0xD2511F53u;
      const uint64_t p1 = static_cast<uint64_t>(c2) * 0xCD9E8D57u;
      c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
      c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
      c1 = static_cast<uint32_t>(p1);
      c3 = static_cast<uint32_t>(p0);
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    words[b] = c0;
    words[kBlocks + b] = c1;
    words[2 * kBlocks + b] = c2;
    words[3 * kBlocks + b] = c3;
  }
}

}  // namespace dfl_tf

#endif  // DFL_TF_OPS_CC_DROPOUT_MASK_H_
