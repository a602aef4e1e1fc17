// DflTf>BlurPool and DflTf>BlurPoolGrad: every channel blurred by a small binomial kernel, of which
// every second pixel is taken (Zhang 2019). Rows first, then columns.

#include <algorithm>
#include <vector>

#include "channels.h"
#include "resource_apply.h"
#include "tensorflow/core/framework/op.h"

namespace dfl_tf {
namespace blur {

using ::tensorflow::bfloat16;

// The kernel of one axis: its sum is 1, and all its numbers are exact in every type.
struct Taps {
  int count, before;  // zeros before the first pixel
  float weights[4];
};

Taps TapsOf(int size) {
  switch (size) {
    case 2:
      return {2, 0, {0.5f, 0.5f}};
    case 3:
      return {3, 1, {0.25f, 0.5f, 0.25f}};
    default:
      return {4, 1, {0.125f, 0.375f, 0.375f, 0.125f}};
  }
}

// An image (height, width, channels) and its half.
struct Sizes {
  int64_t height, width, channels;
  int64_t rows() const { return (height + 1) / 2; }
  int64_t columns() const { return (width + 1) / 2; }
};

template <typename T, typename V>
DFL_TF_INLINE void AddRow(const T* __restrict from, V weight, int64_t count, V* __restrict sum) {
  for (int64_t i = 0; i < count; ++i) sum[i] += Widen(from[i]) * weight;
}

template <typename V>
DFL_TF_INLINE void AddPixel(const V* __restrict from, V weight, int64_t count, V* __restrict sum) {
  for (int64_t i = 0; i < count; ++i) sum[i] += from[i] * weight;
}

template <typename T, typename V>
DFL_TF_INLINE void Store(const V* __restrict from, int64_t count, T* __restrict to) {
  for (int64_t i = 0; i < count; ++i) to[i] = Narrow<T>(from[i]);
}

// One row of the half. `line` has room for a row of the image, `pixel` for a pixel.
template <typename T, typename V>
DFL_TF_INLINE void Halve(const T* image, const Sizes& sizes, const Taps& taps, int64_t row, V* line,
                         V* pixel, T* to) {
  const int64_t channels = sizes.channels, length = sizes.width * channels;
  std::fill_n(line, length, V(0));
  for (int tap = 0; tap < taps.count; ++tap) {
    const int64_t y = 2 * row + tap - taps.before;
    if (y >= 0 && y < sizes.height)
      AddRow<T, V>(image + y * length, taps.weights[tap], length, line);
  }
  for (int64_t column = 0; column < sizes.columns(); ++column) {
    std::fill_n(pixel, channels, V(0));
    for (int tap = 0; tap < taps.count; ++tap) {
      const int64_t x = 2 * column + tap - taps.before;
      if (x >= 0 && x < sizes.width) {
        AddPixel<V>(line + x * channels, taps.weights[tap], channels, pixel);
      }
    }
    Store<T, V>(pixel, channels, to + column * channels);
  }
}

// One row of the gradient towards the image. `line` has room for a row of the half.
template <typename T, typename V>
DFL_TF_INLINE void Spread(const T* half, const Sizes& sizes, const Taps& taps, int64_t row, V* line,
                          V* pixel, T* to) {
  const int64_t channels = sizes.channels, length = sizes.columns() * channels;
  std::fill_n(line, length, V(0));
  for (int tap = 0; tap < taps.count; ++tap) {
    const int64_t twice = row + taps.before - tap;
    if (twice >= 0 && twice % 2 == 0 && twice / 2 < sizes.rows()) {
      AddRow<T, V>(half + twice / 2 * length, taps.weights[tap], length, line);
    }
  }
  for (int64_t column = 0; column < sizes.width; ++column) {
    std::fill_n(pixel, channels, V(0));
    for (int tap = 0; tap < taps.count; ++tap) {
      const int64_t twice = column + taps.before - tap;
      if (twice >= 0 && twice % 2 == 0 && twice / 2 < sizes.columns()) {
        AddPixel<V>(line + twice / 2 * channels, taps.weights[tap], channels, pixel);
      }
    }
    Store<T, V>(pixel, channels, to + column * channels);
  }
}

#define DFL_TF_DEFINE(T, V)                                                                      \
  DFL_TF_CLONES void HalveRow(const T* image, const Sizes& sizes, const Taps& taps, int64_t row, \
                              V* line, V* pixel, T* to) {                                        \
    Halve<T, V>(image, sizes, taps, row, line, pixel, to);                                       \
  }                                                                                              \
  DFL_TF_CLONES void SpreadRow(const T* half, const Sizes& sizes, const Taps& taps, int64_t row, \
                               V* line, V* pixel, T* to) {                                       \
    Spread<T, V>(half, sizes, taps, row, line, pixel, to);                                       \
  }
DFL_TF_DEFINE(bfloat16, float)
DFL_TF_DEFINE(float, float)
DFL_TF_DEFINE(double, double)
#undef DFL_TF_DEFINE

// Calls row(image, row, line, pixel) for all `rows` of all `images`, with scratch memory.
template <typename V, typename Row>
void ForRows(tensorflow::OpKernelContext* ctx, const Sizes& sizes, int64_t images, int64_t rows,
             const Row& row) {
  const int64_t length = sizes.width * sizes.channels;
  RunJobs(ctx, images * rows, 4 * length, [&](int64_t number) {
    thread_local std::vector<V> scratch;
    scratch.resize(length + sizes.channels);
    row(number / rows, number % rows, scratch.data(), scratch.data() + length);
  });
}

}  // namespace blur

REGISTER_OP("DflTf>BlurPool")
    .Attr("T: {bfloat16, float, double}")
    .Attr("size: int")
    .Input("x: T")
    .Output("half: T")
    .SetShapeFn([](tensorflow::shape_inference::InferenceContext* c) {
      tensorflow::shape_inference::ShapeHandle x;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 4, &x));
      const auto halved = [&](int axis) {
        const auto side = c->Dim(x, axis);
        return c->ValueKnown(side) ? c->MakeDim((c->Value(side) + 1) / 2) : c->UnknownDim();
      };
      c->set_output(0, c->MakeShape({c->Dim(x, 0), halved(1), halved(2), c->Dim(x, 3)}));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Images (n, h, w, c), blurred by a binomial kernel of 2, 3 or 4 pixels and halved, rounded up:
(size - 1) / 2 zeros stand before the first row and column.
)doc");

