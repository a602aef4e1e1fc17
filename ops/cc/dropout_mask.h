#ifndef DFL_TF_OPS_CC_DROPOUT_MASK_H_
#define DFL_TF_OPS_CC_DROPOUT_MASK_H_

#include <cstdint>

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
void DrawTile(const MaskKey& key, int64_t tile, uint32_t* words);

}  // namespace dfl_tf

#endif  // DFL_TF_OPS_CC_DROPOUT_MASK_H_
