// DflTf>FrnTlu and DflTf>FrnTluGrad: filter response normalization and the thresholded linear unit
// after it (Singh and Krishnan 2020) in two passes over the image each.

#include <algorithm>
#include <cmath>
#include <vector>

#include "channels.h"
#include "resource_apply.h"
#include "tensorflow/core/framework/op.h"

namespace dfl_tf {
namespace frn {

using ::tensorflow::bfloat16;

// Pixels of one image that a job goes through.
template <typename T>
struct Pixels {
  const T* x;
  int64_t count, channels;
};

// What belongs to the channels, in the type that is computed in; `tau` is rounded to the image's.
template <typename V>
struct Channels {
  const V *scale, *weight, *bias, *tau;
};

template <typename T, typename V>
DFL_TF_INLINE void AddPowers(const Pixels<T>& pixels, V* __restrict sums) {
  const T* __restrict x = pixels.x;
  for (int64_t i = 0; i < pixels.count; ++i, x += pixels.channels) {
    for (int64_t c = 0; c < pixels.channels; ++c) {
      const V value = Widen(x[c]);
      sums[c] += value * value;
    }
  }
}

template <typename T, typename V>
DFL_TF_INLINE void Normalize(const Pixels<T>& pixels, const Channels<V>& of, T* __restrict y) {
  const T* __restrict x = pixels.x;
  for (int64_t i = 0; i < pixels.count; ++i, x += pixels.channels, y += pixels.channels) {
    for (int64_t c = 0; c < pixels.channels; ++c) {
      const V z = Widen(x[c]) * of.scale[c] * of.weight[c] + of.bias[c];
      y[c] = Narrow<T>(z < of.tau[c] ? of.tau[c] : z);
    }
  }
}

// Adds to three rows of sums: upstream where the threshold let it through, the same times x, and
// upstream where it did not.
template <typename T, typename V>
DFL_TF_INLINE void AddGradients(const Pixels<T>& pixels, const Channels<V>& of,
                                const T* __restrict upstream, V* __restrict sums) {
  const int64_t channels = pixels.channels;
  const T* __restrict x = pixels.x;
  V* __restrict through = sums, * __restrict along = sums + channels, * __restrict held = sums + 2 * channels;
  for (int64_t i = 0; i < pixels.count; ++i, x += channels, upstream += channels) {
    for (int64_t c = 0; c < channels; ++c) {
      const V value = Widen(x[c]), above = Widen(upstream[c]);
      const V z = Widen(Narrow<T>(value * of.scale[c] * of.weight[c] + of.bias[c]));
      const V passed = z >= of.tau[c] ? above : V(0);
      through[c] += passed;
      along[c] += passed * value;
      held[c] += above - passed;
    }
  }
}

template <typename T, typename V>
DFL_TF_INLINE void Propagate(const Pixels<T>& pixels, const Channels<V>& of,
                             const V* __restrict by_power, const T* __restrict upstream,
                             T* __restrict gradient) {
  const int64_t channels = pixels.channels;
  const T* __restrict x = pixels.x;
  for (int64_t i = 0; i < pixels.count; ++i) {
    for (int64_t c = 0; c < channels; ++c) {
      const V value = Widen(x[c]), above = Widen(upstream[c]);
      const V z = Widen(Narrow<T>(value * of.scale[c] * of.weight[c] + of.bias[c]));
      const V passed = z >= of.tau[c] ? above : V(0);
      gradient[c] = Narrow<T>(passed * of.weight[c] * of.scale[c] + value * by_power[c]);
    }
    x += channels, upstream += channels, gradient += channels;
  }
}

#define DFL_TF_DEFINE(T, V)                                                                      \
  DFL_TF_CLONES void Powers(const Pixels<T>& pixels, V* sums) { AddPowers(pixels, sums); }       \
  DFL_TF_CLONES void Forward(const Pixels<T>& pixels, const Channels<V>& of, T* y) {             \
    Normalize(pixels, of, y);                                                                    \
  }                                                                                              \
  DFL_TF_CLONES void Sums(const Pixels<T>& pixels, const Channels<V>& of, const T* upstream,     \
                          V* sums) {                                                             \
    AddGradients(pixels, of, upstream, sums);                                                    \
  }                                                                                              \
  DFL_TF_CLONES void Backward(const Pixels<T>& pixels, const Channels<V>& of, const V* by_power, \
                              const T* upstream, T* gradient) {                                  \
    Propagate(pixels, of, by_power, upstream, gradient);                                         \
  }
DFL_TF_DEFINE(bfloat16, float)
DFL_TF_DEFINE(float, float)
DFL_TF_DEFINE(double, double)
#undef DFL_TF_DEFINE

// The images of a batch, cut into jobs.
struct Division {
  int64_t images, pixels, channels, each, jobs;