REGISTER_OP("DflTf>BlurPoolGrad")
    .Attr("T: {bfloat16, float, double}")
    .Attr("size: int")
    .Attr("height: int >= 0")
    .Attr("width: int >= 0")
    .Input("upstream: T")
    .Output("x_gradient: T")
    .SetShapeFn([](tensorflow::shape_inference::InferenceContext* c) {
      tensorflow::shape_inference::ShapeHandle half;
      int height, width;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 4, &half));
      TF_RETURN_IF_ERROR(c->GetAttr("height", &height));
      TF_RETURN_IF_ERROR(c->GetAttr("width", &width));
      c->set_output(0, c->MakeShape({c->Dim(half, 0), c->MakeDim(height), c->MakeDim(width),
                                     c->Dim(half, 3)}));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Gradient of DflTf>BlurPool towards its input of `height` and `width`.
)doc");

template <typename T>
class BlurPoolOp : public tensorflow::OpKernel {
 public:
  using V = typename Computed<T>::Type;

  explicit BlurPoolOp(tensorflow::OpKernelConstruction* ctx) : OpKernel(ctx) {
    int size;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("size", &size));
    OP_REQUIRES(ctx, size >= 2 && size <= 4,
                tensorflow::errors::InvalidArgument("size must be 2, 3 or 4, got ", size));
    taps_ = blur::TapsOf(size);
  }

  void Compute(tensorflow::OpKernelContext* ctx) override {
    const tensorflow::Tensor& x = ctx->input(0);
    OP_REQUIRES(ctx, x.dims() == 4,
                tensorflow::errors::InvalidArgument("x must have 4 axes (n, h, w, c), got shape ",
                                                    x.shape().DebugString()));
    const blur::Sizes sizes{x.dim_size(1), x.dim_size(2), x.dim_size(3)};
    const int64_t rows = sizes.rows(), length = sizes.columns() * sizes.channels;
    tensorflow::Tensor* half;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(
                            0, {x.dim_size(0), rows, sizes.columns(), sizes.channels}, &half));
    const T* from = x.flat<T>().data();
    T* to = half->flat<T>().data();
    blur::ForRows<V>(
        ctx, sizes, x.dim_size(0), rows, [&](int64_t image, int64_t row, V* line, V* pixel) {
          blur::HalveRow(from + image * sizes.height * sizes.width * sizes.channels, sizes, taps_,
                         row, line, pixel, to + (image * rows + row) * length);
        });
  }

 private:
  blur::Taps taps_;
};

template <typename T>
class BlurPoolGradOp : public tensorflow::OpKernel {
 public:
  using V = typename Computed<T>::Type;

  explicit BlurPoolGradOp(tensorflow::OpKernelConstruction* ctx) : OpKernel(ctx) {
    int size;
    OP_REQUIRES_OK(ctx, ctx->GetAttr("size", &size));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("height", &height_));
    OP_REQUIRES_OK(ctx, ctx->GetAttr("width", &width_));
    OP_REQUIRES(ctx, size >= 2 && size <= 4,
                tensorflow::errors::InvalidArgument("size must be 2, 3 or 4, got ", size));
    taps_ = blur::TapsOf(size);
  }

  void Compute(tensorflow::OpKernelContext* ctx) override {
    const tensorflow::Tensor& half = ctx->input(0);
    const blur::Sizes sizes{height_, width_, half.dims() == 4 ? half.dim_size(3) : 0};
    OP_REQUIRES(
        ctx,
        half.dims() == 4 && half.dim_size(1) == sizes.rows() && half.dim_size(2) == sizes.columns(),
        tensorflow::errors::InvalidArgument("an upstream gradient of shape ",
                                            half.shape().DebugString(),
                                            " is none of half an image of ", height_, "x", width_));
    const int64_t images = half.dim_size(0), length = sizes.width * sizes.channels;
    tensorflow::Tensor* gradient;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, {images, sizes.height, sizes.width, sizes.channels},
                                             &gradient));
    const T* from = half.flat<T>().data();
    T* to = gradient->flat<T>().data();
    blur::ForRows<V>(
        ctx, sizes, images, sizes.height, [&](int64_t image, int64_t row, V* line, V* pixel) {
          blur::SpreadRow(from + image * sizes.rows() * sizes.columns() * sizes.channels, sizes,
                          taps_, row, line, pixel, to + (image * sizes.height + row) * length);
        });
  }

 private:
  blur::Taps taps_;
  int height_, width_;
};

#define DFL_TF_REGISTER(T)                                                              \
  REGISTER_KERNEL_BUILDER(                                                              \
      Name("DflTf>BlurPool").Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"),     \
      BlurPoolOp<T>);                                                                   \
  REGISTER_KERNEL_BUILDER(                                                              \
      Name("DflTf>BlurPoolGrad").Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"), \
      BlurPoolGradOp<T>)
DFL_TF_REGISTER(tensorflow::bfloat16);
DFL_TF_REGISTER(float);
DFL_TF_REGISTER(double);
#undef DFL_TF_REGISTER

}  // namespace dfl_tf
