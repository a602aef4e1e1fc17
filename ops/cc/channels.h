#ifndef DFL_TF_OPS_CC_CHANNELS_H_
#define DFL_TF_OPS_CC_CHANNELS_H_

// What the ops over images (n, h, w, c) share, whose vector lanes are channels: numbers of a tensor
// and those that are computed with.

#include <cstdint>
#include <cstring>

#include "cpu_dispatch.h"
#include "tensorflow/core/framework/bfloat16.h"

namespace dfl_tf {

// The type that numbers of a tensor are computed in.
template <typename T>
struct Computed {
  using Type = T;
};
template <>
struct Computed<tensorflow::bfloat16> {
  using Type = float;
};

DFL_TF_INLINE float Widen(float x) { return x; }
DFL_TF_INLINE double Widen(double x) { return x; }
DFL_TF_INLINE float Widen(tensorflow::bfloat16 x) {
  uint16_t half;
  std::memcpy(&half, &x, sizeof half);
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float wide;
  std::memcpy(&wide, &bits, sizeof wide);
  return wide;
}

// Rounds to the nearest, ties to even, as TensorFlow does. Without branches, so that loops over it
// become vectors.
template <typename T>
DFL_TF_INLINE T Narrow(typename Computed<T>::Type x) {
  return x;
}
template <>
DFL_TF_INLINE tensorflow::bfloat16 Narrow<tensorflow::bfloat16>(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const uint32_t nan = (bits >> 16) | 0x40;
  const uint16_t half = static_cast<uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? nan : rounded);
  tensorflow::bfloat16 narrow;
  std::memcpy(&narrow, &half, sizeof half);
  return narrow;
}

// Pixels of a piece of work: about 32,768 numbers. Sums over an image are added up inside of pieces
// and then over them, so that neither threads nor instruction sets change a result.
DFL_TF_INLINE int64_t PixelsPerJob(int64_t channels) {
  const int64_t pixels = (int64_t{1} << 15) / (channels > 0 ? channels : 1);
  return pixels > 0 ? pixels : 1;
}

}  // namespace dfl_tf

#endif  // DFL_TF_OPS_CC_CHANNELS_H_