  explicit Division(const tensorflow::Tensor& x)
      : images(x.dim_size(0)),
        pixels(x.dim_size(1) * x.dim_size(2)),
        channels(x.dim_size(3)),
        each(PixelsPerJob(channels)),
        jobs((pixels + each - 1) / each) {}
  int64_t image(int64_t job) const { return job / jobs; }
  int64_t offset(int64_t job) const { return (image(job) * pixels + job % jobs * each) * channels; }
  int64_t count(int64_t job) const { return std::min(each, pixels - job % jobs * each); }
  // The `rows` rows of sums that every job of an image left, added up in float64.
  template <typename V>
  std::vector<double> Total(const std::vector<V>& sums, int64_t rows) const {
    std::vector<double> total(images * rows * channels);
    for (int64_t job = 0; job < images * jobs; ++job) {
      for (int64_t i = 0; i < rows * channels; ++i) {
        total[image(job) * rows * channels + i] += sums[job * rows * channels + i];
      }
    }
    return total;
  }
};

absl::Status Fits(tensorflow::OpKernelContext* ctx, const tensorflow::Tensor& x, int first) {
  if (x.dims() != 4) {
    return tensorflow::errors::InvalidArgument("x must have 4 axes (n, h, w, c), got shape ",
                                               x.shape().DebugString());
  }
  for (int i = first; i < first + 4; ++i) {
    const int64_t wanted = i == first + 2 ? 1 : x.dim_size(3);
    if (ctx->input(i).dims() != 1 || ctx->input(i).dim_size(0) != wanted) {
      return tensorflow::errors::InvalidArgument(
          "weight, bias and tau need one number a channel and eps one in all; x has shape ",
          x.shape().DebugString(), ", input ", i, " has ", ctx->input(i).shape().DebugString());
    }
  }
  return absl::OkStatus();
}

template <typename T, typename V>
std::vector<V> Rounded(const V* tau, int64_t channels) {
  std::vector<V> rounded(channels);
  for (int64_t c = 0; c < channels; ++c) rounded[c] = Widen(Narrow<T>(tau[c]));
  return rounded;
}

}  // namespace frn

REGISTER_OP("DflTf>FrnTlu")
    .Attr("T: {bfloat16, float, double}")
    .Attr("V: {float, double}")
    .Input("x: T")
    .Input("weight: V")
    .Input("bias: V")
    .Input("eps: V")
    .Input("tau: V")
    .Output("y: T")
    .Output("scale: V")
    .SetShapeFn([](tensorflow::shape_inference::InferenceContext* c) {
      tensorflow::shape_inference::ShapeHandle x;
      TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 4, &x));
      c->set_output(0, x);
      c->set_output(1, c->Matrix(c->Dim(x, 0), c->Dim(x, 3)));
      return absl::OkStatus();
    })
    .Doc(R"doc(
max(x * scale * weight + bias, tau) with scale = 1 / sqrt(mean of x^2 over the image + |eps|), and
that scale (n, c), for images (n, h, w, c); V is float for bfloat16, else T.
)doc");

template <typename T>
class FrnTluOp : public tensorflow::OpKernel {
 public:
  using OpKernel::OpKernel;
  using V = typename Computed<T>::Type;

  void Compute(tensorflow::OpKernelContext* ctx) override {
    const tensorflow::Tensor& x = ctx->input(0);
    OP_REQUIRES_OK(ctx, frn::Fits(ctx, x, 1));
    const frn::Division division(x);
    const int64_t channels = division.channels, jobs = division.images * division.jobs;
    tensorflow::Tensor *y, *scale;
    OP_REQUIRES_OK(ctx, ctx->allocate_output(0, x.shape(), &y));
    OP_REQUIRES_OK(ctx, ctx->allocate_output(1, {division.images, channels}, &scale));
    const T* from = x.flat<T>().data();
    T* to = y->flat<T>().data();
    V* scales = scale->flat<V>().data();
    const auto parameter = [&](int i) { return ctx->input(i).flat<V>().data(); };
    const std::vector<V> tau = frn::Rounded<T, V>(parameter(4), channels);
    const V eps = std::abs(*parameter(3));

    std::vector<V> sums(jobs * channels);
    RunJobs(ctx, jobs, division.each * channels / 4, [&](int64_t job) {
      frn::Powers({from + division.offset(job), division.count(job), channels},
                  &sums[job * channels]);
    });
    const std::vector<double> total = division.Total(sums, 1);
    for (size_t i = 0; i < total.size(); ++i) {
      scales[i] = V(1) / std::sqrt(static_cast<V>(total[i] / division.pixels) + eps);
    }
    RunJobs(ctx, jobs, division.each * channels / 2, [&](int64_t job) {
      const frn::Channels<V> of{scales + division.image(job) * channels, parameter(1), parameter(2),
                                tau.data()};
      frn::Forward({from + division.offset(job), division.count(job), channels}, of,
                   to + division.offset(job));
    });
  }
};

REGISTER_OP("DflTf>FrnTluGrad")
    .Attr("T: {bfloat16, float, double}")
    .Attr("V: {float, double}")
    .Input("upstream: T")
    .Input("x: T")
    .Input("weight: V")
    .Input("bias: V")
    .Input("eps: V")
    .Input("tau: V")
    .Input("scale: V")
    .Output("x_gradient: T")
    .Output("weight_gradient: V")
    .Output("bias_gradient: V")
    .Output("eps_gradient: V")
    .Output("tau_gradient: V")
    .SetShapeFn([](tensorflow::shape_inference::InferenceContext* c) {
      for (int i = 0; i < 5; ++i) c->set_output(i, c->input(i + 1));
      return absl::OkStatus();
    })
    .Doc(R"doc(
Gradients of DflTf>FrnTlu from the gradient `upstream` towards its y. Those of weight, bias, eps and
tau are added up in float32 at least.
)doc");

template <typename T>
class FrnTluGradOp : public tensorflow::OpKernel {
 public:
  using OpKernel::OpKernel;
  using V = typename Computed<T>::Type;

  void Compute(tensorflow::OpKernelContext* ctx) override {
    const tensorflow::Tensor &upstream = ctx->input(0), &x = ctx->input(1);
    OP_REQUIRES_OK(ctx, frn::Fits(ctx, x, 2));
    const frn::Division division(x);
    const int64_t channels = division.channels, jobs = division.images * division.jobs;
    OP_REQUIRES(
        ctx,
        upstream.shape() == x.shape() && ctx->input(6).NumElements() == division.images * channels,
        tensorflow::errors::InvalidArgument(
            "x has shape ", x.shape().DebugString(), ", its upstream gradient ",
            upstream.shape().DebugString(), ", its scale ", ctx->input(6).shape().DebugString()));
    tensorflow::Tensor* outputs[5];
    for (int i = 0; i < 5; ++i) {
      OP_REQUIRES_OK(ctx, ctx->allocate_output(i, ctx->input(i + 1).shape(), &outputs[i]));
    }
    const T *from = x.flat<T>().data(), *above = upstream.flat<T>().data();
    const auto parameter = [&](int i) { return ctx->input(i).flat<V>().data(); };
    const V *weight = parameter(2), *bias = parameter(3), *scale = parameter(6);
    const std::vector<V> tau = frn::Rounded<T, V>(parameter(5), channels);
    const auto of = [&](int64_t job) {
      return frn::Channels<V>{scale + division.image(job) * channels, weight, bias, tau.data()};
    };

    std::vector<V> sums(3 * jobs * channels);
    RunJobs(ctx, jobs, division.each * channels / 2, [&](int64_t job) {
      frn::Sums({from + division.offset(job), division.count(job), channels}, of(job),
                above + division.offset(job), &sums[3 * job * channels]);
    });
    const std::vector<double> total = division.Total(sums, 3);
    std::vector<V> by_power(division.images * channels);
    std::vector<double> rows(3 * channels);
    double powers = 0;
    for (int64_t i = 0; i < division.images * channels; ++i) {
      const int64_t c = i % channels;
      const double* found = &total[i / channels * 3 * channels + c];
      const double along = found[channels], s = scale[i];
      const double power = -0.5 * weight[c] * along * s * s * s;
      rows[c] += s * along;
      rows[channels + c] += found[0];
      rows[2 * channels + c] += found[2 * channels];
      powers += power;
      by_power[i] = static_cast<V>(2 * power / division.pixels);
    }
    const auto copy = [&](int64_t row, int output) {
      V* to = outputs[output]->flat<V>().data();
      for (int64_t c = 0; c < channels; ++c) to[c] = static_cast<V>(rows[row * channels + c]);
    };
    copy(0, 1), copy(1, 2), copy(2, 4);
    const V eps = *parameter(4);
    outputs[3]->flat<V>()(0) = static_cast<V>(eps > 0 ? powers : eps < 0 ? -powers : 0);
    T* to = outputs[0]->flat<T>().data();
    RunJobs(ctx, jobs, division.each * channels, [&](int64_t job) {
      frn::Backward({from + division.offset(job), division.count(job), channels}, of(job),
                    &by_power[division.image(job) * channels], above + division.offset(job),
                    to + division.offset(job));
    });
  }
};

#define DFL_TF_REGISTER(T)                                                                      \
  REGISTER_KERNEL_BUILDER(                                                                      \
      Name("DflTf>FrnTlu").Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"), FrnTluOp<T>); \
  REGISTER_KERNEL_BUILDER(                                                                      \
      Name("DflTf>FrnTluGrad").Device(tensorflow::DEVICE_CPU).TypeConstraint<T>("T"),           \
      FrnTluGradOp<T>)
DFL_TF_REGISTER(tensorflow::bfloat16);
DFL_TF_REGISTER(float);
DFL_TF_REGISTER(double);
#undef DFL_TF_REGISTER

}  // namespace dfl_tf
